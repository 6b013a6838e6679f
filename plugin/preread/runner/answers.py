"""What the runner tells the ledger of each image it held."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import structlog

from preread.archive.pacs import PacsError
from preread.errors import PrereadError
from preread.findings.prediction import Prediction
from preread.ledger.errors import LedgerError
from preread.ledger.explanation import Wanted
from preread.ledger.job import Job, Level
from preread.ledger.sql import SqlLedger
from preread.runner.hand import Hand
from preread.runner.meter import Meter
from preread.runner.work import Work

_log = structlog.get_logger(__name__)

_LEDGER_PATIENCE = 60.0  # seconds; the lease is extended meanwhile
_FIRST_PAUSE = 0.2
_LONGEST_PAUSE = 5.0

Wishes = Callable[[Sequence[str], Sequence[Prediction]], Sequence[Wanted]]


def no_wishes(_models: Sequence[str], _predictions: Sequence[Prediction]) -> Sequence[Wanted]:
    """Have nothing explained."""
    return ()


def explain(error: BaseException) -> tuple[str, bool]:
    """Say why an image was not read, free of identifiers, and whether a further try may help.

    An error of ours (bad pixel data, a result that cannot be made) comes again each time; what
    Orthanc answers, and what nobody foresaw, may not.
    """
    if isinstance(error, PacsError):
        return str(error), True
    if isinstance(error, PrereadError):
        return str(error), False
    if isinstance(error, MemoryError):
        return "not enough memory for this image; see Preread.Runner.MaxImageMegabytes", True
    return f"unexpected {type(error).__name__} ({_place(error)}); see the runner's log", True


def _place(error: BaseException) -> str:
    """Say where an error was raised; its own words may quote a data set."""
    trace = error.__traceback__
    while trace is not None and trace.tb_next is not None:
        trace = trace.tb_next
    if trace is None:
        return "place unknown"
    return f"{Path(trace.tb_frame.f_code.co_filename).name}:{trace.tb_lineno}"


class Answers:
    """Brings every image in hand to its end in the ledger.

    A ledger that cannot be reached for a moment is waited for; if that does not help, the lease
    runs out and the image is read again, which does no harm.

    Parameters
    ----------
    ledger
        The ledger.
    hand
        The jobs that are held.
    meter
        Counts.
    stopping
        Ends the waiting.
    wishes
        Tells what is to be explained of an image that was read.
    """

    def __init__(
        self,
        ledger: SqlLedger,
        hand: Hand,
        meter: Meter,
        stopping: threading.Event,
        wishes: Wishes = no_wishes,
    ) -> None:
        self._ledger = ledger
        self._hand = hand
        self._meter = meter
        self._stopping = stopping
        self._wishes = wishes

    def read(self, work: Work) -> None:
        """Say that the result is stored."""
        wanted = self._wishes(work.job.models, work.predictions)
        job, predictions = work.job, work.predictions
        if self._tell(job, lambda: self._ledger.acknowledge(job, predictions, wanted)):
            self._meter.read()

    def copied(self, job: Job) -> None:
        """Say that the copy is stored, and that no model applies."""
        if self._tell(job, lambda: self._ledger.leave_unread(job, self._decided(job))):
            self._meter.read()

    def unread(self, job: Job, reason: str) -> None:
        """Say that there is nothing to read or write, which is no failure."""
        self._tell(job, lambda: self._ledger.leave_unread(job, reason))

    def superseded(self, job: Job) -> None:
        """Say that a newer arrival or a deletion overtook it."""
        self._tell(job, lambda: self._ledger.superseded(job))

    def failed(self, job: Job, reason: str, *, retry: bool) -> None:
        """Say that a try ended in an error."""
        self._meter.failed(reason)
        _log.warning("not read", job=job.id, instance=job.instance, reason=reason, retry=retry)
        self._tell(job, lambda: self._ledger.fail(job, reason, retry=retry))

    def give_back(self, jobs: Sequence[Job], pause: float = 0.0) -> None:
        """Return jobs untouched, as if they had never been reserved, to be lent after a pause."""
        held = self._hand.drop(jobs)
        if not held:
            return
        try:
            self._ledger.release(held, pause)
        except LedgerError as error:
            self._meter.trouble(str(error))
            _log.warning("not given back; their lease runs out", jobs=len(held), reason=str(error))

    def _decided(self, job: Job) -> str:
        """Return why no model applies, as it was written down on arrival."""
        found = self._ledger.instances(Level.INSTANCE, job.instance)
        return (found[0].reason if found else "") or "no model applies"

    def _tell(self, job: Job, say: Callable[[], bool]) -> bool:
        if job not in self._hand:
            return False
        pause, deadline = _FIRST_PAUSE, time.monotonic() + _LEDGER_PATIENCE
        counted = False
        while True:
            try:
                counted = say()
                break
            except LedgerError as error:
                self._meter.trouble(str(error))
                _log.warning("the ledger did not take an answer", job=job.id, reason=str(error))
                if time.monotonic() >= deadline or self._stopping.wait(pause):
                    break
                pause = min(2 * pause, _LONGEST_PAUSE)
        self._hand.drop([job])
        return counted
