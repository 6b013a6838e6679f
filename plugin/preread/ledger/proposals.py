"""What networks propose and people decide, in the same database as the ledger.

A decision is recorded at once, against the version that the reviewer has seen; the object that
tells of it is made afterwards by the runner, from the queue in `preread.ledger.reviews`. Nothing
that was decided is ever changed or deleted. As in the ledger, the rows of instances are locked
before those that refer to them.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Final

from sqlalchemy import ColumnElement, or_, select
from sqlalchemy.orm import InstrumentedAttribute, Session, undefer

from preread.elements import is_orthanc_id
from preread.ledger.counting import count
from preread.ledger.on_node import OnNode
from preread.ledger.proposal import (
    NewProposal,
    Proposal,
    ProposalConflictError,
    ProposalImage,
    ProposalStatus,
    RegionDecision,
    Review,
)
from preread.ledger.proposal_lookup import (
    REVIEW,
    images_of,
    listed,
    reviews_of,
    shown,
    shown_review,
)
from preread.ledger.proposal_rows import describe, replace_images, review_of
from preread.ledger.proposal_schema import ProposalRow
from preread.ledger.schema import InstanceRow
from preread.ledger.staleness import image_changed
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task_rows import new_row

_MOST_WITHDRAWN: Final = 100
_LARGEST_PART: Final = 500


class Proposals(OnNode):
    """What is proposed and decided on one node."""

    def record(self, new: NewProposal) -> Proposal | None:
        """Write down a proposal that is stored; it supersedes the one before.

        What was proposed before for the same series, network and scope is superseded: without a
        review it will be withdrawn, with one it stays. Recording the same object again changes a
        proposal that nobody has reviewed.

        Returns
        -------
        Proposal or None
            None if an image has arrived again, or was deleted, since it was looked at.
        """
        with self._database.writing() as session:
            now = self._now(session)
            numbers = self._current(session, new.images)
            if numbers is None:
                return None
            row = session.scalar(
                select(ProposalRow).where(*self._named(new.place.SOPInstanceUID)).with_for_update()
            )
            if row is not None and row.version:
                return shown(session, row)
            self._supersede(session, new.series, new.network.uid, new.scope, now, but=new.place)
            if row is None:
                row = ProposalRow(node=self._node, created=now)
                session.add(row)
            describe(row, new)
            row.updated = now
            session.flush()
            replace_images(session, row, new.images, numbers)
            session.flush()
            return shown(session, row)

    def listed(
        self,
        study: str = "",
        series: str = "",
        status: ProposalStatus | None = None,
        limit: int = 100,
    ) -> list[Proposal]:
        """Return proposals without their images and regions, the latest changed first.

        Parameters
        ----------
        study, series
            Orthanc's ids or DICOM's, of the images as they arrived, or of those beside which the
            proposals lie; empty for all.
        status
            Only those; None for all.
        limit
            How many at most.
        """
        query = (
            select(ProposalRow)
            .where(ProposalRow.node == self._node)
            .order_by(ProposalRow.updated.desc(), ProposalRow.id.desc())
            .limit(limit)
        )
        row = ProposalRow
        if study:
            ids = [row.shown_study, row.source_study]
            query = query.where(_one_of(study, ids, [row.StudyInstanceUID, row.source_study_uid]))
        if series:
            ids = [row.shown_series, row.source_series]
            uids = [row.SeriesInstanceUID, row.shown_series_uid, row.source_series_uid]
            query = query.where(_one_of(series, ids, uids))
        if status is not None:
            query = query.where(row.status == status.value)
        with self._database.reading() as session:
            return listed(session, session.scalars(query).all())

    def find(self, identifier: str) -> Proposal | None:
        """Return all of a proposal, by its SOPInstanceUID or Orthanc's id."""
        with self._database.reading() as session:
            row = session.scalar(
                select(ProposalRow)
                .where(*self._named(identifier))
                .options(undefer(ProposalRow.regions), undefer(ProposalRow.skipped))
            )
            return None if row is None else shown(session, row)

    def of(self, number: int) -> Proposal | None:
        """Return all of a proposal, by the ledger's number."""
        with self._database.reading() as session:
            row = session.get(ProposalRow, number)
            return None if row is None else shown(session, row)

    def counts(self) -> dict[ProposalStatus, int]:
        """Return how many proposals have each status."""
        with self._database.reading() as session:
            return count(
                session, ProposalRow.status, ProposalStatus, ProposalRow.node == self._node
            )

    def decide(
        self,
        proposal: Proposal,
        version: int,
        decisions: Sequence[RegionDecision],
        *,
        reviewer: str,
        account: str = "",
        comment: str = "",
    ) -> Review:
        """Record what somebody decided.

        Parameters
        ----------
        proposal
            Which.
        version
            That of the proposal as its reviewer saw it.
        decisions
            One for each region.
        reviewer, comment
            The name that was typed, and what is to be said.
        account
            The user who was authenticated; empty if nobody was.

        Raises
        ------
        ProposalConflictError
            If somebody else has decided meanwhile, or the proposal is superseded: nothing is
            written down then.
        """
        with self._database.writing() as session:
            now = self._now(session)
            images = images_of(session, proposal.id)
            is_current = self._current(session, images) is not None
            row = session.get_one(ProposalRow, proposal.id, with_for_update=True)
            if row.version != version:
                raise ProposalConflictError(_whose(session, row, version))
            if row.status == ProposalStatus.SUPERSEDED.value or not is_current:
                raise ProposalConflictError(
                    "the proposal is superseded: its images arrived again or were deleted, or "
                    "there is a newer one"
                )
            accepted = any(one.verdict == "accept" for one in decisions)
            outcome = ProposalStatus.APPROVED if accepted else ProposalStatus.REJECTED
            row.version += 1
            row.status, row.updated = outcome.value, now
            review = review_of(row, decisions, reviewer, account, comment, now)
            session.add(review)
            session.flush()
            task = new_row(self._node, REVIEW, str(review.id), now)
            session.add(task)
            session.flush()
            return shown_review(review, row, task)

    def withdrawn(self) -> list[Proposal]:
        """Return proposals that are stored and should not be, and that nobody has reviewed.

        They were superseded, or an image arrived again or was deleted since.
        """
        with self._database.writing() as session:
            now = self._now(session)
            # What was deleted from Orthanc by somebody else counts as superseded too.
            stale = (
                select(ProposalRow)
                .where(
                    ProposalRow.node == self._node,
                    ProposalRow.status == ProposalStatus.PROPOSED.value,
                    image_changed(),
                )
                .order_by(ProposalRow.id)
                .limit(_MOST_WITHDRAWN)
                .with_for_update()
            )
            for row in session.scalars(stale):
                row.status, row.updated = ProposalStatus.SUPERSEDED.value, now
            session.flush()
            query = (
                select(ProposalRow)
                .where(
                    ProposalRow.node == self._node,
                    ProposalRow.status == ProposalStatus.SUPERSEDED.value,
                    ProposalRow.version == 0,
                    ProposalRow.stored.is_(True),
                )
                .order_by(ProposalRow.id)
                .limit(_MOST_WITHDRAWN)
            )
            return listed(session, session.scalars(query).all())

    def is_superseded(self, SOPInstanceUID: str) -> bool:  # noqa: N803 - the attribute's own name
        """Tell whether a proposal of that UID was superseded, and is or will be withdrawn."""
        query = select(ProposalRow.status).where(
            ProposalRow.node == self._node, ProposalRow.SOPInstanceUID == SOPInstanceUID
        )
        with self._database.reading() as session:
            return session.scalar(query) == ProposalStatus.SUPERSEDED.value

    def supersede(self, series: str, network: str, scope: str = "") -> None:
        """Write down that a network finds nothing now where it proposed something before.

        Parameters
        ----------
        series
            Orthanc's id, as the images arrived.
        network
            DnnUID.
        scope
            As `NewProposal.scope`.
        """
        with self._database.writing() as session:
            self._supersede(session, series, network, scope, self._now(session))

    def forget(self, proposal: Proposal) -> None:
        """Write down that a proposal's object is not stored any more."""
        with self._database.writing() as session:
            session.get_one(ProposalRow, proposal.id, with_for_update=True).stored = False

    # How it is done.

    def _named(self, identifier: str) -> list[ColumnElement[bool]]:
        wanted = identifier if identifier.isprintable() else ""
        column = ProposalRow.instance if is_orthanc_id(wanted) else ProposalRow.SOPInstanceUID
        return [ProposalRow.node == self._node, column == wanted]

    def _current(self, session: Session, images: Sequence[ProposalImage]) -> dict[str, int] | None:
        """Lock the images' rows and return their numbers; None if one is not as it was."""
        numbers: dict[str, int] = {}
        wanted = {image.instance: image.generation for image in images}
        names = sorted(wanted)
        for start in range(0, len(names), _LARGEST_PART):
            rows = session.scalars(
                select(InstanceRow)
                .where(
                    InstanceRow.node == self._node,
                    InstanceRow.instance.in_(names[start : start + _LARGEST_PART]),
                    InstanceRow.deleted.is_(False),
                )
                .order_by(InstanceRow.id)
                .with_for_update()
            )
            numbers |= {
                row.instance: row.id for row in rows if row.generation == wanted[row.instance]
            }
        return numbers if len(numbers) == len(wanted) else None

    def _supersede(
        self,
        session: Session,
        series: str,
        network: str,
        scope: str,
        now: datetime,
        but: ObjectIdentity | None = None,
    ) -> None:
        earlier = (
            select(ProposalRow)
            .where(
                ProposalRow.node == self._node,
                ProposalRow.source_series == series,
                ProposalRow.network_uid == network,
                ProposalRow.scope == scope,
                ProposalRow.SOPInstanceUID != ("" if but is None else but.SOPInstanceUID),
                ProposalRow.status != ProposalStatus.SUPERSEDED.value,
            )
            .order_by(ProposalRow.id)
            .with_for_update()
        )
        for row in session.scalars(earlier):
            row.status, row.updated = ProposalStatus.SUPERSEDED.value, now


def _one_of(
    identifier: str,
    ids: Sequence[InstrumentedAttribute[str]],
    uids: Sequence[InstrumentedAttribute[str]],
) -> ColumnElement[bool]:
    wanted = identifier if identifier.isprintable() else ""
    return or_(*(column == wanted for column in (ids if is_orthanc_id(wanted) else uids)))


def _whose(session: Session, row: ProposalRow, seen: int) -> str:
    latest = reviews_of(session, row)[-1:]
    who = f" by {latest[0].account or latest[0].reviewer}" if latest else ""
    return (
        f"the proposal was reviewed meanwhile{who}: it is at version {row.version}, not {seen}; "
        "read it again"
    )
