"""The table of networks that are kept as DICOM objects (IODeep)."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0004"
down_revision: str | None = "v0003"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_RECEIVED = sa.text("state = 'received'")


def upgrade() -> None:
    """Make the table."""
    op.create_table(
        "network",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node", "instance", "file", "sop_instance_uid"),
        *_numbers("generation"),
        *_texts("digest", "trust", "state", "reason"),
        *_numbers("attempts"),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("arrived", _MOMENT, nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        *_texts("dnn_uid", "dnn_name", "modality", "body_part_examined"),
        sa.Column("body_parts", sa.JSON(), nullable=False),
        *_numbers("samples_per_pixel"),
        *_texts("photometric_interpretation"),
        *_numbers("rows_of_input", "columns_of_input"),
        *_texts("description", "layout", "created"),
        *_numbers("parameters"),
        *_texts("weights_sha256"),
        sa.PrimaryKeyConstraint("id", name="pk_network"),
        sa.UniqueConstraint("node", "instance", "file", name="uq_network_node_instance_file"),
    )
    op.create_index("ix_network_node_state", "network", ["node", "state"])
    op.create_index("ix_network_node_dnn_uid", "network", ["node", "dnn_uid"])
    op.create_index(
        "ix_network_received",
        "network",
        ["node", "id"],
        sqlite_where=_RECEIVED,
        postgresql_where=_RECEIVED,
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _numbers(*names: str) -> list[sa.Column[int]]:
    return [sa.Column(name, sa.BigInteger(), nullable=False) for name in names]
