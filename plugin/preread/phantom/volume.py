"""A phantom imaged: its slices, and which voxels each lesion takes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final, Protocol

import numpy as np
from numpy.typing import NDArray

from preread.phantom.acquisition import Acquisition, Grid, Kernel, Kind, check_seed
from preread.phantom.brain import Brain, BrainPlanes
from preread.phantom.chest import Chest
from preread.phantom.chest_planes import ChestPlanes
from preread.phantom.lesion import Lesion
from preread.phantom.lesion_mask import LesionMask, lesion_mask
from preread.phantom.reconstruction import CTReconstruction, MRReconstruction

_PLANES_APART: Final = 1.25  # mm, of the planes that a slice is the mean of
_LOWEST_CT: Final = -1024
_HIGHEST_CT: Final = 3071
_HIGHEST_MR: Final = 4095

Array = NDArray[np.float32]


class Planes(Protocol):
    """An anatomy on the rows and columns of one series."""

    def plane(self, z: float) -> Array:
        """Draw a plane (rows, columns) without thickness, blur and noise."""

    def gain(self) -> Array:
        """Return how strong noise is, or how well the coil receives, (rows, columns)."""


class Volume:
    """A phantom and how it is imaged; slices are computed when they are asked for.

    Parameters
    ----------
    kind
        Of phantom.
    seed
        From 0 to 4294967295. The same seed makes the same anatomy however it is imaged.
    acquisition
        Slice thickness, kernel and size.

    Raises
    ------
    PhantomError
        If the seed is out of range.
    """

    def __init__(self, kind: Kind, seed: int, acquisition: Acquisition) -> None:
        check_seed(seed)
        self.kind = kind
        self.seed = seed
        self.acquisition = acquisition
        self.grid = phantom_grid(kind, acquisition)
        self.lesions: tuple[Lesion, ...]
        """What is to be found."""
        self._planes: Planes
        if kind is Kind.CHEST:
            chest = Chest(seed)
            self.lesions, self._planes = chest.lesions, ChestPlanes(chest, self.grid.axis)
        else:
            brain = Brain(seed)
            self.lesions, self._planes = brain.lesions, BrainPlanes(brain, self.grid.axis)
        self._ct = CTReconstruction(self.grid, acquisition.kernel)
        self._mr = MRReconstruction(self.grid)
        self._gain = self._planes.gain()

    @property
    def kernel(self) -> Kernel | None:
        """Of the CT; none for MR."""
        return self.acquisition.kernel if self.kind is Kind.CHEST else None

    def slice_(self, number: int) -> NDArray[np.int16]:
        """Compute one slice.

        Parameters
        ----------
        number
            From 0, which is nearest to the feet.

        Returns
        -------
        numpy.ndarray
            (rows, columns): Hounsfield units from -1024 to 3071, or a signal from 0 to 4095.
        """
        noiseless = self._noiseless(number)
        stream = (self.seed, 2, number, *(ord(letter) for letter in self.kernel or ""))
        random = np.random.default_rng(stream)
        if self.kind is Kind.CHEST:
            image = self._ct.blurred(noiseless) + self._ct.noise_plane(random, self._gain)
            return np.clip(np.round(image), _LOWEST_CT, _HIGHEST_CT).astype(np.int16)
        image = self._mr.magnitude(noiseless * self._gain, random)
        return np.clip(np.round(image), 0, _HIGHEST_MR).astype(np.int16)

    def _noiseless(self, number: int) -> Array:
        depths = self.grid.planes(number, _PLANES_APART)
        planes = (self._planes.plane(float(depth)) for depth in depths)
        total = next(planes)
        for plane in planes:
            total += plane
        return total / np.float32(len(depths))

    def __iter__(self) -> Iterator[NDArray[np.int16]]:
        """Compute the slices one after the other, from the feet to the head."""
        return (self.slice_(number) for number in range(self.grid.slices))

    def array(self) -> NDArray[np.int16]:
        """Compute all slices, (slices, rows, columns)."""
        return np.stack(list(self))

    def masks(self) -> list[LesionMask]:
        """Compute the voxels of each lesion, in their order."""
        return [lesion_mask(lesion, self.grid) for lesion in self.lesions]

    def labels(self, masks: Sequence[LesionMask]) -> NDArray[np.uint8]:
        """Return which lesion a voxel belongs to, from 1; 0 for none. (slices, rows, columns)."""
        grid = self.grid
        labels = np.zeros((grid.slices, grid.size, grid.size), dtype=np.uint8)
        for number, mask in enumerate(masks, start=1):
            labels[mask.slices, mask.rows, mask.columns][mask.box] = number
        return labels


def make_volume(kind: Kind, seed: int, acquisition: Acquisition | None = None) -> Volume:
    """Make a phantom, imaged as told or as usual.

    Raises
    ------
    PhantomError
        If the seed is out of range.
    """
    return Volume(kind, seed, acquisition or Acquisition())


def phantom_grid(kind: Kind, acquisition: Acquisition) -> Grid:
    """Return where the voxels of a phantom lie, which no seed changes."""
    what = Chest if kind is Kind.CHEST else Brain
    return Grid.covering(what.field_of_view, what.height, acquisition)
