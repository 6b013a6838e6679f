"""Which images of a series were left out when a network looked at it."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0007"
down_revision: str | None = "v0006"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; until now a series with such an image was not looked at."""
    for table in ("series_task", "proposal"):
        op.add_column(table, sa.Column("skipped", sa.JSON(), nullable=True))
