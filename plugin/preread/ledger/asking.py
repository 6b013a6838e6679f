"""How wishes to see what a network looked at are written down.

Everything here runs inside a transaction of the caller, who has locked the instance's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import Select, select
from sqlalchemy.orm import Session

from preread.ledger.explanation import Wanted
from preread.ledger.schema import InstanceRow
from preread.ledger.task import TaskState
from preread.ledger.task_rows import begin, new_row
from preread.ledger.task_schema import TaskRow

KIND: Final = "explanation"


def ask(
    session: Session, instance: InstanceRow, wanted: Sequence[Wanted], now: datetime
) -> list[TaskRow]:
    """Have classes explained that somebody asked for; what is under way already goes on."""
    rows = _rows(session, instance, wanted, now)
    for row, one in zip(rows, wanted, strict=True):
        row.asked = True
        current = row.generation == instance.generation
        if not (current and TaskState(row.state).is_open):
            _begin(row, instance, one, now)
    session.flush()
    return rows


def after_reading(
    session: Session, instance: InstanceRow, wanted: Sequence[Wanted], now: datetime
) -> None:
    """Bring an instance's explanations in line with a reading that is just being written down.

    What was explained before is explained anew, since the pixels or the model may be others, and
    what a threshold wants is added.
    """
    for row in session.scalars(_of(instance)):
        _begin(row, instance, None, now)
    for row, one in zip(_rows(session, instance, wanted, now), wanted, strict=True):
        _begin(row, instance, one, now)
    session.flush()


def _of(instance: InstanceRow) -> Select[TaskRow]:
    return (
        select(TaskRow)
        .where(
            TaskRow.node == instance.node,
            TaskRow.kind == KIND,
            TaskRow.subject == instance.instance,
        )
        .order_by(TaskRow.id)
        .with_for_update()
    )


def _rows(
    session: Session, instance: InstanceRow, wanted: Sequence[Wanted], now: datetime
) -> list[TaskRow]:
    """Find or make a row for each."""
    if not wanted:
        return []
    known = {row.name: row for row in session.scalars(_of(instance))}
    found = []
    for one in wanted:
        name = f"{one.model}|{one.label}|{one.frame}"
        if name not in known:
            row = known[name] = new_row(instance.node, KIND, instance.instance, now)
            row.name, row.generation, row.payload = name, instance.generation, one.to_json()
            session.add(row)
        found.append(known[name])
    return found


def _begin(row: TaskRow, instance: InstanceRow, wanted: Wanted | None, now: datetime) -> None:
    """Make a row pending as if it were new; where a map is stored stays known."""
    row.generation = instance.generation
    if wanted is not None:
        row.payload = wanted.to_json()
    begin(row, now)
