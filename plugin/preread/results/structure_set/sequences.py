"""The items that structure sets are made of (PS3.3 C.8.8.5, C.8.8.6 and C.8.8.8)."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.dataset import Dataset
from pydicom.uid import UID
from pydicom.valuerep import format_number_as_ds
from skimage.measure import approximate_polygon

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from numpy.typing import NDArray

    from preread.results.structure_set.plane import ImagePlane

_STUDY_COMPONENT: Final = UID("1.2.840.10008.3.1.2.3.1")  # Detached Study Management, as is usual
_DECIMALS: Final = 4  # of a mm
_DECIMALS_OF_PLANE: Final = 6  # as in the images, so that readers that compare find the slice
_LONGEST_VALUE: Final = 65534  # bytes that Explicit VR has room for in a DS (PS3.5 section 7.1.2)
_FIRST_TOLERANCE: Final = 0.05  # pixels


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
    roi.ContourSequence = list(contours)
    for position, contour in enumerate(roi.ContourSequence, start=1):
        contour.ContourNumber = position
    return roi


def closed_contour(polygon: NDArray[np.float64], plane: ImagePlane, reference: Dataset) -> Dataset:
    """Place a closed line of a frame in the patient.

    Parameters
    ----------
    polygon
        (N, 2): column and row, the first point not repeated at the end. What has more points than
        an element has room for is drawn with fewer, as little off as is possible.
    plane
        Of the frame.
    reference
        To it, as `image_reference` makes it.
    """
    coordinates = _coordinates(polygon, plane)
    tolerance, drawn = _FIRST_TOLERANCE, polygon
    while len("\\".join(coordinates)) > _LONGEST_VALUE:
        drawn = _simpler(polygon, tolerance)
        coordinates = _coordinates(drawn, plane)
        tolerance *= 2
    contour = Dataset()
    contour.ContourImageSequence = [reference]
    contour.ContourGeometricType = "CLOSED_PLANAR"
    contour.NumberOfContourPoints = len(drawn)
    contour.ContourData = coordinates
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
    decimals = [_DECIMALS_OF_PLANE if fixed else _DECIMALS for fixed in plane.fixed_axes]
    return [
        # Minus nothing would be written as it is.
        format_number_as_ds(round(value, digits) + 0.0)
        for point in plane.to_patient(polygon).tolist()
        for value, digits in zip(point, decimals, strict=True)
    ]


def _simpler(polygon: NDArray[np.float64], tolerance: float) -> NDArray[np.float64]:
    closed = np.vstack((polygon, polygon[:1]))
    # scikit-image has no types.
    fewer: NDArray[np.float64] = approximate_polygon(closed, tolerance)[:-1]  # type: ignore[no-untyped-call]
    return fewer
