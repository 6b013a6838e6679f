"""Where an image's pixels lie in the patient (PS3.3 C.7.6.2, Image Plane Module)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

import numpy as np

from preread.imaging.errors import NoImagePlaneError

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

_TOLERANCE: Final = 1e-3  # of a direction's length and of a right angle
_SEQUENCES: Final = {
    "ImagePositionPatient": "PlanePositionSequence",
    "ImageOrientationPatient": "PlaneOrientationSequence",
    "PixelSpacing": "PixelMeasuresSequence",
}


@dataclass(frozen=True, slots=True, eq=False)
class ImagePlane:
    """A frame's place in patient coordinates, in mm (left, back, head).

    Attributes
    ----------
    position
        (3,): the centre of pixel (0, 0).
    along_row, along_column
        (3,), of length 1: where the column's and where the row's number rises.
    row_spacing, column_spacing
        Distance of the centres of two rows and of two columns, in mm.
    """

    position: NDArray[np.float64]
    along_row: NDArray[np.float64]
    along_column: NDArray[np.float64]
    row_spacing: float
    column_spacing: float

    @classmethod
    def of(cls, image: Dataset, frame: int = 0) -> Self:
        """Read the plane of a frame, also from an enhanced image's functional groups.

        Parameters
        ----------
        image
            Its attributes; pixels are not needed.
        frame
            From 0.

        Raises
        ------
        NoImagePlaneError
            Naming the attribute that is missing or cannot be used.
        """
        position = _numbers(image, "ImagePositionPatient", frame, 3)
        orientation = _numbers(image, "ImageOrientationPatient", frame, 6)
        spacing = _numbers(image, "PixelSpacing", frame, 2)
        along_row, along_column = orientation[:3], orientation[3:]
        lengths = np.linalg.norm(along_row), np.linalg.norm(along_column)
        if any(abs(length - 1) > _TOLERANCE for length in lengths):
            raise NoImagePlaneError(
                "ImageOrientationPatient (0020,0037): not directions of length 1"
            )
        if abs(along_row @ along_column) > _TOLERANCE:
            raise NoImagePlaneError("ImageOrientationPatient (0020,0037): no right angle")
        if not (spacing > 0).all():
            raise NoImagePlaneError("PixelSpacing (0028,0030): expected distances above 0")
        return cls(
            position,
            along_row / lengths[0],
            along_column / lengths[1],
            float(spacing[0]),
            float(spacing[1]),
        )

    def to_patient(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the place in the patient of points of the frame.

        Parameters
        ----------
        points
            (N, 2): column and row; whole numbers are the centres of pixels.

        Returns
        -------
        ndarray
            (N, 3), in mm.
        """
        across = points[:, :1] * (self.column_spacing * self.along_row)
        down = points[:, 1:] * (self.row_spacing * self.along_column)
        placed: NDArray[np.float64] = self.position + across + down
        return placed

    def to_pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the column and row of points (N, 3) in the patient, (N, 2): of their shadows."""
        away = points - self.position
        columns = away @ self.along_row / self.column_spacing
        rows = away @ self.along_column / self.row_spacing
        return np.column_stack((columns, rows))

    def distance(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return how far points (N, 3) in the patient lie before or behind the plane, in mm."""
        normal = np.cross(self.along_row, self.along_column)
        apart: NDArray[np.float64] = np.abs((points - self.position) @ normal)
        return apart

    @property
    def fixed_axes(self) -> tuple[bool, bool, bool]:
        """Tell which patient coordinates are the same all over the plane."""
        x, y, z = ((self.along_row == 0) & (self.along_column == 0)).tolist()
        return x, y, z


def frames_of(image: Dataset) -> int:
    """Return how many frames an image has, 1 or more."""
    return max(1, int(image.get("NumberOfFrames") or 1))


def _numbers(image: Dataset, keyword: str, frame: int, count: int) -> NDArray[np.float64]:
    values = _value(image, keyword, frame)
    name = f"{keyword} {_TAGS[keyword]}"
    if values is None:
        raise NoImagePlaneError(f"{name} is missing: the image has no place in the patient")
    try:
        numbers = np.array([float(value) for value in values], dtype=np.float64)
    except (TypeError, ValueError):
        raise NoImagePlaneError(f"{name}: expected numbers") from None
    if numbers.shape != (count,) or not np.isfinite(numbers).all():
        raise NoImagePlaneError(f"{name}: expected {count} numbers")
    return numbers


_TAGS: Final = {
    "ImagePositionPatient": "(0020,0032)",
    "ImageOrientationPatient": "(0020,0037)",
    "PixelSpacing": "(0028,0030)",
}


def _value(image: Dataset, keyword: str, frame: int) -> Any:
    """Find an attribute of a frame: in its own functional group, the shared one, or on top."""
    # Not made into lists: of very many frames that would be a copy for each of them.
    of_frames = image.get("PerFrameFunctionalGroupsSequence") or ()
    shared = image.get("SharedFunctionalGroupsSequence") or ()
    groups = [
        *of_frames[frame : frame + 1],
        *shared[:1],
    ]
    for group in groups:
        for item in group.get(_SEQUENCES[keyword]) or ():
            if item.get(keyword):
                return item.get(keyword)
    # Of several frames in one old object nobody knows where the second one lies.
    return image.get(keyword) if frames_of(image) == 1 else None
