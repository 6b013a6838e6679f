"""The queue of series in which networks look for regions, in the same database as the ledger.

A series enters it with each arrival and deletion of an image, and is lent once nothing has changed
in it for a while, or at once if somebody asks. What changes while it is looked at puts it back.
It has the shape of the ledger's own queue (see `preread.ledger.lending`).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from sqlalchemy import Select, or_, select
from sqlalchemy.orm import Session

from preread.ledger.inserting import add_unless_there
from preread.ledger.lending import Lending, Turn, end, waiting
from preread.ledger.schema import InstanceRow
from preread.ledger.series_schema import SeriesTaskRow
from preread.ledger.series_task import SeriesTask, TaskState
from preread.ledger.skipped import SkippedImage

_LARGEST_PART: Final = 500


class SeriesWork(Lending[SeriesTaskRow, SeriesTask, TaskState]):
    """The series of one node."""

    _table = SeriesTaskRow
    _states = TaskState
    _max_attempts = 5
    _ended = "the runner ended {} times while it looked at this; see its log"

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
            quiet_since = now - timedelta(seconds=quiet_seconds)
            is_due = or_(SeriesTaskRow.asked.is_(True), SeriesTaskRow.changed <= quiet_since)
            first = SeriesTaskRow.asked.desc()
            row = self._lend_next(session, owner, lease_seconds, now, is_due, first=first)
            if row is None:
                return None
            row.lent = row.revision
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

    def done(
        self,
        task: SeriesTask,
        ran: str,
        regions: int,
        proposal: str = "",
        skipped: Sequence[SkippedImage] = (),
    ) -> bool:
        """Write down what a network found and left out; False if it is no longer held."""

        def write(row: SeriesTaskRow) -> None:
            row.ran, row.regions, row.proposal = ran, regions, proposal
            row.skipped = [one.to_json() for one in skipped]

        return self._finish(task, TaskState.DONE, write=write)

    def leave(self, task: SeriesTask, reason: str) -> bool:
        """Write down that no network looks at it, for a reason that is no failure."""

        def write(row: SeriesTaskRow) -> None:
            row.ran, row.regions, row.proposal, row.skipped = "", 0, "", []

        return self._finish(task, TaskState.UNREAD, reason, write)

    # How it is done.

    def _rows(self) -> Select[SeriesTaskRow]:
        return (
            select(SeriesTaskRow).where(SeriesTaskRow.node == self._node).order_by(SeriesTaskRow.id)
        )

    def _settle(self, row: SeriesTaskRow, state: StrEnum, reason: str, now: datetime) -> None:
        """End a try, or begin anew where the series changed while it was looked at."""
        if row.revision == row.lent:
            row.asked = False
            end(row, state, reason, now)
        else:
            end(row, Turn.PENDING, "", now)


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
        ran="",
        regions=0,
        proposal="",
        skipped=[],
        **waiting(now),
    )


def _change(row: SeriesTaskRow, now: datetime) -> None:
    """Note that a series is not as it was; what is under way ends first."""
    row.revision += 1
    row.updated = now
    if row.state != TaskState.RUNNING.value:
        row.state, row.reason = TaskState.PENDING.value, ""
        row.attempts = row.interruptions = 0
        row.not_before = now


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
        skipped=tuple(map(SkippedImage.from_json, row.skipped or ())),
        attempts=row.attempts,
        owner=row.owner,
        reservation=row.reservation,
        created=row.created,
        updated=row.updated,
    )
