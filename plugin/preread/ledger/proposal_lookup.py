"""How rows of proposals and reviews become what is handed out."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.proposal import (
    Network,
    Proposal,
    ProposalImage,
    ProposalStatus,
    ProposedRegion,
    RegionDecision,
    Review,
)
from preread.ledger.proposal_schema import ProposalImageRow, ProposalRow, ReviewRow
from preread.ledger.schema import InstanceRow
from preread.ledger.skipped import SkippedImage
from preread.ledger.staleness import stale_of
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from preread.ledger.task_schema import TaskRow

REVIEW: Final = "review"
"""The kind of the tasks that make the objects of reviews; their subject is the review's number."""


def listed(session: Session, rows: Sequence[ProposalRow]) -> list[Proposal]:
    """Return proposals without their images and regions."""
    stale = stale_of(session, rows)
    return [_shown(session, row, stale.get(row.id, ""), details=False) for row in rows]


def shown(session: Session, row: ProposalRow) -> Proposal:
    """Return a proposal with its images, regions and reviews."""
    return _shown(session, row, stale_of(session, [row]).get(row.id, ""), details=True)


def _shown(session: Session, row: ProposalRow, stale: str, *, details: bool) -> Proposal:
    return Proposal(
        id=row.id,
        place=ObjectIdentity(
            row.instance,
            row.SOPInstanceUID,
            row.SeriesInstanceUID,
            row.StudyInstanceUID,
            row.sha256,
        ),
        attached=row.attached,
        series=row.source_series,
        study=row.source_study,
        SeriesInstanceUID=row.source_series_uid,
        StudyInstanceUID=row.source_study_uid,
        shown_series=row.shown_series,
        shown_study=row.shown_study,
        shown_SeriesInstanceUID=row.shown_series_uid,
        scope=row.scope,
        network=Network(row.network_name, row.network_uid, row.network_version, row.weights_sha256),
        status=ProposalStatus(row.status),
        version=row.version,
        stale=stale,
        number_of_regions=row.number_of_regions,
        created=row.created,
        updated=row.updated,
        reviews=tuple(reviews_of(session, row)) if details else (),
        images=tuple(images_of(session, row.id)) if details else (),
        regions=tuple(map(ProposedRegion.from_json, row.regions)) if details else (),
        skipped=tuple(map(SkippedImage.from_json, row.skipped or ())) if details else (),
    )


def images_of(session: Session, number: int) -> list[ProposalImage]:
    """Return the images of a proposal, in their order."""
    query = (
        select(ProposalImageRow, InstanceRow.instance)
        .join(InstanceRow, InstanceRow.id == ProposalImageRow.instance_id)
        .where(ProposalImageRow.proposal_id == number)
        .order_by(ProposalImageRow.position)
    )
    return [
        ProposalImage(instance, row.generation, row.shown, row.SOPInstanceUID, row.frames)
        for row, instance in session.execute(query)
    ]


def reviews_of(session: Session, row: ProposalRow) -> list[Review]:
    """Return the reviews of a proposal, the first one first."""
    query = select(ReviewRow).where(ReviewRow.proposal_id == row.id).order_by(ReviewRow.version)
    reviews = session.scalars(query).all()
    tasks = {
        task.subject: task
        for task in session.scalars(
            select(TaskRow).where(
                TaskRow.node == row.node,
                TaskRow.kind == REVIEW,
                TaskRow.subject.in_([str(review.id) for review in reviews]),
            )
        )
    }
    return [shown_review(review, row, tasks[str(review.id)]) for review in reviews]


def shown_review(row: ReviewRow, proposal: ProposalRow, task: TaskRow) -> Review:
    """Return a review, whose object a task has made."""
    place = None
    if row.instance:
        # A review's object lies in the series of its proposal.
        place = ObjectIdentity(
            row.instance,
            row.SOPInstanceUID,
            proposal.SeriesInstanceUID,
            proposal.StudyInstanceUID,
            row.sha256,
        )
    return Review(
        id=row.id,
        proposal=row.proposal_id,
        version=row.version,
        reviewer=row.reviewer,
        account=row.account,
        comment=row.comment,
        outcome=ProposalStatus(row.outcome),
        decisions=tuple(map(RegionDecision.from_json, row.decisions)),
        created=row.created,
        state=TaskState(task.state),
        reason=task.reason,
        place=place,
        attached=row.attached,
        owner=task.owner,
        reservation=task.reservation,
    )
