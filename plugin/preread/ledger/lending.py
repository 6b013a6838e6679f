"""How rows of a queue are lent, held, given back and brought to an end.

All queues of the ledger have one shape: Reserve and Acknowledge. A row that is lent has an owner, a
number of the reservation and a time until which it is held; what is told of it counts only if its
present holder tells it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Any, Final, Generic, Protocol, TypeVar

from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from preread.ledger.counting import count
from preread.ledger.on_node import OnNode
from preread.ledger.schema import PENDING, Lendable

_MAX_INTERRUPTIONS: Final = 3
_FIRST_BACKOFF: Final = 2.0  # seconds
_LONGEST_REASON: Final = 1000


class Turn(StrEnum):
    """The states that every queue has, whatever else it calls an end."""

    PENDING = "pending"
    RUNNING = "running"
    FAILED = "failed"


class Lent(Protocol):
    """What tells an answer of the present holder from that of a former one."""

    @property
    def id(self) -> int:
        """The ledger's number of it."""
        ...

    @property
    def owner(self) -> str:
        """Who holds it."""
        ...

    @property
    def reservation(self) -> int:
        """How often it had been lent by then."""
        ...


RowT = TypeVar("RowT", bound=Lendable)
LentT = TypeVar("LentT", bound=Lent)
StateT = TypeVar("StateT", bound=StrEnum)


class Lending(OnNode, Generic[RowT, LentT, StateT]):
    """A queue that lends one row at a time; each has its own way of choosing and showing it.

    Attributes
    ----------
    _table
        The table.
    _states
        What a row's state may be; those of `Turn` among them.
    _max_attempts
        Tries that may end in an error before one is failed.
    _ended
        Why it is failed where the runner ended each time; ``{}`` stands for how often.
    """

    _table: type[RowT]
    _states: type[StateT]
    _max_attempts: int
    _ended: str

    def counts(self) -> dict[StateT, int]:
        """Return how many are in each state."""
        rows = self._table
        with self._database.reading() as session:
            return count(session, rows.state, self._states, rows.node == self._node)

    def fail(self, lent: LentT, reason: str, *, retry: bool) -> bool:
        """Write down that a try ended in an error; with `retry` a few more follow, after pauses."""
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is None:
                return False
            now = self._now(session)
            row.attempts += 1
            if retry and row.attempts < self._max_attempts:
                give_back(row, reason, now, _FIRST_BACKOFF * 2.0**row.attempts)
            else:
                self._settle(row, Turn.FAILED, reason, now)
            return True

    def release(self, lent: LentT, pause: float = 0.0, reason: str | None = None) -> bool:
        """Give one back untouched, to be lent after a pause in seconds.

        A reason takes the place of what is said of it.
        """
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is not None:
                said = row.reason if reason is None else reason
                give_back(row, said, self._now(session), pause)
            return row is not None

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was."""
        with self._database.writing() as session:
            return self._interrupt(session, self._table.owner == owner, self._now(session))

    # How it is done.

    def _lend_next(
        self,
        session: Session,
        owner: str,
        lease_seconds: float,
        now: datetime,
        *which: ColumnElement[bool],
        first: ColumnElement[Any] | None = None,
    ) -> RowT | None:
        """Lend the oldest one that may be lent now, what a runner died of last.

        Parameters
        ----------
        which
            Only these.
        first
            What comes before age in their order.
        """
        rows = self._table
        self._interrupt(session, rows.lease_until < now, now)
        row = session.scalar(
            select(rows)
            .where(rows.node == self._node, PENDING, rows.not_before <= now, *which)
            .order_by(rows.interruptions, *(() if first is None else (first,)), rows.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is not None:
            lend(row, owner, lease_seconds, now)
        return row

    def _held(self, session: Session, lent: LentT) -> RowT | None:
        """Return the row, if its present holder is the one who asks."""
        row = session.get(self._table, lent.id, with_for_update=True)
        return row if row is not None and is_held(row, lent) else None

    def _finish(
        self,
        lent: LentT,
        state: StateT,
        reason: str = "",
        write: Callable[[RowT], None] = lambda _row: None,
    ) -> bool:
        """Bring one to its end with what is to be written down of it; False if it is not held."""
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is None:
                return False
            write(row)
            self._settle(row, state, reason, self._now(session))
            return True

    def _settle(self, row: RowT, state: StrEnum, reason: str, now: datetime) -> None:
        end(row, state, reason, now)

    def _interrupt(self, session: Session, which: ColumnElement[bool], now: datetime) -> int:
        rows = self._table
        query = (
            select(rows)
            .where(rows.node == self._node, rows.state == Turn.RUNNING.value, which)
            .order_by(rows.id)
            .with_for_update(skip_locked=True)
        )
        found = list(session.scalars(query))
        for row in found:
            interrupt(row, _MAX_INTERRUPTIONS, self._ended, now)
        return len(found)


def waiting(now: datetime) -> dict[str, Any]:
    """Return the columns of a row that nobody has held yet and that may be lent at once."""
    return {
        "state": Turn.PENDING.value,
        "reason": "",
        "attempts": 0,
        "interruptions": 0,
        "owner": "",
        "reservation": 0,
        "not_before": now,
        "lease_until": None,
        "created": now,
        "updated": now,
    }


def lend(row: Lendable, owner: str, lease_seconds: float, now: datetime) -> None:
    """Make somebody the holder of a row."""
    row.state = Turn.RUNNING.value
    row.owner = owner
    row.reservation += 1
    row.lease_until = now + timedelta(seconds=lease_seconds)
    row.updated = now


def is_held(row: Lendable, lent: Lent) -> bool:
    """Tell whether what was lent is held still, by the one to whom it was lent."""
    return row.state == Turn.RUNNING.value and (
        (row.owner, row.reservation) == (lent.owner, lent.reservation)
    )


def end(row: Lendable, state: StrEnum, reason: str, now: datetime) -> None:
    """Write down what became of a row, and that nobody holds it."""
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.owner = ""
    row.lease_until = None
    row.updated = now


def give_back(row: Lendable, reason: str, now: datetime, pause: float = 0.0) -> None:
    """Have a row lent again, after a pause in seconds."""
    end(row, Turn.PENDING, reason, now)
    row.not_before = now + timedelta(seconds=pause)


def interrupt(row: Lendable, most: int, ended: str, now: datetime) -> None:
    """Take a row back from a holder that is gone; fail one that has ended too many.

    Parameters
    ----------
    most
        As many interruptions make it failed.
    ended
        Why it is failed then; ``{}`` stands for how often.
    """
    row.interruptions += 1
    if row.interruptions >= most:
        end(row, Turn.FAILED, ended.format(row.interruptions), now)
    else:
        give_back(row, row.reason, now)
