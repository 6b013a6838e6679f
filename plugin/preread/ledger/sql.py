"""The ledger in a database: SQLite, or PostgreSQL for several nodes and runners.

An instance row is locked before its jobs, and several of them in the order of their numbers, so
that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from preread.ledger import asking, lending, lookup, outcomes, series_work, takeover
from preread.ledger.arrival import Event
from preread.ledger.counting import count
from preread.ledger.database import Database
from preread.ledger.explanations import Explanations
from preread.ledger.job import InstanceRecord, InstanceResult, Job, JobState, Level, ReadSeries
from preread.ledger.network_checks import NetworkChecks
from preread.ledger.networks import Networks
from preread.ledger.proposals import Proposals
from preread.ledger.reviews import Reviews
from preread.ledger.schema import PENDING, CursorRow, InstanceRow, JobRow
from preread.ledger.series_work import SeriesWork
from preread.ledger.stored_objects import StoredObjects
from preread.ledger.task import Task, TaskState
from preread.ledger.task_schema import TaskRow
from preread.ledger.tasks import Tasks, task_of

if TYPE_CHECKING:
    from preread.findings.prediction import Prediction
    from preread.ledger.explanation import Wanted

_LONGEST_BACKOFF = 3600.0  # seconds
_ENDED = "the runner ended or hung {} times while it held this image; see its log"
_LARGEST_BATCH = 500


class SqlLedger:
    """One node's ledger in an SQL database; see `preread.ledger.protocol.Ledger`.

    Parameters
    ----------
    url
        An SQLAlchemy URL of SQLite or PostgreSQL.
    node
        The Orthanc whose work this is; in a shared database each has its own name.
    max_attempts
        Tries that may end in an error before a job is failed.
    backoff_seconds
        The pause after the first of them; it doubles each time, up to an hour.
    max_interruptions
        Reservations that may end without an answer before a job is failed. More than a few kills
        and crashes that had nothing to do with the image, few enough that an image which brings
        down the runner does not do so for ever.
    busy_timeout
        Seconds to wait for a lock of the database.
    series_kinds
        The kinds of tasks that a series gets when an image of it arrives or is deleted.
    clock
        The time in UTC; None for that of the database, which all its users share.

    Raises
    ------
    LedgerError
        If the database cannot be used.
    """

    def __init__(
        self,
        url: str,
        *,
        node: str = "orthanc",
        max_attempts: int = 5,
        backoff_seconds: float = 2.0,
        max_interruptions: int = 25,
        busy_timeout: float = 10.0,
        series_kinds: Sequence[str] = (series_work.KIND,),
        clock: Callable[[], datetime] | None = None,
    ) -> None:
        self._node = node
        self._max_attempts = max_attempts
        self._backoff_seconds = backoff_seconds
        self._max_interruptions = max_interruptions
        self._series_kinds = tuple(series_kinds)
        self._clock = clock
        self._database = Database(url, busy_timeout=busy_timeout)

    def close(self) -> None:
        """Close the database's connections."""
        self._database.close()

    @property
    def node(self) -> str:
        """The Orthanc whose work this is."""
        return self._node

    @property
    def database(self) -> Database:
        """The database underneath."""
        return self._database

    @property
    def explanations(self) -> Explanations:
        """What the networks are to show of themselves, in the same database."""
        return Explanations(self._database, self._node, self._clock)

    @property
    def proposals(self) -> Proposals:
        """What networks propose and people decide, in the same database."""
        return Proposals(self._database, self._node, self._clock)

    @property
    def stored_objects(self) -> StoredObjects:
        """What is stored of them, and whether it is as it was, in the same database."""
        return StoredObjects(self._database, self._node, self._clock)

    @property
    def reviews(self) -> Reviews:
        """The decisions whose objects are still to be made, in the same database."""
        return Reviews(self._database, self._node, self._clock)

    @property
    def networks(self) -> Networks:
        """The networks that are kept as DICOM objects, in the same database."""
        return Networks(self._database, self._node, self._clock)

    @property
    def network_checks(self) -> NetworkChecks:
        """Those of them that nobody has looked at yet."""
        return NetworkChecks(self._database, self._node, self._clock)

    def tasks(self, kind: str) -> Tasks:
        """Return the tasks of a kind of work, in the same database."""
        return Tasks(self._database, self._node, self._clock, kind=kind)

    def task_counts(self) -> list[tuple[str, str, int]]:
        """Return how many tasks there are of each kind and state, those of 0 left out."""
        query = (
            select(TaskRow.kind, TaskRow.state, func.count())
            .where(TaskRow.node == self._node)
            .group_by(TaskRow.kind, TaskRow.state)
            .order_by(TaskRow.kind, TaskRow.state)
        )
        with self._database.reading() as session:
            return [(kind, state, number) for kind, state, number in session.execute(query)]

    def all_tasks(
        self, kind: str = "", state: TaskState | None = None, subject: str = "", limit: int = 100
    ) -> list[Task]:
        """Return tasks of a kind, in a state, of a subject, or all; the latest changed first."""
        query = select(TaskRow).where(TaskRow.node == self._node)
        if kind:
            query = query.where(TaskRow.kind == kind)
        if state is not None:
            query = query.where(TaskRow.state == state.value)
        if subject:
            query = query.where(TaskRow.subject == subject)
        query = query.order_by(TaskRow.updated.desc(), TaskRow.id.desc()).limit(limit)
        with self._database.reading() as session:
            return [task_of(row) for row in session.scalars(query)]

    @property
    def series_work(self) -> SeriesWork:
        """The series in which networks look for regions, in the same database."""
        return SeriesWork(self._database, self._node, self._clock)

    # What the forwarder needs.

    def cursor(self, journal: str) -> int | None:
        """Return the last event taken from a journal; None if nothing ever was."""
        with self._database.reading() as session:
            row = session.get(CursorRow, (self._node, journal))
            return None if row is None else row.seq

    def apply(self, journal: str, events: Sequence[Event]) -> None:
        """Take events of a journal, in their order; those taken before change nothing."""
        with self._database.writing() as session:
            now = self._now(session)
            takeover.apply(session, self._node, journal, events, self._series_kinds, now)

    def highest_generation(self) -> int:
        """Return the highest generation of any instance; 0 if there is none."""
        with self._database.reading() as session:
            return lookup.highest_generation(session, self._node)

    def knows(self, instance: str) -> bool:
        """Tell whether any node has told of an instance; see `lookup.knows`."""
        with self._database.reading() as session:
            return lookup.knows(session, instance)

    def generations(self, after: str, limit: int) -> list[tuple[str, int]]:
        """Return instances that are not deleted with their generations, by rising Orthanc id."""
        with self._database.reading() as session:
            return lookup.generations(session, self._node, after, limit)

    # What the runner needs.

    def reserve(self, owner: str, limit: int, lease_seconds: float) -> list[Job]:
        """Lend pending jobs, oldest first; those that were interrupted before come last."""
        with self._database.writing() as session:
            now = self._now(session)
            self._return_expired(session, now)
            query = (
                select(JobRow)
                .where(JobRow.node == self._node, PENDING, JobRow.not_before <= now)
                .order_by(JobRow.interruptions, JobRow.id)
                .limit(limit)
                .with_for_update(skip_locked=True)
            )
            rows = list(session.scalars(query))
            for row in rows:
                lending.lend(row, owner, lease_seconds, now)
            session.flush()
            return lookup.jobs_of(session, rows)

    def extend(self, jobs: Sequence[Job], lease_seconds: float) -> list[Job]:
        """Lengthen leases, from now on, and return the jobs that are still held."""
        with self._database.writing() as session:
            until = self._now(session) + timedelta(seconds=lease_seconds)
            held = self._held(session, jobs)
            for row in held.values():
                row.lease_until = until
            return [job for job in jobs if job.id in held]

    def acknowledge(
        self, job: Job, predictions: Sequence[Prediction], wanted: Sequence[Wanted] = ()
    ) -> bool:
        """Write down what the models said, in place of what they said before."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._current(session, job, now)
            if row is None:
                return False
            lending.end(row, JobState.DONE, outcomes.reason_of(predictions), now)
            outcomes.replace(session, row, predictions)
            instance = session.get_one(InstanceRow, row.instance_id)
            asking.after_reading(session, instance, wanted, now)
            return True

    def leave_unread(self, job: Job, reason: str) -> bool:
        """End a job without a result, for a reason that another try would not change."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._current(session, job, now)
            if row is not None:
                lending.end(row, JobState.UNREAD, reason, now)
            return row is not None

    def fail(self, job: Job, reason: str, *, retry: bool = True) -> bool:
        """Write down that a try ended in an error."""
        with self._database.writing() as session:
            now = self._now(session)
            row = self._current(session, job, now)
            if row is None:
                return False
            row.attempts += 1
            if not retry or row.attempts >= self._max_attempts:
                lending.end(row, JobState.FAILED, reason, now)
            else:
                lending.give_back(row, reason, now, self._backoff(row.attempts))
            return True

    def superseded(self, job: Job) -> bool:
        """Write down that Orthanc did not take the result: it was out of date."""
        with self._database.writing() as session:
            now = self._now(session)
            held = self._held(session, [job])
            for row in held.values():
                lending.end(row, JobState.SUPERSEDED, takeover.SUPERSEDED, now)
            return bool(held)

    def release(self, jobs: Sequence[Job], pause: float = 0.0) -> int:
        """Give jobs back untouched, and return how many were still held."""
        with self._database.writing() as session:
            now = self._now(session)
            held = self._held(session, jobs)
            for row in held.values():
                lending.give_back(row, row.reason, now, pause)
            return len(held)

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was."""
        query = (
            select(JobRow)
            .where(
                JobRow.node == self._node,
                JobRow.state == JobState.RUNNING.value,
                JobRow.owner == owner,
            )
            .order_by(JobRow.id)
            .with_for_update()
        )
        with self._database.writing() as session:
            now = self._now(session)
            return self._take_back(session.scalars(query).all(), now)

    # What the API needs.

    def retry(self, job: int) -> bool:
        """Make a failed job pending again; False if it is not failed or is out of date."""
        with self._database.writing() as session:
            instance = self._instance_of(session, job)
            row = session.get(JobRow, job, with_for_update=True)
            if (
                instance is None
                or row is None
                or row.state != JobState.FAILED.value
                or instance.deleted
                or instance.generation != row.generation
                or instance.job_id != row.id
            ):
                return False
            row.attempts = row.interruptions = 0
            lending.give_back(row, row.reason, self._now(session))
            return True

    def request(
        self, instances: Sequence[str], models: Sequence[str] | None = None, fingerprint: str = ""
    ) -> list[int]:
        """Have instances read (again), in their current generation."""
        wanted = sorted(set(instances))
        numbers: dict[str, int] = {}
        for start in range(0, len(wanted), _LARGEST_BATCH):
            part = wanted[start : start + _LARGEST_BATCH]
            with self._database.writing() as session:
                now = self._now(session)
                numbers |= takeover.request(
                    session, self._node, part, models=models, fingerprint=fingerprint, now=now
                )
        return [numbers[instance] for instance in dict.fromkeys(instances) if instance in numbers]

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""
        with self._database.reading() as session:
            return count(session, JobRow.state, JobState, JobRow.node == self._node)

    def jobs(
        self,
        status: JobState | None = None,
        limit: int = 100,
        since: datetime | None = None,
        offset: int = 0,
    ) -> list[Job]:
        """Return jobs, the latest changed first."""
        with self._database.reading() as session:
            return lookup.jobs(session, self._node, status, limit, since, offset)

    def job(self, number: int) -> Job | None:
        """Return one job."""
        with self._database.reading() as session:
            row = session.get(JobRow, number)
            if row is None or row.node != self._node:
                return None
            return lookup.jobs_of(session, [row])[0]

    def instances(self, level: Level, identifier: str) -> list[InstanceRecord]:
        """Return what is known of an instance, or of all below a series or study."""
        with self._database.reading() as session:
            return lookup.instances(session, self._node, level, identifier)

    def results(self, level: Level, identifier: str) -> list[InstanceResult]:
        """Return the same, with what the models said of the current pixels."""
        with self._database.reading() as session:
            return lookup.results(session, self._node, level, identifier)

    def studies(self, limit: int = 100) -> list[ReadSeries]:
        """Return the series in which models have read images, of the studies read latest."""
        with self._database.reading() as session:
            return lookup.studies(session, self._node, limit)

    # How it is done.

    def _now(self, session: Session) -> datetime:
        return self._database.now(session) if self._clock is None else self._clock()

    def _backoff(self, attempts: int) -> float:
        return min(self._backoff_seconds * 2.0 ** min(attempts - 1, 30), _LONGEST_BACKOFF)

    def _held(self, session: Session, jobs: Sequence[Job]) -> dict[int, JobRow]:
        """Return the rows of those jobs whose present holder is the one who asks."""
        asked = {job.id: job for job in jobs}
        query = (
            select(JobRow)
            .where(JobRow.id.in_(asked), JobRow.state == JobState.RUNNING.value)
            .order_by(JobRow.id)
            .with_for_update()
        )
        return {
            row.id: row for row in session.scalars(query) if lending.is_held(row, asked[row.id])
        }

    def _instance_of(self, session: Session, job: int) -> InstanceRow | None:
        number = select(JobRow.instance_id).where(JobRow.id == job, JobRow.node == self._node)
        return session.scalar(
            select(InstanceRow).where(InstanceRow.id == number.scalar_subquery()).with_for_update()
        )

    def _current(self, session: Session, job: Job, now: datetime) -> JobRow | None:
        """Return the row of a job that is held and up to date; supersede one that is not."""
        instance = self._instance_of(session, job.id)
        row = self._held(session, [job]).get(job.id)
        if instance is None or row is None:
            return None
        if instance.deleted or instance.generation != row.generation:
            lending.end(row, JobState.SUPERSEDED, takeover.SUPERSEDED, now)
            return None
        return row

    def _return_expired(self, session: Session, now: datetime) -> None:
        query = (
            select(JobRow)
            .where(
                JobRow.node == self._node,
                JobRow.state == JobState.RUNNING.value,
                JobRow.lease_until < now,
            )
            .order_by(JobRow.id)
            .with_for_update(skip_locked=True)
        )
        self._take_back(session.scalars(query).all(), now)

    def _take_back(self, rows: Sequence[JobRow], now: datetime) -> int:
        for row in rows:
            if lending.interrupt(row, self._max_interruptions, now):
                lending.end(row, JobState.FAILED, _ENDED.format(row.interruptions), now)
        return len(rows)
