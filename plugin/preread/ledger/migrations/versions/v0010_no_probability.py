"""A picture for a class that a model did not give shows no probability."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0010"
down_revision: str | None = "v0009"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Let the column be empty; SQLite cannot change one in place."""
    op.alter_column("explanation", "probability", new_column_name="former")
    op.add_column("explanation", sa.Column("probability", sa.Double(), nullable=True))
    op.execute("UPDATE explanation SET probability = former")
    op.drop_column("explanation", "former")
