"""The thread that makes pictures of what networks looked at, while others go on reading."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import structlog

from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.explanation import Explanation
from preread.ledger.explanations import Explanations
from preread.runner.answers import explain as reason_of
from preread.runner.explainer import Drawn
from preread.runner.meter import Meter
from preread.runner.pacs import PacsFailedError, PacsUnreachableError, Superseded

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds between two looks at an empty queue
_LONGEST_PAUSE = 0.5
_TROUBLE_PAUSE = 5.0
_SHORTEST_LEASE = 300.0  # seconds; one picture takes some, and nobody extends it
_WITHDRAW_EVERY = 5.0


class Explains(Protocol):
    """What makes pictures; `preread.runner.explainer.Explainer` does."""

    def explain(self, explanation: Explanation, /) -> Drawn | Superseded:
        """Make a picture and store it."""
        ...

    def withdraw(self, explanation: Explanation, /) -> None:
        """Delete a picture that should not be there any more."""
        ...


class Explaining:
    """Works through the queue, one picture at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What is to be explained.
    explainer
        Makes the pictures.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.
    lease_seconds
        For how long one is reserved, if that is longer than a picture can take.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    def __init__(
        self,
        queue: Explanations,
        explainer: Explains,
        owner: str,
        meter: Meter,
        lease_seconds: float = _SHORTEST_LEASE,
    ) -> None:
        self._queue = queue
        self._explainer = explainer
        self._owner = owner
        self._meter = meter
        self._lease = max(lease_seconds, _SHORTEST_LEASE)
        self._looked = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="explain", daemon=True)
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
        """End the thread after the picture in hand; False if that took too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.wait(pause):
            try:
                self._withdraw_what_is_stale()
                explanation = self._queue.reserve(self._owner, self._lease)
                if explanation is None:
                    pause = min(1.5 * pause, _LONGEST_PAUSE)
                else:
                    pause = self._one(explanation)
            except Exception as error:  # noqa: BLE001 - no picture may end the way of all others
                pause = self._troubled(error)

    def step(self) -> bool:
        """Make the next picture; False if none waits."""
        explanation = self._queue.reserve(self._owner, self._lease)
        if explanation is not None:
            self._one(explanation)
        return explanation is not None

    def _one(self, explanation: Explanation) -> float:
        """Bring one to its end, and return the seconds after which the next may begin."""
        began = time.monotonic()
        try:
            outcome = self._explainer.explain(explanation)
        except PacsUnreachableError as error:
            self._meter.trouble(str(error))
            self._queue.release(explanation, _TROUBLE_PAUSE)
            return _TROUBLE_PAUSE
        except Exception as error:  # noqa: BLE001 - no picture may end the way of all others
            self._failed(explanation, error)
            return _SHORTEST_PAUSE
        if isinstance(outcome, Superseded):
            self._queue.superseded(explanation)
            return _SHORTEST_PAUSE
        self._queue.done(explanation, outcome.place, outcome.probability)
        _log.info(
            "explained",
            explanation=explanation.id,
            model=explanation.wanted.model,
            seconds=round(time.monotonic() - began, 2),
        )
        return _SHORTEST_PAUSE

    def _failed(self, explanation: Explanation, error: Exception) -> None:
        reason, retry = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", explanation=explanation.id, exc_info=error)
        retry = retry or isinstance(error, PacsFailedError)
        _log.warning("not explained", explanation=explanation.id, reason=reason, retry=retry)
        self._queue.fail(explanation, reason, retry=retry)

    def _withdraw_what_is_stale(self) -> None:
        if time.monotonic() - self._looked < _WITHDRAW_EVERY:
            return
        self._looked = time.monotonic()
        self.withdraw()

    def withdraw(self) -> None:
        """Delete pictures whose image is gone, has other pixels, or could not be explained anew."""
        for explanation in self._queue.withdrawn():
            self._explainer.withdraw(explanation)
            self._queue.forget_map(explanation)

    def _troubled(self, error: Exception) -> float:
        reason, _ = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", exc_info=error)
        self._meter.trouble(reason)
        return _TROUBLE_PAUSE
