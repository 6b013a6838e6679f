"""The queue of reviews whose objects are still to be made; each decision is recorded already.

It has the shape of the ledger's own: Reserve and Acknowledge, one transaction for each method.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, func, select
from sqlalchemy.orm import Session

from preread.ledger.database import Database
from preread.ledger.proposal import ObjectIdentity, Review, ReviewState
from preread.ledger.proposal_lookup import shown_review
from preread.ledger.proposal_schema import ProposalRow, ReviewRow
from preread.ledger.schema import PENDING

_MAX_ATTEMPTS: Final = 5
_MAX_INTERRUPTIONS: Final = 3
_FIRST_BACKOFF: Final = 2.0  # seconds
_LONGEST_REASON: Final = 1000


class Reviews:
    """What is still to be made of the decisions on one node.

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

    def of(self, number: int) -> Review | None:
        """Return one, by the ledger's number."""
        with self._database.reading() as session:
            row = session.get(ReviewRow, number)
            return None if row is None else self._shown(session, row)

    def reserve(self, owner: str, lease_seconds: float) -> Review | None:
        """Lend the next one: the oldest first, what a runner died of last."""
        with self._database.writing() as session:
            now = self._now(session)
            self._interrupt(session, ReviewRow.lease_until < now)
            row = session.scalar(
                select(ReviewRow)
                .where(ReviewRow.node == self._node, PENDING, ReviewRow.not_before <= now)
                .order_by(ReviewRow.interruptions, ReviewRow.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return None
            row.state = ReviewState.RUNNING.value
            row.owner = owner
            row.reservation += 1
            row.lease_until = now + timedelta(seconds=lease_seconds)
            row.updated = now
            session.flush()
            return self._shown(session, row)

    def done(self, review: Review, place: ObjectIdentity, attached: str = "") -> bool:
        """Write down where a review's object is stored; False if it is no longer held."""
        with self._database.writing() as session:
            row = self._held(session, review)
            if row is None:
                return False
            row.instance, row.SOPInstanceUID = place.instance, place.SOPInstanceUID
            row.attached = attached
            _end(row, ReviewState.DONE, "", self._now(session))
            return True

    def fail(self, review: Review, reason: str, *, retry: bool) -> bool:
        """Write down that a try ended in an error; with `retry` a few more follow, after pauses."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._held(session, review)
            if row is None:
                return False
            row.attempts += 1
            if retry and row.attempts < _MAX_ATTEMPTS:
                _end(row, ReviewState.PENDING, reason, now)
                row.not_before = now + timedelta(seconds=_FIRST_BACKOFF * 2.0**row.attempts)
            else:
                _end(row, ReviewState.FAILED, reason, now)
            return True

    def superseded(self, review: Review) -> bool:
        """Write down that an image arrived again or was deleted before the object was stored."""
        with self._database.writing() as session:
            row = self._held(session, review)
            if row is not None:
                reason = "an image arrived again or was deleted meanwhile"
                _end(row, ReviewState.SUPERSEDED, reason, self._now(session))
            return row is not None

    def release(self, review: Review, pause: float = 0.0) -> bool:
        """Give one back untouched, to be lent after a pause in seconds."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._held(session, review)
            if row is not None:
                _end(row, ReviewState.PENDING, row.reason, now)
                row.not_before = now + timedelta(seconds=pause)
            return row is not None

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was."""
        with self._database.writing() as session:
            return self._interrupt(session, ReviewRow.owner == owner)

    def counts(self) -> dict[ReviewState, int]:
        """Return how many are in each state."""
        query = (
            select(ReviewRow.state, func.count())
            .where(ReviewRow.node == self._node)
            .group_by(ReviewRow.state)
        )
        with self._database.reading() as session:
            found = {ReviewState(state): number for state, number in session.execute(query)}
        return {state: found.get(state, 0) for state in ReviewState}

    def _now(self, session: Session) -> datetime:
        return self._database.now(session) if self._clock is None else self._clock()

    def _shown(self, session: Session, row: ReviewRow) -> Review:
        return shown_review(row, session.get_one(ProposalRow, row.proposal_id))

    def _held(self, session: Session, review: Review) -> ReviewRow | None:
        """Return the row, if its present holder is the one who asks."""
        row = session.get(ReviewRow, review.id, with_for_update=True)
        if row is None or row.state != ReviewState.RUNNING.value:
            return None
        holder = (row.owner, row.reservation)
        return row if holder == (review.owner, review.reservation) else None

    def _interrupt(self, session: Session, which: ColumnElement[bool]) -> int:
        query = (
            select(ReviewRow)
            .where(
                ReviewRow.node == self._node, ReviewRow.state == ReviewState.RUNNING.value, which
            )
            .order_by(ReviewRow.id)
            .with_for_update(skip_locked=True)
        )
        rows = list(session.scalars(query))
        now = self._now(session)
        for row in rows:
            row.interruptions += 1
            if row.interruptions >= _MAX_INTERRUPTIONS:
                reason = f"the runner ended {row.interruptions} times while it made this object"
                _end(row, ReviewState.FAILED, f"{reason}; see its log", now)
            else:
                _end(row, ReviewState.PENDING, row.reason, now)
                row.not_before = now
        return len(rows)


def _end(row: ReviewRow, state: ReviewState, reason: str, now: datetime) -> None:
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.owner = ""
    row.lease_until = None
    row.updated = now
