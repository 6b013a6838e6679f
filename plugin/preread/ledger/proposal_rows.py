"""How what is proposed and decided becomes rows.

Everything here runs inside a transaction of the caller.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from sqlalchemy import select
from sqlalchemy.orm import Session

from preread.ledger.proposal import NewProposal, ProposalImage, ProposalStatus, RegionDecision
from preread.ledger.proposal_schema import ProposalImageRow, ProposalRow, ReviewRow


def describe(row: ProposalRow, new: NewProposal) -> None:
    """Give a row all of a new proposal but its images."""
    row.instance = new.place.instance
    row.SOPInstanceUID = new.place.SOPInstanceUID
    row.SeriesInstanceUID = new.place.SeriesInstanceUID
    row.StudyInstanceUID = new.place.StudyInstanceUID
    row.attached = "" if new.attached is None else new.attached.instance
    row.sha256 = new.place.sha256
    row.attached_sha256 = "" if new.attached is None else new.attached.sha256
    row.checked, row.altered = None, ""
    row.source_series, row.source_study = new.series, new.study
    row.source_series_uid, row.source_study_uid = new.SeriesInstanceUID, new.StudyInstanceUID
    row.shown_series, row.shown_study = new.shown_series, new.shown_study
    row.shown_series_uid = new.shown_SeriesInstanceUID
    row.scope = new.scope
    row.network_name, row.network_uid = new.network.name, new.network.uid
    row.network_version = new.network.version
    row.weights_sha256 = new.network.weights_sha256
    row.number_of_regions = len(new.regions)
    row.regions = [region.to_json() for region in new.regions]
    row.skipped = [one.to_json() for one in new.skipped]
    row.status = ProposalStatus.PROPOSED.value
    row.version, row.stored = 0, True


def replace_images(
    session: Session,
    row: ProposalRow,
    images: Sequence[ProposalImage],
    numbers: Mapping[str, int],
) -> None:
    """Write down a proposal's images, in place of those that it had.

    Parameters
    ----------
    numbers
        Of the instances' rows, by Orthanc's id.
    """
    for old in session.scalars(
        select(ProposalImageRow).where(ProposalImageRow.proposal_id == row.id)
    ):
        session.delete(old)
    session.flush()
    session.add_all(
        ProposalImageRow(
            proposal_id=row.id,
            position=position,
            instance_id=numbers[image.instance],
            generation=image.generation,
            shown=image.shown,
            SOPInstanceUID=image.SOPInstanceUID,
            frames=image.frames,
        )
        for position, image in enumerate(images)
    )


def review_of(
    row: ProposalRow,
    decisions: Sequence[RegionDecision],
    reviewer: str,
    account: str,
    comment: str,
    now: datetime,
) -> ReviewRow:
    """Make the row of a review of a proposal as it stands, whose object is still to be made."""
    return ReviewRow(
        node=row.node,
        proposal_id=row.id,
        version=row.version,
        reviewer=reviewer,
        account=account,
        comment=comment,
        outcome=row.status,
        decisions=[one.to_json() for one in decisions],
        instance="",
        SOPInstanceUID="",
        attached="",
        sha256="",
        attached_sha256="",
        checked=None,
        altered="",
        created=now,
    )
