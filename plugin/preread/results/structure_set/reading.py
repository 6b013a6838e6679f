"""From contours in the patient back to lines on pixels."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.imaging.plane import ImagePlane
from preread.results.structure_set.errors import UnwritableStructureSetError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_AWAY: Final = 0.5  # mm that a contour may lie before or behind its image


@dataclass(frozen=True, slots=True, eq=False)
class DrawnRegion:
    """One contour of a structure set on the image that it refers to.

    Attributes
    ----------
    number
        ROINumber.
    name
        ROIName.
    algorithm
        ROIGenerationAlgorithm.
    SOPInstanceUID
        Of the image.
    frame
        Of the image, from 0.
    polygon
        (N, 2): column and row, pixel centres at whole numbers.
    """

    number: int
    name: str
    algorithm: str
    SOPInstanceUID: str
    frame: int
    polygon: NDArray[np.float64]


def regions_of(structure_set: Dataset, sources: Sequence[Dataset]) -> list[DrawnRegion]:
    """Read the contours of a structure set as lines on its images.

    Parameters
    ----------
    structure_set
        Ours, or any whose contours refer to one image each.
    sources
        Those images, without pixels.

    Raises
    ------
    UnwritableStructureSetError
        If a contour refers to no image that is here, or does not lie on it.
    NoImagePlaneError
        If an image has no place in the patient.
    """
    images = {str(source.SOPInstanceUID): source for source in sources}
    named = {int(roi.ROINumber): roi for roi in structure_set.StructureSetROISequence}
    found: list[DrawnRegion] = []
    for item in structure_set.get("ROIContourSequence") or ():
        number = int(item.ReferencedROINumber)
        roi = named[number]
        for contour in item.get("ContourSequence") or ():
            uid, frame, polygon = _on_image(contour, images)
            algorithm = str(roi.get("ROIGenerationAlgorithm") or "")
            name = str(roi.get("ROIName") or "")
            found.append(DrawnRegion(number, name, algorithm, uid, frame, polygon))
    return found


def _on_image(contour: Dataset, images: dict[str, Dataset]) -> tuple[str, int, NDArray[np.float64]]:
    references = list(contour.get("ContourImageSequence") or ())
    uid = str(references[0].ReferencedSOPInstanceUID) if len(references) == 1 else ""
    if uid not in images:
        raise UnwritableStructureSetError("a contour refers to no image that is here")
    frame = int(references[0].get("ReferencedFrameNumber") or 1) - 1
    points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
    plane = ImagePlane.of(images[uid], frame)
    if plane.distance(points).max() > _AWAY:
        raise UnwritableStructureSetError(f"a contour lies more than {_AWAY} mm off its image")
    return uid, frame, plane.to_pixels(points)
