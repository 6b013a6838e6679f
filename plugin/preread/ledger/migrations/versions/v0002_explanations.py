"""The table of what is wanted, and stored, of what the networks looked at."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0002"
down_revision: str | None = "v0001"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_PENDING = sa.text("state = 'pending'")
_STORED = sa.text("map_instance <> ''")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "explanation",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node"),
        sa.Column("instance_id", _NUMBER, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        *_texts("model", "label"),
        sa.Column("frame", sa.BigInteger(), nullable=False),
        sa.Column("probability", sa.Double(), nullable=False),
        sa.Column("asked", sa.Boolean(), nullable=False),
        *_texts("state", "reason"),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("interruptions", sa.BigInteger(), nullable=False),
        *_texts("owner"),
        sa.Column("reservation", sa.BigInteger(), nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        *_texts("map_instance", "sop_instance_uid", "series_instance_uid", "study_instance_uid"),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name="fk_explanation_instance_id_instance"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_explanation"),
        sa.UniqueConstraint(
            "instance_id", "model", "label", "frame", name="uq_explanation_instance_id_model"
        ),
    )
    op.create_index("ix_explanation_node_state", "explanation", ["node", "state"])
    op.create_index(
        "ix_explanation_queue",
        "explanation",
        ["node", "interruptions", "asked", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )
    op.create_index(
        "ix_explanation_stored",
        "explanation",
        ["node", "instance_id"],
        sqlite_where=_STORED,
        postgresql_where=_STORED,
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]
