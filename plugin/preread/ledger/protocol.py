"""What the runner and the API ask of a ledger."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Protocol

from preread.ledger.arrival import Event
from preread.ledger.job import InstanceRecord, InstanceResult, Job, JobState, Level

if TYPE_CHECKING:
    from preread.findings.prediction import Prediction
    from preread.ledger.explanation import Wanted


class Ledger(Protocol):
    """The record of what has to be read on one node, what has been and what failed.

    Its shape is that of a queue with Reserve and Acknowledge. Every method is one transaction and
    raises `preread.ledger.errors.LedgerError` if it cannot be carried out.
    """

    @property
    def node(self) -> str:
        """The Orthanc whose work this is."""

    def cursor(self, journal: str) -> int | None:
        """Return the last event taken from a journal; None if nothing ever was."""

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

    def highest_generation(self) -> int:
        """Return the highest generation of any instance; 0 if there is none."""

    def generations(self, after: str, limit: int) -> list[tuple[str, int]]:
        """Return instances that are not deleted with their generations, by rising Orthanc id.

        Parameters
        ----------
        after
            Only ids behind this one; empty for the first page.
        limit
            How many at most.
        """

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

    def extend(self, jobs: Sequence[Job], lease_seconds: float) -> list[Job]:
        """Lengthen leases, from now on, and return the jobs that are still held.

        The others were superseded, or their lease ran out and they were returned.
        """

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

    def leave_unread(self, job: Job, reason: str) -> bool:
        """End a job without a result, for a reason that another try would not change.

        Returns
        -------
        bool
            As `acknowledge`.
        """

    def fail(self, job: Job, reason: str, *, retry: bool = True) -> bool:
        """Write down that a try ended in an error.

        It is tried again after a pause that doubles each time, until the tries are used up (or at
        once, without `retry`): then it is failed.

        Returns
        -------
        bool
            As `acknowledge`.
        """

    def superseded(self, job: Job) -> bool:
        """Write down that Orthanc did not take the result: it was out of date.

        Returns
        -------
        bool
            False if the job is no longer held.
        """

    def release(self, jobs: Sequence[Job], pause: float = 0.0) -> int:
        """Give jobs back untouched, and return how many were still held.

        Parameters
        ----------
        jobs
            What was reserved.
        pause
            Seconds for which they are not lent again.
        """

    def release_owner(self, owner: str) -> int:
        """Take back what a former process held, and return how much that was.

        Each counts as an interruption: an image that brings down the runner each time ends as
        failed.
        """

    def retry(self, job: int) -> bool:
        """Make a failed job pending again; False if it is not failed or is out of date."""

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

    def counts(self) -> dict[JobState, int]:
        """Return how many jobs are in each state."""

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

    def job(self, number: int) -> Job | None:
        """Return one job."""

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

    def results(self, level: Level, identifier: str) -> list[InstanceResult]:
        """Return the same, with what the models said of the current pixels."""
