"""The items that structure sets are made of (PS3.3 C.8.8.5, C.8.8.6 and C.8.8.8)."""

from __future__ import annotations

from copy import deepcopy
from math import ceil, log10
from typing import TYPE_CHECKING, Final

from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import format_number_as_ds

from preread.results.structure_set.splitting import parts_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy as np
    from numpy.typing import NDArray

    from preread.imaging.plane import ImagePlane

_STUDY_COMPONENT: Final = UID("1.2.840.10008.3.1.2.3.1")  # Detached Study Management, as is usual
_DECIMALS: Final = 4  # of a mm, at least
_SHARE: Final = 1e-3  # of a pixel's side that rounding may move a point by
_DECIMALS_OF_PLANE: Final = 6  # as in the images, so that readers that compare find the slice
_LONGEST_NUMBER: Final = 17  # bytes of a DS with the backslash behind it
_LONGEST_VALUE: Final = 65534  # bytes that Explicit VR has room for in a DS (PS3.5 section 7.1.2)


def image_reference(sop_class: str, instance: str, frame: int | None = None) -> Dataset:
    """Refer to an image, or to one of its frames, counted from 0."""
    reference = Dataset()
    reference.ReferencedSOPClassUID = sop_class
    reference.ReferencedSOPInstanceUID = instance
    if frame is not None:
        reference.ReferencedFrameNumber = frame + 1
    return reference


def frame_of_reference(frame: str, study: str, series: str, images: Iterable[Dataset]) -> Dataset:
    """Refer to the images of a series, all in one frame of reference.

    Parameters
    ----------
    frame, study, series
        FrameOfReferenceUID, StudyInstanceUID and SeriesInstanceUID.
    images
        As `image_reference` makes them.
    """
    of_series = Dataset()
    of_series.SeriesInstanceUID = series
    of_series.ContourImageSequence = list(images)
    of_study = Dataset()
    of_study.ReferencedSOPClassUID = _STUDY_COMPONENT
    of_study.ReferencedSOPInstanceUID = study
    of_study.RTReferencedSeriesSequence = [of_series]
    item = Dataset()
    item.FrameOfReferenceUID = frame
    item.RTReferencedStudySequence = [of_study]
    return item


def region_of_interest(
    number: int, frame: str, name: str, *, algorithm: str = "AUTOMATIC", generation: str = ""
) -> Dataset:
    """Name a region.

    Parameters
    ----------
    number
        Of the region.
    frame
        FrameOfReferenceUID.
    name
        Up to 64 characters.
    algorithm
        AUTOMATIC, SEMIAUTOMATIC or MANUAL.
    generation
        ROIGenerationDescription, up to 64 characters.
    """
    roi = Dataset()
    roi.ROINumber = number
    roi.ReferencedFrameOfReferenceUID = frame
    roi.ROIName = name
    roi.ROIGenerationAlgorithm = algorithm
    if generation:
        roi.ROIGenerationDescription = generation
    return roi


def roi_contours(number: int, colour: Sequence[int], contours: Iterable[Dataset]) -> Dataset:
    """Put the contours of a region together, numbered from 1."""
    roi = Dataset()
    roi.ReferencedROINumber = number
    roi.ROIDisplayColor = list(colour)
    roi.ContourSequence = numbered(contours)
    return roi


def numbered(contours: Iterable[Dataset]) -> list[Dataset]:
    """Give contours of a region their numbers, from 1."""
    listed = list(contours)
    for position, contour in enumerate(listed, start=1):
        contour.ContourNumber = position
    return listed


def closed_contours(
    polygon: NDArray[np.float64], plane: ImagePlane, reference: Dataset
) -> list[Dataset]:
    """Place a closed line of a frame in the patient.

    Parameters
    ----------
    polygon
        (N, 2): column and row, the first point not repeated at the end.
    plane
        Of the frame.
    reference
        To it, as `image_reference` makes it.

    Returns
    -------
    list of pydicom.Dataset
        One contour; several where the line is longer than an element has room for. Those lie
        beside each other, and together are the same area.

    Raises
    ------
    UnwritableStructureSetError
        If the line is too long, and cutting does not help.
    """

    def fits(line: NDArray[np.float64]) -> bool:
        if len(line) * 3 * _LONGEST_NUMBER <= _LONGEST_VALUE:
            return True
        return len("\\".join(_coordinates(line, plane))) <= _LONGEST_VALUE

    parts = parts_of(polygon, fits)
    return [_contour(_coordinates(part, plane), reference) for part in parts]


def _contour(coordinates: Sequence[str], reference: Dataset) -> Dataset:
    contour = Dataset()
    contour.ContourImageSequence = [deepcopy(reference)]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(coordinates) // 3
    contour.ContourData = list(coordinates)
    return contour


def observation(number: int, interpreter: str = "") -> Dataset:
    """Say who interprets a region; its observation has the region's number."""
    item = Dataset()
    item.ObservationNumber = number
    item.ReferencedROINumber = number
    item.RTROIInterpretedType = ""
    item.ROIInterpreter = interpreter
    return item


def _coordinates(polygon: NDArray[np.float64], plane: ImagePlane) -> list[str]:
    """Return x, y and z of one point after the other, in mm."""
    spacing = min(plane.row_spacing, plane.column_spacing)
    # Lines keep away from the centres of pixels, and must still do so when they are rounded.
    fine = max(_DECIMALS, ceil(-log10(spacing * _SHARE)))
    decimals = [max(fine, _DECIMALS_OF_PLANE) if fixed else fine for fixed in plane.fixed_axes]
    return [
        # Minus nothing would be written as it is.
        format_number_as_ds(round(value, digits) + 0.0)
        for point in plane.to_patient(polygon).tolist()
        for value, digits in zip(point, decimals, strict=True)
    ]
