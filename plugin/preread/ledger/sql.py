"""The ledger in a database: SQLite, or PostgreSQL for several nodes and runners."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime

from sqlalchemy import func, select

from preread.ledger import lookup, series_work, takeover
from preread.ledger.arrival import Event
from preread.ledger.counting import count
from preread.ledger.database import Database
from preread.ledger.explanations import Explanations
from preread.ledger.job import InstanceRecord, InstanceResult, Job, JobState, Level, ReadSeries
from preread.ledger.jobs import Jobs
from preread.ledger.network_checks import NetworkChecks
from preread.ledger.networks import Networks
from preread.ledger.proposals import Proposals
from preread.ledger.reviews import Reviews
from preread.ledger.schema import CursorRow, JobRow
from preread.ledger.series_work import SeriesWork
from preread.ledger.stored_objects import StoredObjects
from preread.ledger.task import Task, TaskState
from preread.ledger.task_schema import TaskRow
from preread.ledger.tasks import Tasks, task_of


class SqlLedger(Jobs):
    """The record of what has to be read on one node, what has been and what failed.

    Its shape is that of a queue with Reserve and Acknowledge. Every method is one transaction and
    raises `preread.ledger.errors.LedgerError` if it cannot be carried out.

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
        super().__init__(Database(url, busy_timeout=busy_timeout), node, clock)
        self._max_attempts = max_attempts
        self._backoff_seconds = backoff_seconds
        self._max_interruptions = max_interruptions
        self._series_kinds = tuple(series_kinds)

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
        """Take events of a journal, in their order; those taken before change nothing.

        An arrival supersedes the open jobs of older generations. One with work becomes a pending
        job, one without is unread. An event of a generation that is not newer than the known one
        only moves the cursor.

        Parameters
        ----------
        journal
            The journal's uuid.
        events
            Rising in `seq`.
        """
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
        """Return instances that are not deleted with their generations, by rising Orthanc id.

        Parameters
        ----------
        after
            Only ids behind this one; empty for the first page.
        limit
            How many at most.
        """
        with self._database.reading() as session:
            return lookup.generations(session, self._node, after, limit)

    # What the API needs.

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
        """Return jobs, the latest changed first.

        Parameters
        ----------
        status
            Only those in this state.
        limit
            How many at most.
        since
            Only those changed then or later; with a time zone.
        offset
            How many of them to pass over, the latest first.
        """
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
        """Return what is known of an instance, or of all below a series or study.

        Deleted ones are left out.

        Parameters
        ----------
        level
            What `identifier` names.
        identifier
            Orthanc's id or the DICOM UID.
        """
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
