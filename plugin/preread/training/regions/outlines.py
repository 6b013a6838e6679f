"""Lesions outlined in Segmentation and RT Structure Set instances, as pixels of the slices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
import pydicom
from skimage.draw import polygon2mask

from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from numpy.typing import NDArray
    from pydicom import Dataset

SEGMENTATION: Final = "1.2.840.10008.5.1.4.1.1.66.4"
RT_STRUCTURE_SET: Final = "1.2.840.10008.5.1.4.1.1.481.3"
MOST_LESIONS: Final = 255

Labels = dict[str, "NDArray[np.uint8]"]
"""(rows, columns) by SOPInstanceUID: which lesion a pixel belongs to, from 1; 0 for none."""


class Place(NamedTuple):
    """Where the pixels of a slice lie (PS3.3 C.7.6.2.1.1).

    Attributes
    ----------
    origin, along_columns, along_rows
        The centre of the first pixel in mm, and the way to the next column and to the next row.
    shape
        Rows and columns.
    """

    origin: NDArray[np.float64]
    along_columns: NDArray[np.float64]
    along_rows: NDArray[np.float64]
    shape: tuple[int, int]

    @property
    def along(self) -> float:
        """How far it lies along the normal, in mm."""
        normal = np.cross(self.along_columns, self.along_rows)
        return float(self.origin @ normal / np.linalg.norm(normal))

    @property
    def pixel_area(self) -> float:
        """Of one pixel, in square mm."""
        return float(np.linalg.norm(np.cross(self.along_columns, self.along_rows)))

    def pixels(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Give rows and columns of points in mm, (N, 2); pixel centres are whole numbers."""
        away = points - self.origin
        columns = away @ self.along_columns / (self.along_columns @ self.along_columns)
        rows = away @ self.along_rows / (self.along_rows @ self.along_rows)
        return np.stack([rows, columns], axis=1)


def place_of(header: Dataset) -> Place | None:
    """Read where a slice lies; None if its header does not say."""
    try:
        origin = np.array(header.ImagePositionPatient, dtype=np.float64)
        cosines = np.array(header.ImageOrientationPatient, dtype=np.float64)
        down, across = (float(value) for value in header.PixelSpacing)
        shape = (int(header.Rows), int(header.Columns))
    except (AttributeError, TypeError, ValueError):
        return None
    if origin.shape != (3,) or cosines.shape != (6,) or not np.cross(*cosines.reshape(2, 3)).any():
        return None
    if down <= 0 or across <= 0:
        return None
    return Place(origin, cosines[:3] * across, cosines[3:] * down, shape)


def labels_of_segmentation(path: Path, places: Mapping[str, Place | None]) -> Labels:
    """Read the voxels of a Segmentation; lesions have the numbers of their segments.

    Parameters
    ----------
    path
        Of the file.
    places
        The slices that are wanted, by SOPInstanceUID.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """

    def read() -> Labels:
        from highdicom.seg import segread  # noqa: PLC0415 - takes a while, for this alone

        found = segread(path)
        wanted = [uid for _, _, uid in found.get_source_image_uids() if uid in places]
        if not wanted:
            return {}
        voxels = found.get_pixels_by_source_instance(
            wanted, ignore_spatial_locations=True, assert_missing_frames_are_empty=True
        )
        _check_count(path, voxels.shape[-1])
        numbers = np.arange(1, voxels.shape[-1] + 1, dtype=np.uint8)
        labels = ((voxels > 0) * numbers).max(axis=-1).astype(np.uint8)
        return {uid: label for uid, label in zip(wanted, labels, strict=True) if label.any()}

    return _read(path, read)


def labels_of_structure_set(path: Path, places: Mapping[str, Place | None]) -> Labels:
    """Read the contours of an RT Structure Set; lesions have the numbers of their ROIs.

    A pixel belongs to a lesion whose contour encloses its centre; contours within contours of the
    same lesion are holes.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """

    def read() -> Labels:
        labels: Labels = {}
        for item in pydicom.dcmread(path).ROIContourSequence:
            number = int(item.ReferencedROINumber)
            _check_count(path, number)
            for uid, mask in _masks(item, places).items():
                onto = labels.setdefault(uid, np.zeros(mask.shape, dtype=np.uint8))
                onto[mask] = number
        return labels

    return _read(path, read)


def _masks(item: Dataset, places: Mapping[str, Place | None]) -> dict[str, NDArray[np.bool_]]:
    masks: dict[str, NDArray[np.bool_]] = {}
    for contour in item.get("ContourSequence", ()):
        for image in contour.get("ContourImageSequence", ())[:1]:
            place = places.get(str(image.ReferencedSOPInstanceUID))
            if place is None:
                continue
            points = np.array(contour.ContourData, dtype=np.float64).reshape(-1, 3)
            filled: NDArray[np.bool_] = polygon2mask(place.shape, place.pixels(points))  # type: ignore[no-untyped-call]  # scikit-image leaves it untyped
            uid = str(image.ReferencedSOPInstanceUID)
            masks[uid] = masks[uid] ^ filled if uid in masks else filled
    return masks


def _check_count(path: Path, count: int) -> None:
    if not 1 <= count <= MOST_LESIONS:
        raise TrainingError(f"{path.name}: expected lesions numbered from 1 to {MOST_LESIONS}")


def _read(path: Path, read: Callable[[], Labels]) -> Labels:
    try:
        return read()
    except TrainingError:
        raise
    except Exception as error:  # noqa: BLE001 - pydicom and highdicom raise what they like
        raise TrainingError(
            f"{path.name}: its outlines cannot be read ({type(error).__name__})"
        ) from None
