"""The queue of reviews whose objects are still to be made; each decision is recorded already."""

from __future__ import annotations

from typing import Final

from sqlalchemy.orm import Session

from preread.ledger.proposal import Review
from preread.ledger.proposal_lookup import REVIEW, shown_review
from preread.ledger.proposal_schema import ProposalRow, ReviewRow
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from preread.ledger.task_queue import Queue
from preread.ledger.task_schema import TaskRow

_SUPERSEDED: Final = "an image arrived again or was deleted meanwhile"


class Reviews(Queue[Review]):
    """What is still to be made of the decisions on one node."""

    kind = REVIEW
    _ended = "the runner ended {} times while it made this object; see its log"

    def of(self, number: int) -> Review | None:
        """Return one, by the ledger's number of it."""
        return self._one(number)

    def done(
        self, review: Review, place: ObjectIdentity, attached: str = "", attached_sha256: str = ""
    ) -> bool:
        """Write down where a review's object is stored; False if it is no longer held."""
        with self._database.writing() as session:
            task = self._held(session, review)
            if task is None:
                return False
            row = session.get_one(ReviewRow, review.id, with_for_update=True)
            row.instance, row.SOPInstanceUID = place.instance, place.SOPInstanceUID
            row.attached = attached
            row.sha256, row.attached_sha256 = place.sha256, attached_sha256
            self._settle(session, task, TaskState.DONE, "", self._now(session))
            return True

    def superseded(self, review: Review) -> bool:
        """Write down that an image arrived again or was deleted before the object was stored."""
        return self._finish(review, TaskState.SUPERSEDED, _SUPERSEDED)

    def _row(self, session: Session, number: int, *, lock: bool = False) -> TaskRow | None:
        query = self._rows().where(TaskRow.subject == str(number))
        return session.scalar(query.with_for_update() if lock else query)

    def _shown(self, session: Session, row: TaskRow) -> Review:
        review = session.get_one(ReviewRow, int(row.subject))
        return shown_review(review, session.get_one(ProposalRow, review.proposal_id), row)
