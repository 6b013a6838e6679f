"""The objects of proposals and reviews, with the SHA-256 that they had when they were stored."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TypeVar

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import Session

from preread.ledger.on_node import OnNode
from preread.ledger.proposal import ProposalStatus
from preread.ledger.proposal_schema import ProposalRow, ReviewRow
from preread.ledger.staleness import stale_count

_RowT = TypeVar("_RowT", ReviewRow, ProposalRow)


@dataclass(frozen=True, slots=True)
class StoredObject:
    """An object, and its like in the original study.

    Attributes
    ----------
    is_review
        Whether it tells of a review; else it is a proposal.
    id
        The ledger's number of the review or the proposal.
    hashes
        By Orthanc's id: the SHA-256 of the file that was stored, hexadecimal.
    """

    is_review: bool
    id: int
    hashes: dict[str, str]


class StoredObjects(OnNode):
    """What of a node's proposals and reviews is stored, and whether it is as it was."""

    def due(self, limit: int, seconds: float) -> list[StoredObject]:
        """Return what was not compared for a while, the longest first.

        Parameters
        ----------
        limit
            How many at most.
        seconds
            How long.
        """
        with self._database.reading() as session:
            before = self._now(session) - timedelta(seconds=seconds)
            found: list[tuple[datetime | None, StoredObject]] = []
            told = ReviewRow.instance != ""
            found += _due(session, ReviewRow, self._node, told, before, limit)
            waits = ProposalRow.status == ProposalStatus.PROPOSED.value
            found += _due(session, ProposalRow, self._node, waits, before, limit)
        found.sort(key=lambda one: (one[0] is not None, one[0] or before))
        return [one for _, one in found[:limit]]

    def compared(self, stored: StoredObject, altered: str) -> None:
        """Write down that an object was compared.

        Parameters
        ----------
        stored
            Which.
        altered
            Why it is not what was stored; empty if it is.
        """
        with self._database.writing() as session:
            row = (
                session.get_one(ReviewRow, stored.id, with_for_update=True)
                if stored.is_review
                else session.get_one(ProposalRow, stored.id, with_for_update=True)
            )
            row.checked, row.altered = self._now(session), altered

    def stale(self) -> int:
        """Return how many decisions tell of what is not there any more as it was."""
        with self._database.reading() as session:
            return stale_count(session, self._node)


def _due(
    session: Session,
    table: type[_RowT],
    node: str,
    stands: ColumnElement[bool],
    before: datetime,
    limit: int,
) -> list[tuple[datetime | None, StoredObject]]:
    query = (
        select(table)
        .where(
            table.node == node,
            stands,
            table.sha256 != "",
            or_(table.checked.is_(None), table.checked < before),
        )
        .order_by(table.checked.is_not(None), table.checked, table.id)
        .limit(limit)
    )
    return [(row.checked, _stored(row)) for row in session.scalars(query)]


def _stored(row: ReviewRow | ProposalRow) -> StoredObject:
    both = ((row.instance, row.sha256), (row.attached, row.attached_sha256))
    hashes = {name: sha256 for name, sha256 in both if name and sha256}
    return StoredObject(isinstance(row, ReviewRow), row.id, hashes)
