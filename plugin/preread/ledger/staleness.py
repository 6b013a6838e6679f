"""Which proposals and decisions tell of what is not there any more as it was.

An image has arrived again or was deleted, or the object that tells of the decision is not the one
that was stored.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import ColumnElement, and_, exists, func, or_, select
from sqlalchemy.orm import Session

from preread.ledger.proposal import ProposalStatus
from preread.ledger.proposal_schema import ProposalImageRow, ProposalRow, ReviewRow
from preread.ledger.schema import InstanceRow

_IMAGE: Final = "an image has arrived again or was deleted since it was looked at"
_LARGEST_PART: Final = 500


def image_changed() -> ColumnElement[bool]:
    """Tell of a row of `ProposalRow` whether one of its images is not as it was."""
    return (
        select(ProposalImageRow.proposal_id)
        .join(InstanceRow, InstanceRow.id == ProposalImageRow.instance_id)
        .where(
            ProposalImageRow.proposal_id == ProposalRow.id,
            or_(
                InstanceRow.deleted.is_(True),
                InstanceRow.generation != ProposalImageRow.generation,
            ),
        )
        .exists()
    )


def stale_of(session: Session, rows: Sequence[ProposalRow]) -> dict[int, str]:
    """Return why proposals, or the latest decisions about them, are stale, by their numbers.

    Of those that are withdrawn without a decision nothing is said.
    """
    alive = {row.id: row for row in rows if row.version or not _is_superseded(row)}
    stale = {row.id: row.altered for row in alive.values() if row.altered and not row.version}
    numbers = sorted(alive)
    for start in range(0, len(numbers), _LARGEST_PART):
        part = numbers[start : start + _LARGEST_PART]
        altered = select(ReviewRow.proposal_id, ReviewRow.version, ReviewRow.altered).where(
            ReviewRow.proposal_id.in_(part), ReviewRow.altered != ""
        )
        stale |= {
            number: reason
            for number, version, reason in session.execute(altered)
            if alive[number].version == version
        }
        changed = select(ProposalRow.id).where(ProposalRow.id.in_(part), image_changed())
        stale |= dict.fromkeys(session.scalars(changed), _IMAGE)
    return stale


def stale_count(session: Session, node: str) -> int:
    """Return how many decisions of a node are stale."""
    altered = exists().where(
        and_(
            ReviewRow.proposal_id == ProposalRow.id,
            ReviewRow.version == ProposalRow.version,
            ReviewRow.altered != "",
        )
    )
    query = select(func.count()).where(
        ProposalRow.node == node, ProposalRow.version > 0, or_(altered, image_changed())
    )
    return session.scalar(query) or 0


def _is_superseded(row: ProposalRow) -> bool:
    return row.status == ProposalStatus.SUPERSEDED.value
