"""Where the frames of an image lie in the patient (PS3.3 C.7.6.2, C.7.6.16.2)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset

from preread.deidentify.errors import DeidentificationError
from preread.imaging.attributes import number_of

_PARALLEL: Final = float(np.cos(np.radians(30)))
_IMAGE_POSITION: Final = 0x00200032
_IMAGE_ORIENTATION: Final = 0x00200037
_PIXEL_SPACING: Final = 0x00280030


@dataclass(frozen=True, slots=True)
class Plane:
    """Where a frame lies, and what its values mean.

    Attributes
    ----------
    across, down
        Unit vectors (patient coordinates) of growing column and row index.
    position
        Of the first pixel, mm.
    spacing
        Between rows and between columns, mm.
    slope, intercept
        To modality values.
    """

    across: NDArray[np.float64]
    down: NDArray[np.float64]
    position: NDArray[np.float64]
    spacing: tuple[float, float]
    slope: float
    intercept: float

    @property
    def normal(self) -> NDArray[np.float64]:
        """Unit vector across the plane."""
        return np.cross(self.across, self.down)

    @property
    def is_coronal(self) -> bool:
        """Whether its normal runs from front to back, within 30 degrees."""
        return bool(abs(self.normal[1]) >= _PARALLEL)

    @property
    def is_axial(self) -> bool:
        """Whether both ears lie in it."""
        return bool(np.argmax(np.abs(self.normal)) == 2)


def plane_of(dataset: Dataset, index: int) -> Plane:
    """Read where a frame lies, from the top level or from functional groups.

    Parameters
    ----------
    dataset
        The header.
    index
        Of the frame, from 0.

    Raises
    ------
    preread.deidentify.DeidentificationError
        If orientation, position or spacing is missing or cannot be.
    preread.imaging.UnreadableImage
        If what leads to modality values is no number.
    """
    orientation = _numbers(dataset, index, "PlaneOrientationSequence", _IMAGE_ORIENTATION, 6)
    position = _numbers(dataset, index, "PlanePositionSequence", _IMAGE_POSITION, 3)
    spacing = _numbers(dataset, index, "PixelMeasuresSequence", _PIXEL_SPACING, 2)
    across, down = orientation[:3], orientation[3:]
    unit = np.allclose((across @ across, down @ down, across @ down), (1, 1, 0), atol=0.02)
    if not unit:
        raise DeidentificationError(_IMAGE_ORIENTATION, "expected two unit vectors, orthogonal")
    if spacing.min() < 0.05 or spacing.max() > 20:
        raise DeidentificationError(_PIXEL_SPACING, "expected 0.05 to 20 mm")
    values = _group(dataset, index, "PixelValueTransformationSequence") or dataset
    slope = _number(values, dataset, "RescaleSlope") or 1
    intercept = _number(values, dataset, "RescaleIntercept") or 0
    return Plane(across, down, position, (spacing[0], spacing[1]), slope, intercept)


def _group(dataset: Dataset, index: int, keyword: str) -> Dataset | None:
    """Return a functional group of a frame: its own, or the one that all share."""
    own = list(dataset.get("PerFrameFunctionalGroupsSequence") or ())[index : index + 1]
    for item in (*own, *(dataset.get("SharedFunctionalGroupsSequence") or ())):
        inside: Sequence[Dataset] = item.get(keyword) or ()
        if len(inside):
            return inside[0]
    return None


def _numbers(
    dataset: Dataset, index: int, keyword: str, tag: int, size: int
) -> NDArray[np.float64]:
    for holder in (_group(dataset, index, keyword), dataset):
        element = None if holder is None else holder.get(tag)
        if element is not None and size == element.VM:
            numbers = np.array([float(value) for value in element.value])
            if np.isfinite(numbers).all():
                return numbers
    raise DeidentificationError(tag, f"defacing needs {size} numbers here, or in functional groups")


def _number(group: Dataset, dataset: Dataset, keyword: str) -> float | None:
    number = number_of(group, keyword)
    return number_of(dataset, keyword) if number is None else number


def depth_axis(plane: Plane) -> int | None:
    """Return the axis of a frame that runs from front to back or back to front.

    Returns
    -------
    int or None
        0 or 1; None where neither does within 30 degrees.
    """
    if abs(plane.down[1]) >= _PARALLEL:
        return 0
    return 1 if abs(plane.across[1]) >= _PARALLEL else None


def stack_of(planes: list[Plane]) -> tuple[list[int], float]:
    """Return the order of coronal frames from front to back and their distance in mm.

    Raises
    ------
    preread.deidentify.DeidentificationError
        If they are too few, or not parallel and evenly spaced.
    """
    first = planes[0]
    depths = np.array([plane.position @ first.normal for plane in planes])
    depths = depths if first.normal[1] > 0 else -depths
    order = np.argsort(depths)
    steps = np.diff(depths[order])
    same = all(
        np.allclose(plane.across, first.across, atol=0.01)
        and np.allclose(plane.down, first.down, atol=0.01)
        for plane in planes
    )
    if len(planes) < 8 or not same or steps.min() < 0.1 or steps.max() > 1.2 * steps.min():
        raise DeidentificationError(
            _IMAGE_POSITION,
            "coronal slices can be defaced only as one volume of at least 8 evenly spaced frames",
        )
    return [int(index) for index in order], float(steps.mean())
