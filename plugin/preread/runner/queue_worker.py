"""The thread that works through one of the ledger's queues, while others read images."""

from __future__ import annotations

import threading
import time
from abc import ABC, abstractmethod
from typing import Any, ClassVar, Generic, TypeVar

import structlog

from preread.archive.pacs import PacsFailedError, PacsUnreachableError
from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.lending import Lent
from preread.ledger.task_queue import Queue
from preread.runner.answers import explain as reason_of
from preread.runner.meter import Meter

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds between two looks at an empty queue
_LONGEST_PAUSE = 0.5
TROUBLE_PAUSE = 5.0

QueueT = TypeVar("QueueT", bound=Queue[Any])
LentT = TypeVar("LentT", bound=Lent)
OutcomeT = TypeVar("OutcomeT")


class QueueWorker(ABC, Generic[QueueT, LentT, OutcomeT]):
    """Works through a queue, one piece at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What waits.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.
    thread
        The thread's name.
    lease
        Seconds for which a piece is held, unless it is extended.
    quiet
        Seconds in which nothing must have changed in what nobody asked for.
    every
        Seconds from one look at what is to be withdrawn to the next.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    not_done: ClassVar[str]
    """What the log says of a piece that failed."""

    def __init__(
        self,
        queue: QueueT,
        owner: str,
        meter: Meter,
        thread: str,
        *,
        lease: float,
        quiet: float = 0.0,
        every: float = _LONGEST_PAUSE,
    ) -> None:
        self._queue = queue
        self._owner = owner
        self._meter = meter
        self._lease = lease
        self._quiet = quiet
        self._every = every
        self._looked = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name=thread, daemon=True)
        queue.release_owner(owner)

    @property
    def settled(self) -> bool:
        """Whether nothing waits or is under way; never while that cannot be known."""
        try:
            return not any(
                number for state, number in self._queue.counts().items() if state.is_open
            )
        except LedgerError as error:
            self._meter.trouble(str(error))
            return False

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> bool:
        """End the thread after the piece in hand; False if that took too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def step(self) -> bool:
        """Bring the next piece to its end; False if none waits.

        Raises
        ------
        preread.archive.pacs.PacsUnreachableError
            If Orthanc does not answer, from one that looks at series; the piece waits.
        preread.ledger.errors.LedgerError
            If the ledger cannot be reached.
        """
        return self._next() is not None

    # What each has of its own.

    def withdraw(self) -> None:
        """Delete, now and then, what was stored and should not be there any more."""

    def _reserve(self) -> LentT | None:
        """Take the next piece; None if there is none, or its time has not come."""
        lent: LentT | None = self._queue.reserve(self._owner, self._lease, self._quiet)
        return lent

    @abstractmethod
    def _make(self, lent: LentT) -> OutcomeT:
        """Do what is to be done; what this raises is the piece's own, but for Orthanc's silence."""

    @abstractmethod
    def _write_down(self, lent: LentT, outcome: OutcomeT) -> None:
        """Tell the ledger what came of it."""

    def _named(self, lent: LentT) -> dict[str, Any]:
        """Say in the log which piece it is."""
        return {self._queue.kind: lent.id}

    # How it is done.

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.wait(pause):
            try:
                until_next = self._turn()
            except Exception as error:  # noqa: BLE001 - no piece may end the way of all others
                pause = self._troubled(error)
            else:
                pause = min(1.5 * pause, _LONGEST_PAUSE) if until_next is None else until_next

    def _turn(self) -> float | None:
        """Do what is done in each round of the thread; return what `_next` does."""
        if time.monotonic() - self._looked >= self._every:
            self._looked = time.monotonic()
            self.withdraw()
        return self._next()

    def _next(self) -> float | None:
        """Bring the next piece to its end.

        Returns
        -------
        float or None
            The seconds after which the one behind it may begin; None if there was none.
        """
        lent = self._reserve()
        if lent is None:
            return None
        try:
            outcome = self._make(lent)
        except PacsUnreachableError as error:
            return self._out_of_reach(lent, error)
        except Exception as error:  # noqa: BLE001 - no piece may end the way of all others
            self._failed(lent, error)
        else:
            self._write_down(lent, outcome)
        return _SHORTEST_PAUSE

    def _out_of_reach(self, lent: LentT, error: PacsUnreachableError) -> float:
        """Have a piece wait, since Orthanc does not answer; return for how many seconds."""
        self._meter.trouble(str(error))
        self._queue.release(lent, TROUBLE_PAUSE)
        return TROUBLE_PAUSE

    def _failed(self, lent: LentT, error: Exception) -> None:
        reason, retry = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", **self._named(lent), exc_info=error)
        retry = retry or isinstance(error, PacsFailedError)
        _log.warning(self.not_done, **self._named(lent), reason=reason, retry=retry)
        self._queue.fail(lent, reason, retry=retry)

    def _troubled(self, error: Exception) -> float:
        reason, _ = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", exc_info=error)
        self._meter.trouble(reason)
        return TROUBLE_PAUSE
