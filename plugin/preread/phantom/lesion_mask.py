"""Which voxels a lesion takes, and the lines around them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage
from skimage import measure

if TYPE_CHECKING:
    from preread.phantom.acquisition import Grid
    from preread.phantom.lesion import Lesion

_PLANES_APART: Final = 0.3  # mm, of those that a voxel's share is the mean of

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, eq=False)
class LesionMask:
    """The voxels of a lesion: those with most of it in them, as many as have its volume.

    So the volume is right for thick slices too, in which few voxels are filled by half.

    Attributes
    ----------
    slices, rows, columns
        Where the box of `share` lies in the volume.
    share
        (slices, rows, columns): how much of each voxel the lesion takes, from 0 to 1.
    level
        The share from which a voxel belongs to it.
    """

    slices: slice
    rows: slice
    columns: slice
    share: Array
    level: float

    @property
    def box(self) -> NDArray[np.bool_]:
        """Return the mask within the box."""
        return self.share > self.level

    @property
    def voxels(self) -> int:
        """How many voxels it has."""
        return int(self.box.sum())

    def contours(self, number: int) -> list[NDArray[np.float64]]:
        """Return closed lines around the voxels of one slice.

        The line runs where the share has fallen to `level`, so it lies between the centres of
        voxels that belong to the lesion and of those that do not.

        Parameters
        ----------
        number
            Of the slice, from 0.

        Returns
        -------
        list of numpy.ndarray
            Each (n, 2): column and row, where a voxel's centre has whole numbers. The first point
            is not repeated at the end.
        """
        if not self.slices.start <= number < self.slices.stop:
            return []
        plane = np.pad(self.share[number - self.slices.start], 1)
        # scikit-image has no types.
        lines = measure.find_contours(plane, self.level)  # type: ignore[no-untyped-call]
        corner = (self.columns.start - 1, self.rows.start - 1)
        return [line[:-1, ::-1] + corner for line in lines]

    def centre(self, grid: Grid) -> tuple[float, float, float]:
        """Return the centre of mass of the voxels, in mm."""
        middle, row, column = np.argwhere(self.box).mean(axis=0)
        return grid.position(
            column + self.columns.start, row + self.rows.start, middle + self.slices.start
        )


def lesion_mask(lesion: Lesion, grid: Grid) -> LesionMask:
    """Find the voxels of a lesion."""
    axis = grid.axis
    rows, columns = lesion.window(axis[np.newaxis, :], axis[:, np.newaxis])
    lowest = grid.voxel(0, 0, lesion.z - lesion.reach)[2]
    highest = grid.voxel(0, 0, lesion.z + lesion.reach)[2]
    slices = slice(max(round(lowest), 0), min(round(highest) + 1, grid.slices))
    x, y = axis[np.newaxis, columns], axis[rows, np.newaxis]
    shares = []
    for number in range(slices.start, slices.stop):
        depths = grid.planes(number, _PLANES_APART)
        planes = [lesion.coverage(x, y, float(z), grid.pixel_spacing)[0] for z in depths]
        shares.append(np.mean(planes, axis=0, dtype=np.float32))
    share = np.stack(shares)
    level = _level(share, lesion.volume / grid.voxel_volume)
    filled = np.stack([ndimage.binary_fill_holes(plane) for plane in share > level])
    share[filled & (share <= level)] = 1
    return LesionMask(slices, rows, columns, share, level)


def _level(share: Array, voxels: float) -> float:
    """Return a share that about so many voxels have more than, one of them at least."""
    ordered = np.sort(share, axis=None)[::-1]
    count = min(max(1, round(voxels)), int((ordered > 0).sum()), ordered.size - 1)
    return float((float(ordered[count - 1]) + float(ordered[count])) / 2)
