"""The thread that makes the objects of reviews, and withdraws proposals that are out of date."""

from __future__ import annotations

import threading
import time
from typing import Protocol

import structlog

from preread.errors import PrereadError
from preread.ledger.errors import LedgerError
from preread.ledger.proposal import Proposal, Review
from preread.ledger.proposals import Proposals
from preread.ledger.reviews import Reviews
from preread.runner.answers import explain as reason_of
from preread.runner.meter import Meter
from preread.runner.pacs import PacsFailedError, PacsUnreachableError, Superseded
from preread.runner.reviewer import Told

_log = structlog.get_logger(__name__)

_SHORTEST_PAUSE = 0.05  # seconds between two looks at an empty queue
_LONGEST_PAUSE = 0.5
_TROUBLE_PAUSE = 5.0
_LEASE = 120.0  # seconds; one object takes a fraction of a second, and nobody extends it
_WITHDRAW_EVERY = 15.0


class Tells(Protocol):
    """What makes the objects; `preread.runner.reviewer.Reviewer` does."""

    def tell(self, decided: Review, /) -> Told | Superseded:
        """Store the object of a review."""
        ...

    def withdraw(self, proposal: Proposal, /) -> None:
        """Delete the objects of a proposal that should not be there any more."""
        ...


class Reviewing:
    """Works through the queue, one review at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What is decided and not told yet.
    proposals
        What is proposed.
    reviewer
        Makes the objects.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    def __init__(
        self, queue: Reviews, proposals: Proposals, reviewer: Tells, owner: str, meter: Meter
    ) -> None:
        self._queue = queue
        self._proposals = proposals
        self._reviewer = reviewer
        self._owner = owner
        self._meter = meter
        self._looked = 0.0
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="review", daemon=True)
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
        """End the thread after the review in hand; False if that took too long."""
        self._stopping.set()
        if self._thread.is_alive():
            self._thread.join(patience)
        return not self._thread.is_alive()

    def _run(self) -> None:
        pause = _SHORTEST_PAUSE
        while not self._stopping.wait(pause):
            try:
                if time.monotonic() - self._looked >= _WITHDRAW_EVERY:
                    self._looked = time.monotonic()
                    self.withdraw()
                decided = self._queue.reserve(self._owner, _LEASE)
                waiting = min(1.5 * pause, _LONGEST_PAUSE)
                pause = waiting if decided is None else self._one(decided)
            except Exception as error:  # noqa: BLE001 - no review may end the way of all others
                pause = self._troubled(error)

    def step(self) -> bool:
        """Make the next object; False if none waits."""
        decided = self._queue.reserve(self._owner, _LEASE)
        if decided is not None:
            self._one(decided)
        return decided is not None

    def withdraw(self) -> None:
        """Delete proposals whose images changed or that a newer one replaced, if unreviewed."""
        for proposal in self._proposals.withdrawn():
            self._reviewer.withdraw(proposal)
            self._proposals.forget(proposal)

    def _one(self, decided: Review) -> float:
        """Bring one to its end, and return the seconds after which the next may begin."""
        try:
            outcome = self._reviewer.tell(decided)
        except PacsUnreachableError as error:
            self._meter.trouble(str(error))
            self._queue.release(decided, _TROUBLE_PAUSE)
            return _TROUBLE_PAUSE
        except Exception as error:  # noqa: BLE001 - no review may end the way of all others
            self._failed(decided, error)
            return _SHORTEST_PAUSE
        if isinstance(outcome, Superseded):
            self._queue.superseded(decided)
            return _SHORTEST_PAUSE
        self._queue.done(decided, outcome.place, outcome.attached)
        _log.info("review told", review=decided.id, outcome=decided.outcome.value)
        return _SHORTEST_PAUSE

    def _failed(self, decided: Review, error: Exception) -> None:
        reason, retry = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", review=decided.id, exc_info=error)
        retry = retry or isinstance(error, PacsFailedError)
        _log.warning("review not told", review=decided.id, reason=reason, retry=retry)
        self._queue.fail(decided, reason, retry=retry)

    def _troubled(self, error: Exception) -> float:
        reason, _ = reason_of(error)
        if not isinstance(error, PrereadError):
            _log.error("unexpected", exc_info=error)
        self._meter.trouble(reason)
        return _TROUBLE_PAUSE
