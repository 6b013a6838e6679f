"""The thread that makes pictures of what networks looked at, while others go on reading."""

from __future__ import annotations

import time
from typing import Any, Protocol

import structlog

from preread.archive.pacs import Superseded
from preread.ledger.explanation import Explanation
from preread.ledger.explanations import Explanations
from preread.runner.explainer import Drawn
from preread.runner.meter import Meter
from preread.runner.queue_worker import WithdrawingWorker

_log = structlog.get_logger(__name__)

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


class Explaining(WithdrawingWorker[Explanation, Drawn | Superseded]):
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

    not_done = "not explained"

    def __init__(
        self,
        queue: Explanations,
        explainer: Explains,
        owner: str,
        meter: Meter,
        lease_seconds: float = _SHORTEST_LEASE,
    ) -> None:
        super().__init__(queue, owner, meter, "explain", every=_WITHDRAW_EVERY)
        self._explanations = queue
        self._explainer = explainer
        self._lease = max(lease_seconds, _SHORTEST_LEASE)
        self._seconds = 0.0  # that the last picture took

    def withdraw(self) -> None:
        """Delete pictures whose image is gone, has other pixels, or could not be explained anew."""
        for explanation in self._explanations.withdrawn():
            self._explainer.withdraw(explanation)
            self._explanations.forget_map(explanation)

    def _reserve(self) -> Explanation | None:
        return self._explanations.reserve(self._owner, self._lease)

    def _make(self, lent: Explanation) -> Drawn | Superseded:
        began = time.monotonic()
        outcome = self._explainer.explain(lent)
        self._seconds = time.monotonic() - began
        return outcome

    def _write_down(self, lent: Explanation, outcome: Drawn | Superseded) -> None:
        if isinstance(outcome, Superseded):
            self._explanations.superseded(lent)
            return
        self._explanations.done(lent, outcome.place, outcome.probability)
        seconds = round(self._seconds, 2)
        _log.info("explained", **self._named(lent), model=lent.wanted.model, seconds=seconds)

    def _named(self, lent: Explanation) -> dict[str, Any]:
        return {"explanation": lent.id}
