"""The queue of what is to be explained, in the same database as the ledger.

It has the shape of the ledger's own: Reserve and Acknowledge, one transaction for each method. As
there, an instance's row is locked before the rows that refer to it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, or_, select
from sqlalchemy.orm import Session

from preread.ledger.asking import ask, shown
from preread.ledger.database import Database
from preread.ledger.explanation import Explanation, ExplanationState, MapIdentity, Wanted
from preread.ledger.schema import PENDING, STORED, ExplanationRow, InstanceRow

_MAX_ATTEMPTS: Final = 3
_MAX_INTERRUPTIONS: Final = 3
_FIRST_BACKOFF: Final = 2.0  # seconds
_LONGEST_REASON: Final = 1000
_MOST_WITHDRAWN: Final = 100
_SUPERSEDED: Final = "the image arrived again or was deleted meanwhile"


class Explanations:
    """What networks are to show of themselves, on one node.

    Every method raises `preread.ledger.errors.LedgerError` if it cannot be carried out.

    Parameters
    ----------
    database
        The ledger's.
    node
        The Orthanc whose images these are.
    clock
        The time in UTC; None for that of the database.
    """

    def __init__(
        self, database: Database, node: str, clock: Callable[[], datetime] | None = None
    ) -> None:
        self._database = database
        self._node = node
        self._clock = clock

    # What the API needs.

    def ask(self, instance: str, wanted: Sequence[Wanted]) -> list[Explanation]:
        """Have classes of an image explained, in its current generation.

        What was explained before is explained again; its map takes the place of the old one.

        Parameters
        ----------
        instance
            Orthanc's id; nothing is written down for one that is unknown or deleted.
        wanted
            Each once.
        """
        with self._database.writing() as session:
            row = session.scalar(
                select(InstanceRow)
                .where(
                    InstanceRow.node == self._node,
                    InstanceRow.instance == instance,
                    InstanceRow.deleted.is_(False),
                )
                .with_for_update()
            )
            if row is None:
                return []
            rows = ask(session, row, wanted, self._now(session))
            return [shown(one, instance) for one in rows]

    def of(self, instance: str) -> list[Explanation]:
        """Return what is to be seen, or will be, of the current pixels of an image.

        Parameters
        ----------
        instance
            Orthanc's id.
        """
        query = (
            select(ExplanationRow)
            .join(InstanceRow, InstanceRow.id == ExplanationRow.instance_id)
            .where(
                InstanceRow.node == self._node,
                InstanceRow.instance == instance,
                InstanceRow.deleted.is_(False),
                InstanceRow.generation == ExplanationRow.generation,
            )
            .order_by(ExplanationRow.id)
        )
        with self._database.reading() as session:
            return [shown(row, instance) for row in session.scalars(query)]

    def counts(self) -> dict[ExplanationState, int]:
        """Return how many are in each state."""
        query = (
            select(ExplanationRow.state, func.count())
            .where(ExplanationRow.node == self._node)
            .group_by(ExplanationRow.state)
        )
        with self._database.reading() as session:
            found = {ExplanationState(state): number for state, number in session.execute(query)}
        return {state: found.get(state, 0) for state in ExplanationState}

    # What the runner needs.

    def reserve(self, owner: str, lease_seconds: float) -> Explanation | None:
        """Lend the next one: what somebody waits for first, what a runner died of last."""
        with self._database.writing() as session:
            now = self._now(session)
            self._return_expired(session, now)
            row = session.scalar(
                select(ExplanationRow)
                .where(ExplanationRow.node == self._node, PENDING, ExplanationRow.not_before <= now)
                .order_by(
                    ExplanationRow.interruptions, ExplanationRow.asked.desc(), ExplanationRow.id
                )
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return None
            row.state = ExplanationState.RUNNING.value
            row.owner = owner
            row.reservation += 1
            row.lease_until = now + timedelta(seconds=lease_seconds)
            row.updated = now
            session.flush()
            return shown(row, self._name_of(session, row))

    def done(self, explanation: Explanation, place: MapIdentity, probability: float) -> bool:
        """Write down where a map is stored, and which probability it shows.

        Returns
        -------
        bool
            False if it is no longer held.
        """
        with self._database.writing() as session:
            row = self._held(session, explanation)
            if row is None:
                return False
            _place(row, place)
            row.probability = probability
            _end(row, ExplanationState.DONE, "", self._now(session))
            return True

    def fail(self, explanation: Explanation, reason: str, *, retry: bool) -> bool:
        """Write down that a try ended in an error; with `retry` a few more follow, after pauses."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._held(session, explanation)
            if row is None:
                return False
            row.attempts += 1
            if retry and row.attempts < _MAX_ATTEMPTS:
                _end(row, ExplanationState.PENDING, reason, now)
                row.not_before = now + timedelta(seconds=_FIRST_BACKOFF * 2.0**row.attempts)
            else:
                _end(row, ExplanationState.FAILED, reason, now)
            return True

    def superseded(self, explanation: Explanation) -> bool:
        """Write down that the image is not the one any more that was to be explained."""
        with self._database.writing() as session:
            row = self._held(session, explanation)
            if row is not None:
                _end(row, ExplanationState.SUPERSEDED, _SUPERSEDED, self._now(session))
            return row is not None

    def release(self, explanation: Explanation, pause: float = 0.0) -> bool:
        """Give one back untouched, to be lent after a pause in seconds."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._held(session, explanation)
            if row is not None:
                _end(row, ExplanationState.PENDING, row.reason, now)
                row.not_before = now + timedelta(seconds=pause)
            return row is not None

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was."""
        with self._database.writing() as session:
            return self._interrupt(session, ExplanationRow.owner == owner)

    def withdrawn(self) -> list[Explanation]:
        """Return maps that are stored and should not be.

        Their image was deleted or has other pixels now, or they could not be made anew.
        """
        query = (
            select(ExplanationRow, InstanceRow.instance)
            .join(InstanceRow, InstanceRow.id == ExplanationRow.instance_id)
            .where(
                ExplanationRow.node == self._node,
                STORED,
                or_(
                    InstanceRow.deleted.is_(True),
                    InstanceRow.generation != ExplanationRow.generation,
                    ExplanationRow.state == ExplanationState.FAILED.value,
                ),
            )
            .order_by(ExplanationRow.id)
            .limit(_MOST_WITHDRAWN)
        )
        with self._database.reading() as session:
            return [shown(row, instance) for row, instance in session.execute(query)]

    def forget_map(self, explanation: Explanation) -> None:
        """Write down that a map is not stored any more."""
        with self._database.writing() as session:
            row = session.get(ExplanationRow, explanation.id, with_for_update=True)
            stored = explanation.map
            if row is not None and stored is not None and row.map_instance == stored.instance:
                _place(row, MapIdentity("", "", "", ""))
                if row.state == ExplanationState.DONE.value:
                    _end(row, ExplanationState.SUPERSEDED, _SUPERSEDED, self._now(session))

    # How it is done.

    def _now(self, session: Session) -> datetime:
        return self._database.now(session) if self._clock is None else self._clock()

    def _name_of(self, session: Session, row: ExplanationRow) -> str:
        found = session.get(InstanceRow, row.instance_id)
        return "" if found is None else found.instance

    def _held(self, session: Session, explanation: Explanation) -> ExplanationRow | None:
        """Return the row, if its present holder is the one who asks."""
        row = session.get(ExplanationRow, explanation.id, with_for_update=True)
        if row is None or row.state != ExplanationState.RUNNING.value:
            return None
        holder = (row.owner, row.reservation)
        return row if holder == (explanation.owner, explanation.reservation) else None

    def _return_expired(self, session: Session, now: datetime) -> None:
        self._interrupt(session, ExplanationRow.lease_until < now)

    def _interrupt(self, session: Session, which: ColumnElement[bool]) -> int:
        query = (
            select(ExplanationRow)
            .where(
                ExplanationRow.node == self._node,
                ExplanationRow.state == ExplanationState.RUNNING.value,
                which,
            )
            .order_by(ExplanationRow.id)
            .with_for_update(skip_locked=True)
        )
        rows = list(session.scalars(query))
        now = self._now(session)
        for row in rows:
            row.interruptions += 1
            if row.interruptions >= _MAX_INTERRUPTIONS:
                reason = f"the runner ended {row.interruptions} times while it made this map"
                _end(row, ExplanationState.FAILED, f"{reason}; see its log", now)
            else:
                _end(row, ExplanationState.PENDING, row.reason, now)
                row.not_before = now
        return len(rows)


def _place(row: ExplanationRow, place: MapIdentity) -> None:
    row.map_instance = place.instance
    row.SOPInstanceUID = place.SOPInstanceUID
    row.SeriesInstanceUID = place.SeriesInstanceUID
    row.StudyInstanceUID = place.StudyInstanceUID


def _end(row: ExplanationRow, state: ExplanationState, reason: str, now: datetime) -> None:
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.owner = ""
    row.lease_until = None
    row.updated = now
