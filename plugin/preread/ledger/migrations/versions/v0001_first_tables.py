"""The first tables: cursors of the journals, instances, jobs and outcomes."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "v0001"
down_revision: str | None = None
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT = sa.DateTime(timezone=True)
_OPEN = sa.text("state IN ('pending', 'running')")
_PENDING = sa.text("state = 'pending'")


def upgrade() -> None:
    """Make the tables."""
    op.create_table(
        "journal_cursor",
        sa.Column("node", sa.Text(), nullable=False),
        sa.Column("journal", sa.Text(), nullable=False),
        sa.Column("seq", sa.BigInteger(), nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        sa.PrimaryKeyConstraint("node", "journal", name="pk_journal_cursor"),
    )
    _make_instance()
    _make_job()
    _make_outcome()


def _texts(*names: str) -> list[sa.Column[str]]:
    return [sa.Column(name, sa.Text(), nullable=False) for name in names]


def _make_instance() -> None:
    op.create_table(
        "instance",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node", "instance", "series", "study", "patient"),
        *_texts("sop_instance_uid", "series_instance_uid", "study_instance_uid"),
        *_texts("sop_class_uid", "modality"),
        sa.Column("models", sa.JSON(), nullable=False),
        *_texts("fingerprint", "reason"),
        sa.Column("body_parts", sa.JSON(), nullable=False),
        sa.Column("work", sa.Boolean(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("deleted", sa.Boolean(), nullable=False),
        sa.Column("received", _MOMENT, nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=True),
        sa.PrimaryKeyConstraint("id", name="pk_instance"),
        sa.UniqueConstraint("node", "instance", name="uq_instance_node_instance"),
    )
    for column in (
        "series",
        "study",
        "sop_instance_uid",
        "series_instance_uid",
        "study_instance_uid",
        "generation",
    ):
        op.create_index(f"ix_instance_node_{column}", "instance", ["node", column])


def _make_job() -> None:
    op.create_table(
        "job",
        sa.Column("id", _NUMBER, nullable=False),
        *_texts("node"),
        sa.Column("instance_id", _NUMBER, nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        sa.Column("models", sa.JSON(), nullable=False),
        *_texts("fingerprint", "state", "reason"),
        sa.Column("attempts", sa.BigInteger(), nullable=False),
        sa.Column("interruptions", sa.BigInteger(), nullable=False),
        *_texts("owner"),
        sa.Column("reservation", sa.BigInteger(), nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        sa.Column("created", _MOMENT, nullable=False),
        sa.Column("updated", _MOMENT, nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name="fk_job_instance_id_instance"
        ),
        sa.PrimaryKeyConstraint("id", name="pk_job"),
    )
    op.create_index("ix_job_instance_id", "job", ["instance_id"])
    op.create_index("ix_job_node_state_updated", "job", ["node", "state", "updated"])
    op.create_index("ix_job_node_updated", "job", ["node", "updated"])
    op.create_index(
        "uq_job_open",
        "job",
        ["instance_id"],
        unique=True,
        sqlite_where=_OPEN,
        postgresql_where=_OPEN,
    )
    op.create_index(
        "ix_job_queue",
        "job",
        ["node", "interruptions", "id"],
        sqlite_where=_PENDING,
        postgresql_where=_PENDING,
    )


def _make_outcome() -> None:
    op.create_table(
        "outcome",
        sa.Column("instance_id", _NUMBER, autoincrement=False, nullable=False),
        sa.Column("position", sa.Integer(), autoincrement=False, nullable=False),
        sa.Column("job_id", sa.BigInteger(), nullable=False),
        sa.Column("generation", sa.BigInteger(), nullable=False),
        *_texts("model", "version", "dataset", "weights_sha256", "engine"),
        sa.Column("date", _MOMENT, nullable=False),
        sa.Column("classes", sa.JSON(), nullable=False),
        sa.Column("probabilities", sa.JSON(), nullable=False),
        sa.Column("frames", sa.JSON(), nullable=False),
        sa.ForeignKeyConstraint(
            ["instance_id"], ["instance.id"], name="fk_outcome_instance_id_instance"
        ),
        sa.PrimaryKeyConstraint("instance_id", "position", name="pk_outcome"),
    )
