"""How tasks are begun, and begun anew.

Everything here runs inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.inserting import add_unless_there
from preread.ledger.lending import (
    give_back,
    waiting,
)
from preread.ledger.schema import InstanceRow
from preread.ledger.task import TaskState
from preread.ledger.task_schema import TaskRow

_LARGEST_PART: Final = 500


def series_changed(
    session: Session,
    node: str,
    kinds: Iterable[str],
    images: Iterable[InstanceRow],
    now: datetime,
) -> None:
    """Put series back into the queues of some kinds, since images of theirs came or went.

    Runs inside the transaction in which the ledger takes the events.
    """
    latest: dict[str, datetime] = {}
    for row in images:
        latest[row.series] = max(row.updated, latest.get(row.series, row.updated))
    for kind in kinds:
        known = _whole(session, node, kind, latest)
        for series, moment in latest.items():
            task = known.get(series)
            if task is None:
                task = new_row(node, kind, series, now)
                if not add_unless_there(session, task):
                    task = _whole(session, node, kind, [series])[series]
            change(task, now)
            task.changed = moment
    session.flush()


def _whole(session: Session, node: str, kind: str, subjects: Iterable[str]) -> dict[str, TaskRow]:
    """Return the tasks of a kind without a name, by their subjects, locked."""
    names = sorted(subjects)
    found: dict[str, TaskRow] = {}
    for start in range(0, len(names), _LARGEST_PART):
        query = (
            select(TaskRow)
            .where(
                TaskRow.node == node,
                TaskRow.kind == kind,
                TaskRow.subject.in_(names[start : start + _LARGEST_PART]),
                TaskRow.name == "",
            )
            .order_by(TaskRow.id)
            .with_for_update()
        )
        found |= {row.subject: row for row in session.scalars(query)}
    return found


def new_row(node: str, kind: str, subject: str, now: datetime) -> TaskRow:
    """Make a row that nobody has held yet and that may be lent at once."""
    return TaskRow(
        node=node,
        kind=kind,
        subject=subject,
        name="",
        generation=0,
        payload={},
        outcome={},
        asked=False,
        revision=0,
        lent=0,
        changed=now,
        stored="",
        **waiting(now),
    )


def change(row: TaskRow, now: datetime) -> None:
    """Note that a subject is not as it was; what is under way ends first."""
    row.revision += 1
    row.updated = now
    if row.state != TaskState.RUNNING.value:
        begin(row, now)


def begin(row: TaskRow, now: datetime) -> None:
    """Have a task lent as if it were new; whoever holds it holds it no more."""
    row.attempts = row.interruptions = 0
    give_back(row, "", now)
