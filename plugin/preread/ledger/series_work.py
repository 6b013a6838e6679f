"""The queue of series in which networks look for regions, in the same database as the ledger.

A series enters it with each arrival and deletion of an image, and is lent once nothing has changed
in it for a while, or at once if somebody asks. What changes while it is looked at puts it back.
It has the shape of the ledger's own queue: Reserve and Acknowledge, one transaction for each
method.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sqlalchemy import ColumnElement, Select, func, or_, select
from sqlalchemy.orm import Session

from preread.ledger.database import Database
from preread.ledger.inserting import add_unless_there
from preread.ledger.schema import PENDING, InstanceRow
from preread.ledger.series_schema import SeriesTaskRow
from preread.ledger.series_task import SeriesTask, TaskState

_MAX_ATTEMPTS: Final = 5
_MAX_INTERRUPTIONS: Final = 3
_FIRST_BACKOFF: Final = 2.0  # seconds
_LONGEST_REASON: Final = 1000
_LARGEST_PART: Final = 500


class SeriesWork:
    """The series of one node.

    Every method raises `preread.ledger.errors.LedgerError` if it cannot be carried out.

    Parameters
    ----------
    database
        The ledger's.
    node
        The Orthanc whose series these are.
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

    def ask(self, series: str, scope: str = "", network: str = "") -> SeriesTask:
        """Have a series, or one image of it, looked at now, as it is.

        Parameters
        ----------
        series
            Orthanc's id.
        scope
            Orthanc's id of the one image; empty for all.
        network
            DnnUID; empty for the network that fits.
        """
        with self._database.writing() as session:
            now = self._now(session)
            named = (
                self._rows()
                .where(
                    SeriesTaskRow.series == series,
                    SeriesTaskRow.scope == scope,
                    SeriesTaskRow.network == network,
                )
                .with_for_update()
            )
            row = session.scalar(named)
            if row is None:
                row = _new(self._node, series, now)
                row.scope, row.network = scope, network
                if not add_unless_there(session, row):
                    row = session.scalars(named).one()
            _change(row, now)
            row.asked = True
            session.flush()
            return _shown(row)

    def of(self, number: int) -> SeriesTask | None:
        """Return one, by the ledger's number."""
        with self._database.reading() as session:
            row = session.get(SeriesTaskRow, number)
            return None if row is None else _shown(row)

    def of_series(self, series: Sequence[str]) -> list[SeriesTask]:
        """Return what is known of series, by Orthanc's ids, in the order of the first request."""
        with self._database.reading() as session:
            query = self._rows().where(SeriesTaskRow.series.in_(list(series)[:_LARGEST_PART]))
            return [_shown(row) for row in session.scalars(query)]

    def counts(self) -> dict[TaskState, int]:
        """Return how many are in each state."""
        query = (
            select(SeriesTaskRow.state, func.count())
            .where(SeriesTaskRow.node == self._node)
            .group_by(SeriesTaskRow.state)
        )
        with self._database.reading() as session:
            found = {TaskState(state): number for state, number in session.execute(query)}
        return {state: found.get(state, 0) for state in TaskState}

    # What the runner needs.

    def reserve(self, owner: str, lease_seconds: float, quiet_seconds: float) -> SeriesTask | None:
        """Lend the next one: what somebody waits for first, what a runner died of last.

        Parameters
        ----------
        owner
            Who works on it.
        lease_seconds
            How long, unless extended.
        quiet_seconds
            How long nothing must have changed in a series that nobody asked for.
        """
        with self._database.writing() as session:
            now = self._now(session)
            self._interrupt(session, SeriesTaskRow.lease_until < now)
            row = session.scalar(
                self._rows()
                .where(
                    PENDING,
                    SeriesTaskRow.not_before <= now,
                    or_(
                        SeriesTaskRow.asked.is_(True),
                        SeriesTaskRow.changed <= now - timedelta(seconds=quiet_seconds),
                    ),
                )
                .order_by(None)
                .order_by(SeriesTaskRow.interruptions, SeriesTaskRow.asked.desc(), SeriesTaskRow.id)
                .limit(1)
                .with_for_update(skip_locked=True)
            )
            if row is None:
                return None
            row.state = TaskState.RUNNING.value
            row.owner = owner
            row.reservation += 1
            row.lent = row.revision
            row.lease_until = now + timedelta(seconds=lease_seconds)
            row.updated = now
            session.flush()
            return _shown(row)

    def extend(self, task: SeriesTask, lease_seconds: float) -> bool:
        """Lengthen a lease from now on; False if it is not held, or not worth finishing.

        The series has changed then, and will be lent again.
        """
        with self._database.writing() as session:
            row = self._held(session, task)
            if row is None or row.revision != task.revision:
                return False
            row.lease_until = self._now(session) + timedelta(seconds=lease_seconds)
            return True

    def done(self, task: SeriesTask, ran: str, regions: int, proposal: str = "") -> bool:
        """Write down what a network found; False if it is no longer held."""
        with self._database.writing() as session:
            row = self._held(session, task)
            if row is None:
                return False
            row.ran, row.regions, row.proposal = ran, regions, proposal
            self._settle(session, row, TaskState.DONE, "")
            return True

    def leave(self, task: SeriesTask, reason: str) -> bool:
        """Write down that no network looks at it, for a reason that is no failure."""
        with self._database.writing() as session:
            row = self._held(session, task)
            if row is None:
                return False
            row.ran, row.regions, row.proposal = "", 0, ""
            self._settle(session, row, TaskState.UNREAD, reason)
            return True

    def fail(self, task: SeriesTask, reason: str, *, retry: bool) -> bool:
        """Write down that a try ended in an error; with `retry` a few more follow, after pauses."""
        with self._database.writing() as session:
            row = self._held(session, task)
            if row is None:
                return False
            row.attempts += 1
            if retry and row.attempts < _MAX_ATTEMPTS:
                now = self._now(session)
                _end(row, TaskState.PENDING, reason, now)
                row.not_before = now + timedelta(seconds=_FIRST_BACKOFF * 2.0**row.attempts)
            else:
                self._settle(session, row, TaskState.FAILED, reason)
            return True

    def release(self, task: SeriesTask, pause: float = 0.0) -> bool:
        """Give one back untouched, to be lent after a pause in seconds."""
        with self._database.writing() as session:
            row = self._held(session, task)
            if row is not None:
                now = self._now(session)
                _end(row, TaskState.PENDING, row.reason, now)
                row.not_before = now + timedelta(seconds=pause)
            return row is not None

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was."""
        with self._database.writing() as session:
            return self._interrupt(session, SeriesTaskRow.owner == owner)

    # How it is done.

    def _now(self, session: Session) -> datetime:
        return self._database.now(session) if self._clock is None else self._clock()

    def _rows(self) -> Select[SeriesTaskRow]:
        return (
            select(SeriesTaskRow).where(SeriesTaskRow.node == self._node).order_by(SeriesTaskRow.id)
        )

    def _settle(self, session: Session, row: SeriesTaskRow, state: TaskState, reason: str) -> None:
        """End a try, or begin anew where the series changed while it was looked at."""
        if row.revision == row.lent:
            row.asked = False
            _end(row, state, reason, self._now(session))
        else:
            _end(row, TaskState.PENDING, "", self._now(session))

    def _held(self, session: Session, task: SeriesTask) -> SeriesTaskRow | None:
        """Return the row, if its present holder is the one who asks."""
        row = session.get(SeriesTaskRow, task.id, with_for_update=True)
        if row is None or row.state != TaskState.RUNNING.value:
            return None
        return row if (row.owner, row.reservation) == (task.owner, task.reservation) else None

    def _interrupt(self, session: Session, which: ColumnElement[bool]) -> int:
        query = (
            self._rows()
            .where(SeriesTaskRow.state == TaskState.RUNNING.value, which)
            .with_for_update(skip_locked=True)
        )
        rows = list(session.scalars(query))
        now = self._now(session)
        for row in rows:
            row.interruptions += 1
            if row.interruptions >= _MAX_INTERRUPTIONS:
                reason = f"the runner ended {row.interruptions} times while it looked at this"
                _end(row, TaskState.FAILED, f"{reason}; see its log", now)
            else:
                _end(row, TaskState.PENDING, row.reason, now)
                row.not_before = now
        return len(rows)


def take(session: Session, node: str, changed: Iterable[InstanceRow], now: datetime) -> None:
    """Put series back into the queue whose images arrived or were deleted.

    Runs inside the transaction in which the ledger takes the events.

    Parameters
    ----------
    changed
        The images.
    """
    latest: dict[str, datetime] = {}
    for row in changed:
        latest[row.series] = max(row.updated, latest.get(row.series, row.updated))
    known = _whole(session, node, latest)
    for series, moment in latest.items():
        task = known.get(series)
        if task is None:
            task = _new(node, series, now)
            if not add_unless_there(session, task):
                task = _whole(session, node, {series: moment})[series]
        _change(task, now)
        task.changed = moment
    session.flush()


def _whole(session: Session, node: str, series: Mapping[str, datetime]) -> dict[str, SeriesTaskRow]:
    names = sorted(series)
    found: dict[str, SeriesTaskRow] = {}
    for start in range(0, len(names), _LARGEST_PART):
        query = (
            select(SeriesTaskRow)
            .where(
                SeriesTaskRow.node == node,
                SeriesTaskRow.series.in_(names[start : start + _LARGEST_PART]),
                SeriesTaskRow.scope == "",
                SeriesTaskRow.network == "",
            )
            .order_by(SeriesTaskRow.id)
            .with_for_update()
        )
        found |= {row.series: row for row in session.scalars(query)}
    return found


def _new(node: str, series: str, now: datetime) -> SeriesTaskRow:
    return SeriesTaskRow(
        node=node,
        series=series,
        scope="",
        network="",
        asked=False,
        revision=0,
        lent=0,
        changed=now,
        state=TaskState.PENDING.value,
        reason="",
        ran="",
        regions=0,
        proposal="",
        attempts=0,
        interruptions=0,
        owner="",
        reservation=0,
        not_before=now,
        lease_until=None,
        created=now,
        updated=now,
    )


def _change(row: SeriesTaskRow, now: datetime) -> None:
    """Note that a series is not as it was; what is under way ends first."""
    row.revision += 1
    row.updated = now
    if row.state != TaskState.RUNNING.value:
        row.state, row.reason = TaskState.PENDING.value, ""
        row.attempts = row.interruptions = 0
        row.not_before = now


def _end(row: SeriesTaskRow, state: TaskState, reason: str, now: datetime) -> None:
    row.state = state.value
    row.reason = reason[:_LONGEST_REASON]
    row.owner = ""
    row.lease_until = None
    row.updated = now


def _shown(row: SeriesTaskRow) -> SeriesTask:
    return SeriesTask(
        id=row.id,
        series=row.series,
        scope=row.scope,
        network=row.network,
        asked=row.asked,
        revision=row.revision,
        state=TaskState(row.state),
        reason=row.reason,
        ran=row.ran,
        regions=row.regions,
        proposal=row.proposal,
        attempts=row.attempts,
        owner=row.owner,
        reservation=row.reservation,
        created=row.created,
        updated=row.updated,
    )
