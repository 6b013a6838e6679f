"""Regions on images that have no place in the patient: a structured report (PS3.16 TID 1500).

The report is a Comprehensive SR whose regions are polylines in image coordinates. A proposal is
unverified; what a review leaves is verified by its reviewer, each region says what was decided and
whether its line was edited, and what the reviewer said is a comment among the evaluations.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import highdicom as hd
import numpy as np
from highdicom.sr import (
    AlgorithmIdentification,
    ComprehensiveSR,
    ContainerContentItem,
    ContentSequence,
    DeviceObserverIdentifyingAttributes,
    ImageRegion,
    MeasurementReport,
    ObservationContext,
    ObserverContext,
    PlanarROIMeasurementsAndQualitativeEvaluations,
    QualitativeEvaluation,
    RelationshipTypeValues,
    SourceImageForRegion,
    TextContentItem,
    TrackingIdentifier,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from preread import __version__
from preread.imaging.plane import frames_of
from preread.results.belonging import copy_patient_and_study
from preread.results.equipment import INTENDED_USE, MANUFACTURER, date_time
from preread.results.structure_set.errors import UnwritableStructureSetError
from preread.results.structure_set.region import (
    MOST_REGIONS,
    Decision,
    Verdict,
    check_polygon,
)
from preread.results.structure_set.splitting import parts_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from numpy.typing import NDArray

    from preread.results.structure_set.region import Described, Region, ReviewedBy

_CHARACTER_SET: Final = "ISO_IR 192"
_LONG_STRING: Final = 64
_MOST_POINTS: Final = 65534 // 8  # of an FL with 16 bits for its length (PS3.5 section 7.1.2)
_SERIES_NUMBER: Final = 9700
_ORGANISATION: Final = "Unknown"
_PROCEDURE: Final = Code("363679005", "SCT", "Imaging procedure")
_FINDING: Final = Code("49755003", "SCT", "Morphologically abnormal structure")
_DECIDED: Final = Code("REVIEW", "99PREREAD", "Decided in review")
_VERDICTS: Final = {
    Verdict.ACCEPT: Code("ACCEPTED", "99PREREAD", "Accepted in review"),
    Verdict.REJECT: Code("REJECTED", "99PREREAD", "Rejected in review"),
}
_LINE: Final = Code("LINE", "99PREREAD", "Line of the region")
_EDITED: Final = Code("EDITED", "99PREREAD", "Edited in review")
_EVALUATIONS: Final = Code("C0034375", "UMLS", "Qualitative Evaluations")
# What the class asks of an image, and an image that was a picture once may lack.
_NEEDED: Final = (
    *("PatientID", "PatientName", "PatientBirthDate", "PatientSex"),
    *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
)


def region_report(
    sources: Sequence[Dataset],
    regions: Sequence[Region],
    network: Described,
    *,
    moment: datetime,
    SeriesInstanceUID: str,  # noqa: N803 - the attribute's own name
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
    number: int = 1,
    reviewer: ReviewedBy | None = None,
    decisions: Sequence[Decision] = (),
    comment: str = "",
) -> Dataset:
    """Make the report of what a network found, or of what a review left of it.

    Parameters
    ----------
    sources
        The images of one series, without pixels.
    regions
        What was found; a region's frame counts the frames of all sources, one after the other.
    network
        Which found it.
    moment
        When.
    SeriesInstanceUID, SOPInstanceUID
        Of the report.
    number
        InstanceNumber.
    reviewer
        Who verifies it; None for a proposal.
    decisions
        Of a review: one for each region, in their order. A line that one has is shown instead of
        the network's.
    comment
        What the reviewer says.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.

    Raises
    ------
    UnwritableStructureSetError
        If there is no region, or a source lacks an attribute that reports need.
    """
    if not sources or not 1 <= len(regions) <= MOST_REGIONS:
        raise UnwritableStructureSetError(
            f"report of regions: expected images and 1 to {MOST_REGIONS} regions"
        )
    if reviewer and len(decisions) != len(regions):
        raise UnwritableStructureSetError("report of regions: expected a decision for each region")
    try:
        evidence = [_complete(source) for source in sources]
        report: Dataset = ComprehensiveSR(
            evidence=evidence,
            content=_content(evidence, regions, network, decisions, _said(reviewer, comment)),
            series_instance_uid=SeriesInstanceUID,
            series_number=_SERIES_NUMBER,
            sop_instance_uid=SOPInstanceUID,
            instance_number=number,
            manufacturer=MANUFACTURER,
            manufacturer_model_name="Preread",
            software_versions=__version__,
            series_description=f"Preread regions: {network.name}"[:_LONG_STRING],
            is_complete=bool(reviewer),
            is_verified=bool(reviewer),
            verifying_observer_name=reviewer.name if reviewer else None,
            verifying_organization=_ORGANISATION if reviewer else None,
        )
        # Of who reviews, and of the network, the image's own character set may know no letter.
        report.SpecificCharacterSet = _CHARACTER_SET
        copy_patient_and_study(report, sources[0])
        report.ContentDate = f"{moment:%Y%m%d}"
        report["ContentTime"].value = f"{moment:%H%M%S}"
        report.CompletionFlagDescription = INTENDED_USE
        for verified in report.get("VerifyingObserverSequence") or ():
            verified.VerificationDateTime = date_time(moment)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        # What a source holds may be anything; the library's own words would quote it.
        raise UnwritableStructureSetError(
            f"report of regions: an image's header does not allow it ({type(error).__name__})"
        ) from None
    return report


def _complete(source: Dataset) -> Dataset:
    complete = Dataset()
    for element in source:
        complete.add(element)
    for keyword in _NEEDED:
        if keyword not in complete:
            setattr(complete, keyword, "")
    # The library wants a term of the standard's and takes it over. What the image has may be
    # misspelt ("ISO-IR 100"), and the report has a set of its own.
    complete.SpecificCharacterSet = _CHARACTER_SET
    return complete


def _content(
    sources: Sequence[Dataset],
    regions: Sequence[Region],
    network: Described,
    decisions: Sequence[Decision],
    said: Sequence[str],
) -> MeasurementReport:
    device = ObserverContext(
        observer_type=codes.DCM.Device,
        observer_identifying_attributes=DeviceObserverIdentifyingAttributes(
            uid=network.uid, name=network.name, manufacturer_name=MANUFACTURER
        ),
    )
    algorithm = AlgorithmIdentification(
        name=network.name,
        version=network.version or "1",
        parameters=[f"DnnUID {network.uid}", f"weights sha256:{network.weights_sha256}"],
    )
    places = [(source, frame) for source in sources for frame in range(frames_of(source))]
    groups = []
    for position, region in enumerate(regions):
        if not 0 <= region.frame < len(places):
            raise UnwritableStructureSetError(f"region {position + 1}: there is no such frame")
        decision = decisions[position] if decisions else None
        edited = None if decision is None else decision.polygon
        # A region whose line is too long for one is several groups, which are tracked as one.
        tracked = TrackingIdentifier(uid=hd.UID(), identifier=f"Region {position + 1}")
        groups += [
            PlanarROIMeasurementsAndQualitativeEvaluations(
                tracking_identifier=tracked,
                referenced_region=line,
                finding_type=_FINDING,
                algorithm_id=algorithm,
                qualitative_evaluations=None if decision is None else _evaluations(decision),
            )
            for line in _lines(region.polygon if edited is None else edited, *places[region.frame])
        ]
    report = MeasurementReport(
        observation_context=ObservationContext(observer_device_context=device),
        procedure_reported=_PROCEDURE,
        imaging_measurements=groups,
    )
    if said:
        report[0].ContentSequence.append(_comments(said))
    return report


def _evaluations(decision: Decision) -> list[QualitativeEvaluation]:
    told = [QualitativeEvaluation(_DECIDED, _VERDICTS[decision.verdict])]
    if decision.polygon is not None:
        told.append(QualitativeEvaluation(_LINE, _EDITED))
    return told


def _said(reviewer: ReviewedBy | None, comment: str) -> list[str]:
    return [words for words in (comment, reviewer.words if reviewer else "") if words]


def _comments(said: Sequence[str]) -> ContainerContentItem:
    """Make the template's evaluations of the whole, which the library has no class for."""
    evaluations = ContainerContentItem(
        name=_EVALUATIONS, relationship_type=RelationshipTypeValues.CONTAINS
    )
    evaluations.ContentSequence = ContentSequence(
        [
            TextContentItem(codes.DCM.Comment, words, RelationshipTypeValues.CONTAINS)
            for words in said
        ]
    )
    return evaluations


def _lines(polygon: NDArray[np.float64], source: Dataset, frame: int) -> list[ImageRegion]:
    check_polygon(polygon)
    image = SourceImageForRegion(
        source.SOPClassUID,
        source.SOPInstanceUID,
        [frame + 1] if frames_of(source) > 1 else None,
    )
    parts = parts_of(polygon, lambda line: len(line) < _MOST_POINTS)
    try:
        return [
            # There the upper left corner of the first pixel is (0, 0), and its centre (0.5, 0.5).
            ImageRegion("POLYLINE", np.vstack((part, part[:1])) + 0.5, image)
            for part in parts
        ]
    except KeyError:
        raise UnwritableStructureSetError(
            "report of regions: the present standard does not know the image's SOPClassUID "
            "(0008,0016), so that no report can refer to it"
        ) from None
