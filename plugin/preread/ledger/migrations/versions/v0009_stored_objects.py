"""Who decided, and whether what was stored of proposals and reviews still is as it was."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0009"
down_revision: str | None = "v0008"
branch_labels: str | None = None
depends_on: str | None = None


def upgrade() -> None:
    """Add the columns; of what was stored before, neither a hash nor an account is known."""
    for table in ("proposal", "review"):
        for name in ("sha256", "attached_sha256", "altered"):
            op.add_column(table, _text(name))
        op.add_column(table, sa.Column("checked", sa.DateTime(timezone=True), nullable=True))
    op.add_column("review", _text("account"))


def _text(name: str) -> sa.Column[str]:
    return sa.Column(name, sa.Text(), nullable=False, server_default="")
