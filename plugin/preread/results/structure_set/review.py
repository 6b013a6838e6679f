"""What a physician makes of a proposal: a new structure set in the same series."""

from __future__ import annotations

from copy import deepcopy
from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID, RTStructureSetStorage

from preread.imaging.plane import ImagePlane
from preread.results.structure_set.errors import UnwritableStructureSetError
from preread.results.structure_set.proposal import dated
from preread.results.structure_set.region import Decision, ReviewedBy, Verdict, check_polygon
from preread.results.structure_set.sequences import closed_contours, image_reference, numbered

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

GREEN: Final = (0, 255, 0)
GREY: Final = (128, 128, 128)
_SHORT_TEXT: Final = 1024
_SEQUENCES: Final = (
    ("StructureSetROISequence", "ROINumber"),
    ("ROIContourSequence", "ReferencedROINumber"),
    ("RTROIObservationsSequence", "ReferencedROINumber"),
)


def review(
    proposal: Dataset,
    decisions: Sequence[Decision],
    reviewer: ReviewedBy,
    moment: datetime,
    comment: str = "",
    *,
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
    number: int = 1,
    sources: Sequence[Dataset] = (),
) -> Dataset:
    """Make the structure set that a review leaves.

    Where a region is accepted it is APPROVED and holds the accepted ones alone; else it is
    REJECTED and holds what was proposed.

    Parameters
    ----------
    proposal
        As `propose` made it; left as it is.
    decisions
        One for each region.
    reviewer
        Who; StructureSetDescription says whether anybody was authenticated.
    moment
        When, in the clock in which it is to be told.
    comment
        What the reviewer says; it goes into StructureSetDescription, with what was rejected.
    SOPInstanceUID
        Of the new structure set.
    number
        Of the review, from 1.
    sources
        The images, without pixels, on which lines were edited.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.

    Raises
    ------
    UnwritableStructureSetError
        If the decisions are not those that the proposal asks for, or an edited line's image is not
        among the sources.
    """
    decided = _decided(proposal, decisions)
    accepted = {one.region for one in decisions if one.verdict is Verdict.ACCEPT}
    reviewed: Dataset = deepcopy(proposal)
    reviewed.SOPInstanceUID = SOPInstanceUID
    reviewed.file_meta.MediaStorageSOPInstanceUID = UID(SOPInstanceUID)
    reviewed.InstanceNumber = number + 1
    dated(reviewed, moment)
    reviewed.StructureSetLabel = "AI REVIEWED"
    reviewed.StructureSetDescription = _description(proposal, decisions, reviewer, comment)
    reviewed.PredecessorStructureSetSequence = [
        image_reference(RTStructureSetStorage, proposal.SOPInstanceUID)
    ]
    reviewed.ApprovalStatus = "APPROVED" if accepted else "REJECTED"
    reviewed.ReviewDate = f"{moment:%Y%m%d}"
    reviewed.ReviewTime = f"{moment:%H%M%S}"
    reviewed.ReviewerName = reviewer.name
    if accepted:
        for keyword, key in _SEQUENCES:
            kept = [item for item in reviewed[keyword].value if int(item[key].value) in accepted]
            setattr(reviewed, keyword, kept)
    planes = {str(source.SOPInstanceUID): source for source in sources}
    for roi in reviewed.ROIContourSequence:
        decision = decided[int(roi.ReferencedROINumber)]
        roi.ROIDisplayColor = list(GREEN if accepted else GREY)
        if accepted and decision.polygon is not None:
            _redraw(roi, decision, planes)
    _mark_edited(reviewed, decided)
    return reviewed


def _decided(proposal: Dataset, decisions: Sequence[Decision]) -> dict[int, Decision]:
    proposed = {int(roi.ROINumber) for roi in proposal.StructureSetROISequence}
    decided = {one.region: one for one in decisions}
    if len(decided) != len(decisions) or set(decided) != proposed:
        raise UnwritableStructureSetError(
            "review: expected one decision for each region that was proposed"
        )
    return decided


def _redraw(roi: Dataset, decision: Decision, planes: Mapping[str, Dataset]) -> None:
    assert decision.polygon is not None  # noqa: S101 - the caller has looked
    check_polygon(decision.polygon)
    (reference,) = roi.ContourSequence[0].ContourImageSequence
    source = planes.get(str(reference.ReferencedSOPInstanceUID))
    if source is None:
        raise UnwritableStructureSetError(
            f"review: the image on which region {decision.region} was edited is not there"
        )
    frame = int(reference.get("ReferencedFrameNumber") or 1) - 1
    contours = closed_contours(decision.polygon, ImagePlane.of(source, frame), reference)
    roi.ContourSequence = numbered(contours)


def _mark_edited(reviewed: Dataset, decided: Mapping[int, Decision]) -> None:
    for roi in reviewed.StructureSetROISequence:
        decision = decided[int(roi.ROINumber)]
        if decision.verdict is Verdict.ACCEPT and decision.polygon is not None:
            roi.ROIGenerationAlgorithm = "SEMIAUTOMATIC"
            roi.ROIDescription = f"Edited in review. {roi.ROIDescription}"[:_SHORT_TEXT]


def _description(
    proposal: Dataset, decisions: Sequence[Decision], reviewer: ReviewedBy, comment: str
) -> str:
    edited = [one for one in decisions if one.polygon is not None]
    groups = (
        ("accepted", [one for one in decisions if one.verdict is Verdict.ACCEPT]),
        ("edited", [one for one in edited if one.verdict is Verdict.ACCEPT]),
        ("rejected", [one for one in decisions if one.verdict is Verdict.REJECT]),
    )
    told = "; ".join(
        f"{name}: {', '.join(str(one.region) for one in group)}" for name, group in groups if group
    )
    parts = [str(proposal.StructureSetDescription), reviewer.words, f"Reviewed, regions {told}."]
    # What was said goes before the list, which may be long, and which the ledger has too.
    if comment:
        parts.insert(2, f"Comment: {comment}")
    return " ".join(parts)[:_SHORT_TEXT]
