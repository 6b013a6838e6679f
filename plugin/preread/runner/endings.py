"""How tries at images end: what the ledger is told for what Orthanc, the file or a network did."""

from __future__ import annotations

import structlog

from preread.archive.pacs import (
    Kept,
    Pacs,
    PacsError,
    PacsFailedError,
    PacsUnreachableError,
    Refused,
    Stored,
    StoreOutcome,
    Superseded,
)
from preread.errors import PrereadError
from preread.ledger.job import Job
from preread.runner.answers import Answers, explain
from preread.runner.outage import Outage
from preread.runner.work import Work
from preread.runner.writing import Unread

_log = structlog.get_logger(__name__)


class Endings:
    """Brings tries to their end, and blames no image for an outage.

    Parameters
    ----------
    pacs
        Orthanc.
    outage
        Takes note of what is out of reach, and of what fails for every image.
    answers
        Tells the ledger.
    rest_seconds
        How long an image is put off when Orthanc fails for every one.
    """

    def __init__(self, pacs: Pacs, outage: Outage, answers: Answers, rest_seconds: float) -> None:
        self._pacs = pacs
        self._outage = outage
        self._answers = answers
        self._rest_seconds = rest_seconds

    def written(self, work: Work, outcome: StoreOutcome | Unread) -> None:
        """End a try whose result was handed to Orthanc, or had nothing to hand over."""
        if isinstance(outcome, Stored):
            self._outage.succeeded()
            if work.predictions:
                self._answers.read(work)
            else:
                self._answers.copied(work.job)
        elif isinstance(outcome, Superseded):
            self._overtaken(work.job)
        elif isinstance(outcome, Unread):
            self._answers.unread(work.job, outcome.reason)
        elif isinstance(outcome, Kept):
            reason = "Orthanc kept an earlier object of the same UIDs and not the result"
            self._answers.failed(work.job, reason, retry=True)
        elif isinstance(outcome, Refused):
            self._answers.failed(work.job, outcome.reason, retry=True)

    def failed(self, job: Job, error: Exception) -> None:
        """End a try; if Orthanc is out of reach it does not count, and the runner waits."""
        if isinstance(error, PacsUnreachableError) and not self._pacs.answers():
            self._outage.note(str(error))
            self._answers.give_back([job])
            return
        if isinstance(error, PacsFailedError) and self._outage.blames_nobody(job.id, str(error)):
            self._answers.give_back([job], self._rest_seconds)
            return
        reason, retry = explain(error)
        if not isinstance(error, PacsError) and retry:
            _log.error("unexpected", job=job.id, exc_info=error)
        self._answers.failed(job, reason, retry=retry)

    def _overtaken(self, job: Job) -> None:
        """End a try whose result Orthanc did not take.

        Where the instance is still there, a deletion may have been asked for and denied, so that
        nothing newer comes: the job waits. If something does come, it supersedes the job.
        """
        try:
            there = self._pacs.exists(job.instance)
        except PrereadError as error:
            self.failed(job, error)
            return
        if there:
            reason = "a newer arrival or a deletion overtook the result"
            self._answers.failed(job, reason, retry=True)
        else:
            self._answers.superseded(job)
