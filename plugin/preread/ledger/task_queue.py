"""A queue in the one table of tasks: it is of one kind, and lends one task at a time.

A task is wanted by somebody, or since its subject changed. What changes while it is under way puts
it back. Parts of the ledger that know more of a kind build on `Queue`; all others use
`preread.ledger.tasks.Tasks`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from sqlalchemy import ColumnElement, Select, or_, select
from sqlalchemy.orm import Session

from preread.ledger.counting import count
from preread.ledger.inserting import add_unless_there
from preread.ledger.lending import (
    FIRST_BACKOFF,
    Lent,
    end,
    give_back,
    interrupt,
    is_held,
    lend,
)
from preread.ledger.on_node import OnNode
from preread.ledger.schema import PENDING
from preread.ledger.task import TaskState
from preread.ledger.task_rows import change, new_row
from preread.ledger.task_schema import TaskRow

_LARGEST_PART: Final = 500
OVERTAKEN: Final = "the image arrived again or was deleted meanwhile"

LentT = TypeVar("LentT", bound=Lent)


class Queue(OnNode, Generic[LentT]):
    """The tasks of one kind, on one node.

    Attributes
    ----------
    kind
        Which.
    _states
        What becomes of a task of this kind; the others are not counted.
    _max_attempts
        Tries that may end in an error before one is failed.
    _max_interruptions
        Runners that may end while they hold one before it is failed.
    _remembers_who_asked
        Whether `Task.asked` stays after its end.
    _ended
        Why it is failed then; ``{}`` stands for how often.
    """

    kind: str
    _states: Collection[TaskState] = tuple(TaskState)
    _max_attempts: int = 5
    _max_interruptions: int = 3
    _remembers_who_asked: bool = False
    _ended: str = "the runner ended {} times while it worked on this; see its log"

    @abstractmethod
    def _shown(self, session: Session, row: TaskRow) -> LentT:
        """Return a row as it is handed out."""

    def counts(self) -> dict[TaskState, int]:
        """Return how many are in each state."""
        with self._database.reading() as session:
            which = (TaskRow.node == self._node) & (TaskRow.kind == self.kind)
            found = count(session, TaskRow.state, TaskState, which)
            return {state: found[state] for state in TaskState if state in self._states}

    def fail(self, lent: LentT, reason: str, *, retry: bool) -> bool:
        """Write down that a try ended in an error; with `retry` a few more follow, after pauses."""
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is None:
                return False
            now = self._now(session)
            row.attempts += 1
            if retry and row.attempts < self._max_attempts:
                give_back(row, reason, now, FIRST_BACKOFF * 2.0**row.attempts)
            else:
                self._settle(session, row, TaskState.FAILED, reason, now)
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
            return self._interrupt(session, TaskRow.owner == owner, self._now(session))

    def reserve(self, owner: str, lease_seconds: float, quiet_seconds: float = 0.0) -> LentT | None:
        """Lend the next one: what somebody waits for first, what a runner died of last.

        Parameters
        ----------
        owner
            Who works on it.
        lease_seconds
            How long, unless extended.
        quiet_seconds
            How long nothing must have changed in a subject that nobody asked for.
        """
        with self._database.writing() as session:
            now = self._now(session)
            quiet_since = now - timedelta(seconds=quiet_seconds)
            is_due = or_(TaskRow.asked.is_(True), TaskRow.changed <= quiet_since)
            row = self._lend_next(session, owner, lease_seconds, now, is_due)
            return None if row is None else self._shown(session, row)

    def extend(self, lent: LentT, lease_seconds: float) -> bool:
        """Lengthen a lease from now on; False if it is not held, or not worth finishing.

        The subject has changed then, and the task will be lent again.
        """
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is None or row.revision != row.lent:
                return False
            row.lease_until = self._now(session) + timedelta(seconds=lease_seconds)
            return True

    # How it is done.

    def _row(self, session: Session, number: int, *, lock: bool = False) -> TaskRow | None:
        """Return a row by the number that it is handed out with."""
        row = session.get(TaskRow, number, with_for_update=lock or None)
        return row if row is not None and (row.node, row.kind) == (self._node, self.kind) else None

    def _one(self, number: int) -> LentT | None:
        with self._database.reading() as session:
            row = self._row(session, number)
            return None if row is None else self._shown(session, row)

    def _of_subjects(self, subjects: Sequence[str]) -> list[LentT]:
        """Return what is known of subjects, in the order of the first request."""
        with self._database.reading() as session:
            query = self._rows().where(TaskRow.subject.in_(list(subjects)[:_LARGEST_PART]))
            return [self._shown(session, row) for row in session.scalars(query)]

    def _rows(self) -> Select[TaskRow]:
        return (
            select(TaskRow)
            .where(TaskRow.node == self._node, TaskRow.kind == self.kind)
            .order_by(TaskRow.id)
        )

    def _put(
        self, session: Session, subject: str, name: str, payload: Mapping[str, Any], now: datetime
    ) -> TaskRow:
        """Find a task or make it, have it done anew, and note that somebody waits for it."""
        named = self._rows().where(TaskRow.subject == subject, TaskRow.name == name)
        row = session.scalar(named.with_for_update())
        if row is None:
            row = new_row(self._node, self.kind, subject, now)
            row.name = name
            if not add_unless_there(session, row):
                row = session.scalars(named.with_for_update()).one()
        row.payload = dict(payload)
        change(row, now)
        row.asked = True
        session.flush()
        return row

    def _lend_next(
        self,
        session: Session,
        owner: str,
        lease_seconds: float,
        now: datetime,
        *which: ColumnElement[bool],
    ) -> TaskRow | None:
        """Lend what somebody waits for first, then the oldest, and what a runner died of last.

        Parameters
        ----------
        which
            Only these.
        """
        self._interrupt(session, TaskRow.lease_until < now, now)
        row = session.scalar(
            self._rows()
            .where(PENDING, TaskRow.not_before <= now, *which)
            .order_by(None)
            .order_by(TaskRow.interruptions, TaskRow.asked.desc(), TaskRow.id)
            .limit(1)
            .with_for_update(skip_locked=True)
        )
        if row is not None:
            lend(row, owner, lease_seconds, now)
            row.lent = row.revision
        return row

    def _held(self, session: Session, lent: LentT) -> TaskRow | None:
        """Return the row, if its present holder is the one who asks."""
        row = self._row(session, lent.id, lock=True)
        return row if row is not None and is_held(row, lent) else None

    def _finish(
        self,
        lent: LentT,
        state: TaskState,
        reason: str = "",
        write: Callable[[TaskRow], None] = lambda _row: None,
    ) -> bool:
        """Bring one to its end with what is to be written down of it; False if it is not held."""
        with self._database.writing() as session:
            row = self._held(session, lent)
            if row is None:
                return False
            write(row)
            self._settle(session, row, state, reason, self._now(session))
            return True

    def _settle(
        self,
        session: Session,  # noqa: ARG002 - those that have rows of their own need it
        row: TaskRow,
        state: TaskState,
        reason: str,
        now: datetime,
    ) -> None:
        """End a try, or begin anew where the subject changed while it was looked at."""
        if row.revision == row.lent:
            row.asked = row.asked and self._remembers_who_asked
            end(row, state, reason, now)
        else:
            end(row, TaskState.PENDING, "", now)

    def _interrupt(self, session: Session, which: ColumnElement[bool], now: datetime) -> int:
        query = (
            self._rows()
            .where(TaskRow.state == TaskState.RUNNING.value, which)
            .with_for_update(skip_locked=True)
        )
        found = list(session.scalars(query))
        for row in found:
            if interrupt(row, self._max_interruptions, now):
                reason = self._ended.format(row.interruptions)
                self._settle(session, row, TaskState.FAILED, reason, now)
        return len(found)
