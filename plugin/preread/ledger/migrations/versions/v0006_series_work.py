"""The queue of series in which networks look for regions."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "v0006"
down_revision: str | None = "v0005"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Make the table; series that are stored already enter it when somebody asks."""
    op.create_table(
        "series_task",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node", "series", "scope", "network"),
        sa.Column("asked", sa.Boolean(), nullable=False),
        *_numbers("revision", "lent"),
        *_moments("changed"),
        *_texts("state", "reason", "ran"),
        *_numbers("regions"),
        *_texts("proposal"),
        *_numbers("attempts", "interruptions"),
        *_texts("owner"),
        *_numbers("reservation"),
        *_moments("not_before"),
        sa.Column("lease_until", _MOMENT, nullable=True),
        *_moments("created", "updated"),
        sa.PrimaryKeyConstraint("id", name="pk_series_task"),
        sa.UniqueConstraint(
            "node", "series", "scope", "network", name="uq_series_task_node_series_scope_network"
        ),
    )
    op.create_index("ix_series_task_node_state", "series_task", ["node", "state"])
    op.create_index(
        "ix_series_task_queue",
        "series_task",
        ["node", "interruptions", "asked", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]


def _moments(*names: str) -> list[sa.Column[datetime]]:
    return [sa.Column(name, _MOMENT, nullable=False) for name in names]
