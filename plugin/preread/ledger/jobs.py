"""The reading of single images: jobs that are lent, held, and brought to an end.

An instance row is locked before its jobs, and several of them in the order of their numbers, so
that no two transactions wait for each other.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta
from typing import TYPE_CHECKING

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger import asking, lending, lookup, outcomes, takeover
from preread.ledger.job import Job, JobState
from preread.ledger.on_node import OnNode
from preread.ledger.schema import PENDING, InstanceRow, JobRow

if TYPE_CHECKING:
    from preread.findings.prediction import Prediction
    from preread.ledger.explanation import Wanted

_LONGEST_BACKOFF = 3600.0  # seconds
_ENDED = "the runner ended or hung {} times while it held this image; see its log"
_LARGEST_BATCH = 500


class Jobs(OnNode):
    """The jobs of one node; `preread.ledger.sql.SqlLedger` is made with what they need.

    Attributes
    ----------
    _max_attempts, _backoff_seconds, _max_interruptions
        As there.
    """

    _max_attempts: int
    _backoff_seconds: float
    _max_interruptions: int

    def reserve(self, owner: str, limit: int, lease_seconds: float) -> list[Job]:
        """Lend pending jobs, oldest first; those that were interrupted before come last.

        A job whose lease ran out is returned first, and may be among them.

        Parameters
        ----------
        owner
            Who works on them.
        limit
            How many at most.
        lease_seconds
            How long, unless extended.
        """
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
        """Lengthen leases, from now on, and return the jobs that are still held.

        The others were superseded, or their lease ran out and they were returned.
        """
        with self._database.writing() as session:
            until = self._now(session) + timedelta(seconds=lease_seconds)
            held = self._held(session, jobs)
            for row in held.values():
                row.lease_until = until
            return [job for job in jobs if job.id in held]

    def acknowledge(
        self, job: Job, predictions: Sequence[Prediction], wanted: Sequence[Wanted] = ()
    ) -> bool:
        """Write down what the models said, in place of what they said before.

        What was explained of the image before will be explained anew.

        Parameters
        ----------
        job
            Which.
        predictions
            One for each model.
        wanted
            What is to be explained besides.

        Returns
        -------
        bool
            False if the job is no longer held, or is superseded: a newer generation arrived, or
            the instance was deleted.
        """
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
        """End a job without a result, for a reason that another try would not change.

        Returns
        -------
        bool
            As `acknowledge`.
        """
        with self._database.writing() as session:
            now = self._now(session)
            row = self._current(session, job, now)
            if row is not None:
                lending.end(row, JobState.UNREAD, reason, now)
            return row is not None

    def fail(self, job: Job, reason: str, *, retry: bool = True) -> bool:
        """Write down that a try ended in an error.

        It is tried again after a pause that doubles each time, until the tries are used up (or at
        once, without `retry`): then it is failed.

        Returns
        -------
        bool
            As `acknowledge`.
        """
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
        """Write down that Orthanc did not take the result: it was out of date.

        Returns
        -------
        bool
            False if the job is no longer held.
        """
        with self._database.writing() as session:
            now = self._now(session)
            held = self._held(session, [job])
            for row in held.values():
                lending.end(row, JobState.SUPERSEDED, takeover.SUPERSEDED, now)
            return bool(held)

    def release(self, jobs: Sequence[Job], pause: float = 0.0) -> int:
        """Give jobs back untouched, and return how many were still held.

        Parameters
        ----------
        jobs
            What was reserved.
        pause
            Seconds for which they are not lent again.
        """
        with self._database.writing() as session:
            now = self._now(session)
            held = self._held(session, jobs)
            for row in held.values():
                lending.give_back(row, row.reason, now, pause)
            return len(held)

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was.

        Each counts as an interruption: an image that brings down the runner each time ends as
        failed.
        """
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
        """Have instances read (again), in their current generation.

        Parameters
        ----------
        instances
            Orthanc's ids; unknown and deleted ones are passed over.
        models
            Names of models; None for those chosen at arrival. Instances for which that gives
            nothing to do are passed over.
        fingerprint
            Of `models`, if known.

        Returns
        -------
        list of int
            One job per instance. An instance has one open job at most: where there is one, it is
            returned, with `models` changed to those given unless it is running already.
        """
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
