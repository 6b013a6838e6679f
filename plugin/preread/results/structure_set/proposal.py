"""What a network proposes for a series: one structure set, unapproved."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, ExplicitVRLittleEndian, RTStructureSetStorage

from preread import __version__
from preread.imaging.plane import ImagePlane, frames_of
from preread.results.belonging import copy_patient_and_study
from preread.results.equipment import (
    INTENDED_USE,
    MANUFACTURER,
    PROCESSING_EQUIPMENT,
    date_time,
)
from preread.results.structure_set.bearing import frame_of
from preread.results.structure_set.errors import UnwritableStructureSetError
from preread.results.structure_set.region import MOST_REGIONS, check_polygon
from preread.results.structure_set.sequences import (
    closed_contours,
    frame_of_reference,
    image_reference,
    observation,
    region_of_interest,
    roi_contours,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from preread.results.structure_set.region import Described, Region

RED: Final = (255, 0, 0)
_LONG_STRING: Final = 64
_SHORT_TEXT: Final = 1024
_SERIES_NUMBER_OFFSET: Final = 9700
_LARGEST_NUMBER: Final = 2**31 - 1
_NOT_IN_NAMES: Final = str.maketrans("\\^=", "   ")


class _Place(NamedTuple):
    source: Dataset
    frame: int


def propose(
    sources: Sequence[Dataset],
    regions: Sequence[Region],
    network: Described,
    *,
    moment: datetime,
    SeriesInstanceUID: str,  # noqa: N803 - the attribute's own name
    SOPInstanceUID: str,  # noqa: N803 - the attribute's own name
) -> Dataset:
    """Make the structure set of what a network found in a series.

    Parameters
    ----------
    sources
        The images of one series, without pixels; the first one says whose they are.
    regions
        What was found, one ROI each, numbered from 1. A region's frame counts the frames of all
        sources, one image after the other.
    network
        Which found it.
    moment
        When, with its time zone.
    SeriesInstanceUID
        Another one for each proposal: viewers show the last instance of a series.
    SOPInstanceUID
        Of the structure set.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.

    Raises
    ------
    NoImagePlaneError
        If an image has no FrameOfReferenceUID, or one with a region no place in the patient.
    UnwritableStructureSetError
        If there is no region, or a source lacks an attribute that structure sets need.
    """
    if not sources or not 1 <= len(regions) <= MOST_REGIONS:
        raise UnwritableStructureSetError(
            f"structure set: expected images and 1 to {MOST_REGIONS} regions"
        )
    try:
        return _proposal(sources, regions, network, moment, SeriesInstanceUID, SOPInstanceUID)
    except (AttributeError, KeyError, TypeError, ValueError, OverflowError) as error:
        # What a source holds may be anything; the library's own words would quote it.
        raise UnwritableStructureSetError(
            f"structure set: an image's header does not allow it ({type(error).__name__})"
        ) from None


def _proposal(
    sources: Sequence[Dataset],
    regions: Sequence[Region],
    network: Described,
    moment: datetime,
    series: str,
    instance: str,
) -> Dataset:
    frames = _frames_of_reference(sources)
    first, frame = sources[0], next(iter(frames))
    dataset = new_instance(instance)
    copy_patient_and_study(dataset, first)
    dataset.StudyInstanceUID = first.StudyInstanceUID
    dataset.SeriesInstanceUID = series
    dataset.SeriesNumber = _series_number(first)
    dataset.SeriesDescription = f"Preread regions: {network.name}"[:_LONG_STRING]
    dataset.InstanceNumber = 1
    dataset.FrameOfReferenceUID = frame
    dataset.PositionReferenceIndicator = str(first.get("PositionReferenceIndicator") or "")
    dataset.StructureSetLabel = "AI PROPOSAL"
    dataset.StructureSetName = f"{network.name} {network.version}".strip()[:_LONG_STRING]
    dataset.StructureSetDescription = described(network)[:_SHORT_TEXT]
    dataset.ContributingEquipmentSequence = [_equipment(network, moment)]
    dataset.ApprovalStatus = "UNAPPROVED"
    dated(dataset, moment)
    dataset.ReferencedFrameOfReferenceSequence = [
        frame_of_reference(
            name,
            first.StudyInstanceUID,
            first.SeriesInstanceUID,
            [image_reference(one.SOPClassUID, one.SOPInstanceUID) for one in images],
        )
        for name, images in frames.items()
    ]
    _draw(dataset, _places(sources), regions, network)
    return dataset


def _draw(
    dataset: Dataset, places: Sequence[_Place], regions: Sequence[Region], network: Described
) -> None:
    generation = f"{network.name} {network.version}".strip()[:_LONG_STRING]
    interpreter = network.name.translate(_NOT_IN_NAMES)[:_LONG_STRING]
    dataset.StructureSetROISequence, dataset.ROIContourSequence = [], []
    dataset.RTROIObservationsSequence = []
    for number, region in enumerate(regions, start=1):
        if not 0 <= region.frame < len(places):
            raise UnwritableStructureSetError(
                f"region {number}: there is no frame {region.frame}; there are {len(places)}"
            )
        check_polygon(region.polygon)
        place = places[region.frame]
        frame = str(place.source.FrameOfReferenceUID)
        roi = region_of_interest(number, frame, f"Region {number}", generation=generation)
        found = f"Score {region.score:.3f}, area {region.area:.0f} pixels."
        roi.ROIDescription = f"{found} {described(network)}"[:_SHORT_TEXT]
        contours = closed_contours(
            region.polygon, ImagePlane.of(place.source, place.frame), _reference(place)
        )
        dataset.StructureSetROISequence.append(roi)
        dataset.ROIContourSequence.append(roi_contours(number, RED, contours))
        dataset.RTROIObservationsSequence.append(observation(number, interpreter))


def described(network: Described) -> str:
    """Name a network so that it can be found again."""
    version = f" {network.version}" if network.version else ""
    return (
        f"Proposed by the network {network.name}{version}, DnnUID {network.uid}, weights sha256:"
        f"{network.weights_sha256}. {INTENDED_USE}"
    )


def new_instance(instance: str) -> Dataset:
    """Return a structure set with nothing but its identity and the equipment that made it."""
    dataset = Dataset()
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset.file_meta.MediaStorageSOPClassUID = RTStructureSetStorage
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(instance)
    dataset.SpecificCharacterSet = "ISO_IR 192"
    dataset.SOPClassUID = RTStructureSetStorage
    dataset.SOPInstanceUID = instance
    dataset.Modality = "RTSTRUCT"
    for keyword in (
        *("PatientName", "PatientID", "PatientBirthDate", "PatientSex"),
        *("StudyDate", "StudyTime", "StudyID", "AccessionNumber", "ReferringPhysicianName"),
    ):
        setattr(dataset, keyword, "")
    dataset.OperatorsName = ""
    dataset.Manufacturer = MANUFACTURER
    dataset.ManufacturerModelName = "Preread"
    dataset.SoftwareVersions = __version__
    return dataset


def dated(dataset: Dataset, moment: datetime) -> None:
    """Say when a structure set was made."""
    dataset.InstanceCreationDate = dataset.StructureSetDate = f"{moment:%Y%m%d}"
    dataset.InstanceCreationTime = dataset.StructureSetTime = f"{moment:%H%M%S.%f}"


def _frames_of_reference(sources: Sequence[Dataset]) -> dict[str, list[Dataset]]:
    """Sort images by their frame of reference; some devices give each slice one of its own."""
    if len({str(source.SeriesInstanceUID) for source in sources}) > 1:
        raise UnwritableStructureSetError("structure set: expected the images of one series")
    frames: dict[str, list[Dataset]] = {}
    for source in sources:
        frames.setdefault(frame_of(source), []).append(source)
    return frames


def _places(sources: Sequence[Dataset]) -> list[_Place]:
    return [_Place(source, frame) for source in sources for frame in range(frames_of(source))]


def _reference(place: _Place) -> Dataset:
    source = place.source
    frame = place.frame if frames_of(source) > 1 else None
    return image_reference(source.SOPClassUID, source.SOPInstanceUID, frame)


def _equipment(network: Described, moment: datetime) -> Dataset:
    purpose = Dataset()
    purpose.CodeValue, purpose.CodingSchemeDesignator, purpose.CodeMeaning = PROCESSING_EQUIPMENT
    item = Dataset()
    item.Manufacturer = MANUFACTURER
    item.ManufacturerModelName = network.name[:_LONG_STRING]
    item.SoftwareVersions = [
        f"{MANUFACTURER} {__version__}",
        f"{network.name} {network.version}".strip()[:_LONG_STRING],
    ]
    item.ContributionDateTime = date_time(moment)
    item.ContributionDescription = described(network)[:_SHORT_TEXT]
    item.PurposeOfReferenceCodeSequence = [purpose]
    return item


def _series_number(source: Dataset) -> int:
    """Derive the series' number from its source's: 3 becomes 9703."""
    try:
        number = int(source.get("SeriesNumber") or 0)
    except (TypeError, ValueError):
        number = 0
    fits = 0 <= number <= _LARGEST_NUMBER - _SERIES_NUMBER_OFFSET
    return _SERIES_NUMBER_OFFSET + (number if fits else 0)
