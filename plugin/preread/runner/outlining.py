"""The thread that has networks (IODeep) look for regions in series that are complete."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Protocol

import structlog

from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.series_task import SeriesTask
from preread.ledger.series_work import SeriesWork
from preread.runner.answers import explain as reason_of
from preread.runner.meter import Meter
from preread.runner.outliner import Left, NotYet, Outcome
from preread.runner.pacs import PacsFailedError, PacsUnreachableError

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds between two looks at an empty queue
_LONGEST_PAUSE = 0.5
_TROUBLE_PAUSE = 5.0


class Looks(Protocol):
    """What looks at a series; `preread.runner.outliner.Outliner` does."""

    def look(self, task: SeriesTask, goes_on: Callable[[], bool], /) -> Outcome:
        """Look at what a task names, and store what is found."""
        ...


class Outlining:
    """Works through the queue, one series at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        The series.
    outliner
        Looks at them.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.
    lease_seconds
        How long a series is held, unless it is asked for anew.
    quiet_seconds
        How long nothing has come in a series that counts as complete.
    ready
        Whether it is known which networks there are: one that has come and was not looked at yet
        may be the one that a series is for.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    def __init__(
        self,
        queue: SeriesWork,
        outliner: Looks,
        owner: str,
        meter: Meter,
        *,
        lease_seconds: float,
        quiet_seconds: float,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        self._queue = queue
        self._outliner = outliner
        self._owner = owner
        self._meter = meter
        self._lease = lease_seconds
        self._quiet = quiet_seconds
        self._ready = ready
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="regions", daemon=True)
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
        """End the thread, giving back what is in hand; False if that took too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.wait(pause):
            try:
                waiting = min(1.5 * pause, _LONGEST_PAUSE)
                pause = _SHORTEST_PAUSE if self.step() else waiting
            except PacsUnreachableError as error:
                self._meter.trouble(str(error))
                pause = _TROUBLE_PAUSE
            except Exception as error:  # noqa: BLE001 - no series may end the way of all others
                reason, _ = reason_of(error)
                if not isinstance(error, PrereadError):
                    _log.error("unexpected", exc_info=error)
                self._meter.trouble(reason)
                pause = _TROUBLE_PAUSE

    def step(self) -> bool:
        """Look at the next series; False if none waits, or the networks are not known yet.

        Raises
        ------
        PacsUnreachableError
            If Orthanc does not answer; the series waits.
        preread.ledger.errors.LedgerError
            If the ledger cannot be reached.
        """
        if not self._ready():
            return False
        task = self._queue.reserve(self._owner, self._lease, self._quiet)
        if task is None:
            return False
        try:
            outcome = self._outliner.look(task, lambda: self._goes_on(task))
        except PacsUnreachableError:
            self._queue.release(task, _TROUBLE_PAUSE)
            raise
        except Exception as error:  # noqa: BLE001 - no series may end the way of all others
            self._failed(task, error)
        else:
            self._settle(task, outcome)
        return True

    def _goes_on(self, task: SeriesTask) -> bool:
        return not self._stopping.is_set() and self._queue.extend(task, self._lease)

    def _settle(self, task: SeriesTask, outcome: Outcome) -> None:
        if isinstance(outcome, NotYet):
            self._queue.release(task, outcome.pause)
        elif isinstance(outcome, Left):
            self._queue.leave(task, outcome.reason)
        else:
            self._queue.done(task, outcome.network, outcome.regions, outcome.proposal)
            _log.info(
                "looked for regions",
                series=task.series,
                DnnUID=outcome.network,
                regions=outcome.regions,
            )

    def _failed(self, task: SeriesTask, error: Exception) -> None:
        reason, retry = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", series=task.series, exc_info=error)
        retry = retry or isinstance(error, PacsFailedError)
        _log.warning("no regions", series=task.series, reason=reason, retry=retry)
        self._queue.fail(task, reason, retry=retry)
