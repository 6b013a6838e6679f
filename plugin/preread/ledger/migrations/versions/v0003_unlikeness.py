"""How far an image lay from a model's training images, and which backbone the model shares."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0003"
down_revision: str | None = "v0002"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; what was read before says nothing of either."""
    op.add_column("outcome", sa.Column("novelty_score", sa.Double(), nullable=True))
    op.add_column("outcome", sa.Column("novelty_threshold", sa.Double(), nullable=True))
    op.add_column("outcome", sa.Column("backbone_sha256", sa.Text(), nullable=True))
