"""The jobs that this runner holds, from the reservation to the answer."""

from __future__ import annotations

import threading
from collections.abc import Iterable

from preread.ledger.job import Job


class Hand:
    """The jobs in hand; safe to use by threads.

    Stages ask it before they begin with an image, so that no time goes into one that was
    superseded meanwhile.
    """

    def __init__(self) -> None:
        self._jobs: dict[int, Job] = {}
        self._changed = threading.Condition()

    def __len__(self) -> int:
        return len(self._jobs)

    def __contains__(self, job: Job) -> bool:
        return self._jobs.get(job.id) is job

    @property
    def jobs(self) -> list[Job]:
        """The jobs that are held now."""
        with self._changed:
            return list(self._jobs.values())

    def take(self, job: Job) -> None:
        """Take a job up."""
        with self._changed:
            self._jobs[job.id] = job

    def drop(self, jobs: Iterable[Job]) -> list[Job]:
        """Let go of jobs; return those that were held until now."""
        with self._changed:
            dropped = [self._jobs.pop(job.id) for job in jobs if self._jobs.get(job.id) is job]
            self._changed.notify_all()
            return dropped

    def wait_below(self, number: int, timeout: float) -> bool:
        """Wait until fewer than `number` jobs are held; False if that did not happen in time."""
        with self._changed:
            return self._changed.wait_for(lambda: len(self._jobs) < number, timeout)
