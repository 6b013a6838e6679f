"""How wishes to see what a network looked at are written down.

Everything here runs inside a transaction of the caller, who has locked the instance's row.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.explanation import Explanation, ExplanationState, MapIdentity, Wanted
from preread.ledger.lending import give_back, waiting
from preread.ledger.schema import ExplanationRow, InstanceRow


def ask(
    session: Session, instance: InstanceRow, wanted: Sequence[Wanted], now: datetime
) -> list[ExplanationRow]:
    """Have classes explained that somebody asked for; what is under way already goes on."""
    rows = _rows(session, instance, wanted, now)
    for row, one in zip(rows, wanted, strict=True):
        row.asked = True
        current = row.generation == instance.generation
        if not (current and ExplanationState(row.state).is_open):
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
    rows = session.scalars(
        select(ExplanationRow)
        .where(ExplanationRow.instance_id == instance.id)
        .order_by(ExplanationRow.id)
        .with_for_update()
    )
    for row in rows:
        _begin(row, instance, None, now)
    for row, one in zip(_rows(session, instance, wanted, now), wanted, strict=True):
        _begin(row, instance, one, now)
    session.flush()


def _rows(
    session: Session, instance: InstanceRow, wanted: Sequence[Wanted], now: datetime
) -> list[ExplanationRow]:
    """Find or make a row for each."""
    if not wanted:
        return []
    known = {
        (row.model, row.label, row.frame): row
        for row in session.scalars(
            select(ExplanationRow)
            .where(ExplanationRow.instance_id == instance.id)
            .order_by(ExplanationRow.id)
            .with_for_update()
        )
    }
    found = []
    for one in wanted:
        key = (one.model, one.label, one.frame)
        if key not in known:
            known[key] = _new(instance, one, now)
            session.add(known[key])
        found.append(known[key])
    return found


def _new(instance: InstanceRow, wanted: Wanted, now: datetime) -> ExplanationRow:
    return ExplanationRow(
        node=instance.node,
        instance_id=instance.id,
        generation=instance.generation,
        model=wanted.model,
        label=wanted.label,
        frame=wanted.frame,
        probability=wanted.probability,
        asked=False,
        map_instance="",
        SOPInstanceUID="",
        SeriesInstanceUID="",
        StudyInstanceUID="",
        **waiting(now),
    )


def _begin(
    row: ExplanationRow, instance: InstanceRow, wanted: Wanted | None, now: datetime
) -> None:
    """Make a row pending as if it were new; where a map is stored stays known."""
    row.generation = instance.generation
    if wanted is not None:
        row.probability = wanted.probability
    row.attempts = row.interruptions = 0
    give_back(row, "", now)


def shown(row: ExplanationRow, instance: str) -> Explanation:
    """Return a row as it is handed out."""
    place = None
    if row.map_instance:
        place = MapIdentity(
            row.map_instance, row.SOPInstanceUID, row.SeriesInstanceUID, row.StudyInstanceUID
        )
    return Explanation(
        id=row.id,
        instance=instance,
        generation=row.generation,
        wanted=Wanted(row.model, row.label, row.frame, row.probability),
        asked=row.asked,
        state=ExplanationState(row.state),
        reason=row.reason,
        attempts=row.attempts,
        map=place,
        owner=row.owner,
        reservation=row.reservation,
        updated=row.updated,
    )
