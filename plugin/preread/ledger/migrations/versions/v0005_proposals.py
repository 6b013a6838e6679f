"""The tables of what networks propose, and of what people decide about it."""

from __future__ import annotations

from datetime import datetime

import sqlalchemy as sa
from alembic import op

revision = "v0005"
down_revision: str | None = "v0004"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Make the tables."""
    _proposals()
    _images()
    _reviews()


def _proposals() -> None:
    op.create_table(
        "proposal",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node", "instance", "sop_instance_uid", "series_instance_uid"),
        *_texts("study_instance_uid", "attached"),
        *_texts("source_series", "source_study", "source_series_uid", "source_study_uid"),
        *_texts("shown_series", "shown_study", "shown_series_uid", "scope"),
        *_texts("network_name", "network_uid", "network_version", "weights_sha256"),
        sa.Column("number_of_regions", sa.BigInteger(), nullable=False),
        sa.Column("regions", sa.JSON(), nullable=False),
        *_texts("status"),
        sa.Column("version", sa.BigInteger(), nullable=False),
        sa.Column("stored", sa.Boolean(), nullable=False),
        *_moments("created", "updated"),
        sa.PrimaryKeyConstraint("id", name="pk_proposal"),
        sa.UniqueConstraint("node", "sop_instance_uid", name="uq_proposal_node_sop_instance_uid"),
    )
    op.create_index("ix_proposal_node_source_series", "proposal", ["node", "source_series"])
    op.create_index("ix_proposal_node_updated", "proposal", ["node", "updated"])
    op.create_index("ix_proposal_node_status", "proposal", ["node", "status"])


def _images() -> None:
    op.create_table(
        "proposal_image",
        sa.Column("proposal_id", _NUMBER, nullable=False),
        sa.Column("position", sa.Integer(), nullable=False),
        sa.Column("instance_id", _NUMBER, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        *_texts("shown", "sop_instance_uid"),
        sa.Column("frames", sa.BigInteger(), nullable=False),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name="fk_proposal_image_proposal_id_proposal"
        ),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name="fk_proposal_image_instance_id_instance"
        ),
        sa.PrimaryKeyConstraint("proposal_id", "position", name="pk_proposal_image"),
    )
    op.create_index("ix_proposal_image_instance_id", "proposal_image", ["instance_id"])


def _reviews() -> None:
    op.create_table(
        "review",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node"),
        sa.Column("proposal_id", _NUMBER, nullable=False),
        sa.Column("version", sa.BigInteger(), nullable=False),
        *_texts("reviewer", "comment", "outcome"),
        sa.Column("decisions", sa.JSON(), nullable=False),
        *_texts("state", "reason"),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("interruptions", sa.BigInteger(), nullable=False),
        *_texts("owner"),
        sa.Column("reservation", sa.BigInteger(), nullable=False),
        *_moments("not_before"),
        sa.Column("lease_until", _MOMENT, nullable=True),
        *_moments("created", "updated"),
        *_texts("instance", "sop_instance_uid", "attached"),
        sa.ForeignKeyConstraint(
            ["proposal_id"], ["proposal.id"], name="fk_review_proposal_id_proposal"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_review"),
        sa.UniqueConstraint("proposal_id", "version", name="uq_review_proposal_id_version"),
    )
    op.create_index("ix_review_node_state", "review", ["node", "state"])
    op.create_index(
        "ix_review_queue",
        "review",
        ["node", "interruptions", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _moments(*names: str) -> list[sa.Column[datetime]]:
    return [sa.Column(name, _MOMENT, nullable=False) for name in names]
