"""The thread that makes the objects of reviews, and withdraws proposals that are out of date."""

from __future__ import annotations

from typing import Any, Protocol

import structlog

from preread.archive.pacs import Superseded
from preread.ledger.proposal import Proposal, Review
from preread.ledger.proposals import Proposals
from preread.ledger.reviews import Reviews
from preread.ledger.stored_objects import StoredObject, StoredObjects
from preread.runner.meter import Meter
from preread.runner.queue_worker import WithdrawingWorker
from preread.runner.reviewer import Told

_log = structlog.get_logger(__name__)

_LEASE = 120.0  # seconds; one object takes a fraction of a second, and nobody extends it
_WITHDRAW_EVERY = 15.0
_COMPARE_AFTER = 60.0  # seconds since an object was compared with what was stored
_MOST_COMPARED = 20  # at a time: the review that somebody waits for comes first


class Tells(Protocol):
    """What makes the objects; `preread.runner.reviewer.Reviewer` does."""

    def tell(self, decided: Review, /) -> Told | Superseded:
        """Store the object of a review."""
        ...

    def withdraw(self, proposal: Proposal, /) -> None:
        """Delete the objects of a proposal that should not be there any more."""
        ...

    def compare(self, stored: StoredObject, /) -> str:
        """Return why an object is not what was stored; empty if it is."""
        ...


class Reviewing(WithdrawingWorker[Review, Told | Superseded]):
    """Works through the queue, one review at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What is decided and not told yet.
    proposals
        What is proposed.
    stored
        What is stored of both.
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

    not_done = "review not told"

    def __init__(
        self,
        queue: Reviews,
        proposals: Proposals,
        stored: StoredObjects,
        reviewer: Tells,
        owner: str,
        meter: Meter,
    ) -> None:
        super().__init__(queue, owner, meter, "review", every=_WITHDRAW_EVERY)
        self._reviews = queue
        self._proposals = proposals
        self._stored = stored
        self._reviewer = reviewer

    def withdraw(self) -> None:
        """Delete proposals whose images changed or that a newer one replaced, if unreviewed.

        What stays is compared with what was stored.
        """
        for proposal in self._proposals.withdrawn():
            self._reviewer.withdraw(proposal)
            self._proposals.forget(proposal)
        self.compare()

    def compare(self) -> None:
        """Compare what is stored with what was, and mark what differs as stale."""
        for stored in self._stored.due(_MOST_COMPARED, _COMPARE_AFTER):
            altered = self._reviewer.compare(stored)
            self._stored.compared(stored, altered)
            if altered:
                _log.error("stale", review=stored.is_review, id=stored.id, reason=altered)

    def _reserve(self) -> Review | None:
        return self._reviews.reserve(self._owner, _LEASE)

    def _make(self, lent: Review) -> Told | Superseded:
        return self._reviewer.tell(lent)

    def _write_down(self, lent: Review, outcome: Told | Superseded) -> None:
        if isinstance(outcome, Superseded):
            self._reviews.superseded(lent)
            return
        attached = outcome.attached
        self._reviews.done(
            lent,
            outcome.place,
            attached.instance if attached else "",
            attached.sha256 if attached else "",
        )
        _log.info("review told", **self._named(lent), outcome=lent.outcome.value)

    def _named(self, lent: Review) -> dict[str, Any]:
        return {"review": lent.id}
