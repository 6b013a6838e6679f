"""One table of tasks in place of the queues of explanations, series, reviews and networks."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import Any, Final

import sqlalchemy as sa
from alembic import op

revision = "v0011"
down_revision: str | None = "v0010"
branch_labels: str | None = None
depends_on: str | None = None

_NUMBER: Final = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
_MOMENT: Final = sa.DateTime(timezone=True)
_LENT: Final = (
    "node", "state", "reason", "attempts", "interruptions", "owner", "reservation", "not_before",
    "lease_until", "created", "updated",
)  # fmt: skip
_AT_ONCE: Final = 500


def upgrade() -> None:
    """Make the table, move what waits, is held or is done into it, and drop what it replaces."""
    tasks = _table()
    for read in (_explanations, _series, _reviews, _networks):
        found = list(read())
        for start in range(0, len(found), _AT_ONCE):
            op.bulk_insert(tasks, found[start : start + _AT_ONCE])
    op.drop_table("explanation")
    op.drop_table("series_task")
    for index in ("ix_review_node_state", "ix_review_queue"):
        op.drop_index(index, "review")
    for name in _LENT:
        if name not in ("node", "created"):
            op.drop_column("review", name)
    op.drop_index("ix_network_received", "network")
    for name in ("attempts", "not_before"):
        op.drop_column("network", name)


def _table() -> sa.Table:
    texts, numbers = ("node", "kind", "subject", "name"), ("generation",)
    table = op.create_table(
        "task",
        sa.Column("id", _NUMBER, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in texts),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in numbers),
        *(sa.Column(name, sa.JSON(), nullable=False) for name in ("payload", "outcome")),
        sa.Column("asked", sa.Boolean(), nullable=False),
        *(sa.Column(name, sa.BigInteger(), nullable=False) for name in ("revision", "lent")),
        sa.Column("changed", _MOMENT, nullable=False),
        *(sa.Column(name, sa.Text(), nullable=False) for name in ("stored", "state", "reason")),
        *(
            sa.Column(name, sa.BigInteger(), nullable=False)
            for name in ("attempts", "interruptions", "reservation")
        ),
        sa.Column("owner", sa.Text(), nullable=False),
        sa.Column("not_before", _MOMENT, nullable=False),
        sa.Column("lease_until", _MOMENT, nullable=True),
        *(sa.Column(name, _MOMENT, nullable=False) for name in ("created", "updated")),
        sa.PrimaryKeyConstraint("id", name="pk_task"),
        sa.UniqueConstraint(
            "node", "kind", "subject", "name", name="uq_task_node_kind_subject_name"
        ),
    )
    op.create_index("ix_task_node_kind_state", "task", ["node", "kind", "state"])
    for name, columns, which in (
        ("queue", ["node", "kind", "interruptions", "asked", "id"], "state = 'pending'"),
        ("stored", ["node", "kind", "subject"], "stored <> ''"),
    ):
        where = sa.text(which)
        op.create_index(
            f"ix_task_{name}", "task", columns, sqlite_where=where, postgresql_where=where
        )
    return table


def _explanations() -> Iterable[dict[str, Any]]:
    rows = _rows(
        "explanation",
        "SELECT e.*, i.instance AS image FROM explanation e JOIN instance i ON i.id = e.instance_id"
        " ORDER BY e.id",
    )
    for row in rows:
        place = {
            "ID": row["map_instance"],
            "SOPInstanceUID": row["sop_instance_uid"],
            "SeriesInstanceUID": row["series_instance_uid"],
            "StudyInstanceUID": row["study_instance_uid"],
        }
        yield _task("explanation", row["image"], row) | {
            "name": f"{row['model']}|{row['label']}|{row['frame']}",
            "generation": row["generation"],
            "payload": {
                "Model": row["model"],
                "Class": row["label"],
                "Frame": row["frame"],
                "Probability": row["probability"],
            },
            "outcome": place if row["map_instance"] else {},
            "asked": bool(row["asked"]),
            "stored": row["map_instance"],
        }


def _series() -> Iterable[dict[str, Any]]:
    for row in _rows("series_task", "SELECT * FROM series_task ORDER BY id"):
        scope, network = row["scope"], row["network"]
        outcome = {
            "DnnUID": row["ran"],
            "Regions": row["regions"],
            "Proposal": row["proposal"],
            "Skipped": row["skipped"] or [],
        }
        yield _task("regions", row["series"], row) | {
            "name": f"{scope}|{network}" if scope or network else "",
            "payload": {"Instance": scope, "DnnUID": network} if scope or network else {},
            "outcome": outcome if row["ran"] else {},
            "asked": bool(row["asked"]),
            "revision": row["revision"],
            "lent": row["lent"],
            "changed": row["changed"],
        }


def _reviews() -> Iterable[dict[str, Any]]:
    for row in _rows("review", "SELECT * FROM review ORDER BY id"):
        yield _task("review", str(row["id"]), row)


def _networks() -> Iterable[dict[str, Any]]:
    """Have every network looked at that nobody has looked at to the end."""
    waits = "SELECT * FROM network WHERE state = 'received' ORDER BY id"
    for row in _rows("network", waits):
        now = row["updated"]
        held = {
            "node": row["node"], "state": "pending", "reason": "", "attempts": 0,
            "interruptions": max(0, row["attempts"] - 1), "owner": "", "reservation": 0,
            "not_before": now, "lease_until": None, "created": now, "updated": now,
        }  # fmt: skip
        yield _task("network", str(row["id"]), held)


def _rows(table: str, query: str) -> list[Mapping[str, Any]]:
    """Read rows with the types that their columns have: SQLite alone would give texts."""
    connection = op.get_bind()
    former = sa.Table(table, sa.MetaData(), autoload_with=connection)
    typed = sa.text(query).columns(
        *(
            sa.column(column.name, _MOMENT if _is_moment(column) else column.type)
            for column in former.columns
        )
    )
    return [dict(row) for row in connection.execute(typed).mappings()]


def _is_moment(column: sa.Column[Any]) -> bool:
    return isinstance(column.type, sa.DateTime)


def _task(kind: str, subject: str, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return what all have: who holds it, and how often it was tried."""
    changed: datetime = row["updated"]
    return {name: row[name] for name in _LENT} | {
        "kind": kind,
        "subject": subject,
        "name": "",
        "generation": 0,
        "payload": {},
        "outcome": {},
        "asked": False,
        "revision": 0,
        "lent": 0,
        "changed": changed,
        "stored": "",
    }
