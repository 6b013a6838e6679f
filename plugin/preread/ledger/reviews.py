"""The queue of reviews whose objects are still to be made; each decision is recorded already.

It has the shape of the ledger's own (see `preread.ledger.lending`).
"""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from preread.ledger.lending import Lending
from preread.ledger.proposal import ObjectIdentity, Review, ReviewState
from preread.ledger.proposal_lookup import shown_review
from preread.ledger.proposal_schema import ProposalRow, ReviewRow

_SUPERSEDED: Final = "an image arrived again or was deleted meanwhile"


class Reviews(Lending[ReviewRow, Review, ReviewState]):
    """What is still to be made of the decisions on one node."""

    _table = ReviewRow
    _states = ReviewState
    _max_attempts = 5
    _ended = "the runner ended {} times while it made this object; see its log"

    def of(self, number: int) -> Review | None:
        """Return one, by the ledger's number."""
        with self._database.reading() as session:
            row = session.get(ReviewRow, number)
            return None if row is None else self._shown(session, row)

    def reserve(self, owner: str, lease_seconds: float) -> Review | None:
        """Lend the next one: the oldest first, what a runner died of last."""
        with self._database.writing() as session:
            row = self._lend_next(session, owner, lease_seconds, self._now(session))
            return None if row is None else self._shown(session, row)

    def done(
        self, review: Review, place: ObjectIdentity, attached: str = "", attached_sha256: str = ""
    ) -> bool:
        """Write down where a review's object is stored; False if it is no longer held."""

        def write(row: ReviewRow) -> None:
            row.instance, row.SOPInstanceUID = place.instance, place.SOPInstanceUID
            row.attached = attached
            row.sha256, row.attached_sha256 = place.sha256, attached_sha256

        return self._finish(review, ReviewState.DONE, write=write)

    def superseded(self, review: Review) -> bool:
        """Write down that an image arrived again or was deleted before the object was stored."""
        return self._finish(review, ReviewState.SUPERSEDED, _SUPERSEDED)

    def _shown(self, session: Session, row: ReviewRow) -> Review:
        return shown_review(row, session.get_one(ProposalRow, row.proposal_id))
