"""The thread that has networks (IODeep) look for regions in series that are complete."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import structlog

from preread.archive.pacs import PacsUnreachableError
from preread.ledger.series_task import SeriesTask
from preread.ledger.series_work import SeriesWork
from preread.runner.meter import Meter
from preread.runner.outcomes import Left, NotYet
from preread.runner.outliner import Outcome, Outliner
from preread.runner.queue_worker import TROUBLE_PAUSE, QueueWorker

_log = structlog.get_logger(__name__)

_MOMENT = 0.2  # seconds that a series waits for the networks that came with it


class Outlining(QueueWorker[SeriesWork, SeriesTask, Outcome]):
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

    not_done = "no regions"

    def __init__(
        self,
        queue: SeriesWork,
        outliner: Outliner,
        owner: str,
        meter: Meter,
        *,
        lease_seconds: float,
        quiet_seconds: float,
        ready: Callable[[], bool] = lambda: True,
    ) -> None:
        super().__init__(queue, owner, meter, "regions", lease=lease_seconds, quiet=quiet_seconds)
        self._outliner = outliner
        self._ready = ready

    def _reserve(self) -> SeriesTask | None:
        if not self._ready():
            return None
        lent = super()._reserve()
        if lent is None or self._ready():
            return lent
        # It came to the ledger after the first look, and with it a network that may be its own.
        self._queue.release(lent, _MOMENT)
        return None

    def _make(self, lent: SeriesTask) -> Outcome:
        return self._outliner.look(lent, lambda: self._goes_on(lent))

    def _goes_on(self, task: SeriesTask) -> bool:
        return not self._stopping.is_set() and self._queue.extend(task, self._lease)

    def _out_of_reach(self, lent: SeriesTask, error: PacsUnreachableError) -> float:
        """Have a series wait; whoever called `step` is told, and the thread pauses."""
        self._queue.release(lent, TROUBLE_PAUSE)
        raise error

    def _write_down(self, lent: SeriesTask, outcome: Outcome) -> None:
        if isinstance(outcome, NotYet):
            self._queue.release(lent, outcome.pause, outcome.reason or None)
        elif isinstance(outcome, Left):
            self._queue.leave(lent, outcome.reason)
        else:
            self._queue.done(
                lent, outcome.network, outcome.regions, outcome.proposal, outcome.skipped
            )
            _log.info(
                "looked for regions",
                **self._named(lent),
                DnnUID=outcome.network,
                regions=outcome.regions,
                skipped=len(outcome.skipped),
            )

    def _named(self, lent: SeriesTask) -> dict[str, Any]:
        return {"series": lent.series}
