"""Why a model gave an image no class, and what warns of the classes that it gave."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0008"
down_revision: str | None = "v0007"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; for what was read before there was no reason but its unlikeness."""
    for name in ("withheld", "warning"):
        op.add_column("outcome", sa.Column(name, sa.Text(), nullable=False, server_default=""))
