"""When Orthanc or the ledger is out of reach, or fails for every image: no image is blamed."""

from __future__ import annotations

import threading
import time

import structlog

from preread.archive.pacs import Pacs
from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.sql import SqlLedger
from preread.runner.meter import Meter

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds
_LONGEST_PAUSE = 5.0
_MANY = 4


class OutageError(PrereadError):
    """Orthanc or the ledger was out of reach for too long for a run that is to end by itself."""


class Outage:
    """Tells whether the runner has to wait, and waits.

    Parameters
    ----------
    ledger, pacs
        What has to answer.
    meter
        Takes note of trouble.
    stopping
        Ends the waiting.
    patience
        Seconds after which a run that is to end by itself gives up; None never does.
    """

    def __init__(
        self,
        ledger: SqlLedger,
        pacs: Pacs,
        meter: Meter,
        stopping: threading.Event,
        *,
        patience: float | None,
    ) -> None:
        self._ledger = ledger
        self._pacs = pacs
        self._meter = meter
        self._stopping = stopping
        self._patience = patience
        self._event = threading.Event()
        self._lock = threading.Lock()
        self._failing: set[int] = set()
        self._began: float | None = None

    @property
    def under_way(self) -> bool:
        """Whether nothing should be begun."""
        return self._event.is_set()

    def note(self, reason: str) -> None:
        """Note that Orthanc or the ledger does not answer."""
        if not self._event.is_set():
            _log.error("out of reach", reason=reason)
        self._meter.trouble(reason)
        with self._lock:
            self._began = self._began or time.monotonic()
        self._event.set()

    def blames_nobody(self, job: int, reason: str) -> bool:
        """Take the failure of Orthanc for one image; tell whether it is none of the image's.

        One image may be broken. If several different ones in a row fail, Orthanc is: its disk is
        full, say. Such an image is put off, not counted against, and not in the way of others.
        """
        with self._lock:
            self._failing.add(job)
            if len(self._failing) < _MANY:
                return False
            self._began = self._began or time.monotonic()
        self._meter.trouble(reason)
        _log.error("failing for every image", reason=reason)
        return True

    def succeeded(self) -> None:
        """Note that Orthanc has taken a result."""
        with self._lock:
            self._failing.clear()
            if not self._event.is_set():
                self._began = None

    def sit_out(self) -> None:
        """Wait until everything answers again.

        Raises
        ------
        OutageError
            If there has been trouble for longer than the patience.
        """
        self._give_up_if_late()
        if not self._event.is_set():
            return
        pause = _SHORTEST_PAUSE
        while not self._stopping.is_set() and not self._all_answer():
            self._give_up_if_late()
            self._stopping.wait(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)
        with self._lock:
            if self._began is not None and not self._stopping.is_set():
                _log.info("in reach again", seconds=round(time.monotonic() - self._began, 1))
            if not self._failing:
                self._began = None
            self._event.clear()

    def _give_up_if_late(self) -> None:
        began = self._began
        if self._patience is None or began is None:
            return
        if time.monotonic() - began > self._patience:
            raise OutageError(self._meter.status.last_error)

    def _all_answer(self) -> bool:
        try:
            self._ledger.counts()
        except LedgerError as error:
            self._meter.trouble(str(error))
            return False
        return self._pacs.answers()
