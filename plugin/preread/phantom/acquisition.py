"""How a phantom is imaged: slice thickness, kernel, matrix, and where the voxels lie."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

from preread.phantom.errors import PhantomError

THINNEST: Final = 0.5  # mm
THICKEST: Final = 10.0
SMALLEST: Final = 64  # pixels
LARGEST: Final = 1024
_LARGEST_SEED: Final = 2**32 - 1


class Kind(StrEnum):
    """What is imaged."""

    CHEST = "chest"
    BRAIN = "brain"


class Kernel(StrEnum):
    """Reconstruction kernels of CT, from smooth to sharp."""

    SOFT = "soft"
    STANDARD = "standard"
    LUNG = "lung"


@dataclass(frozen=True, slots=True)
class Acquisition:
    """How the phantom is imaged.

    Parameters
    ----------
    slice_thickness
        In mm, from 0.5 to 10; the slices touch.
    kernel
        Of a CT; MR has none and ignores it.
    size
        Rows and columns, from 64 to 1024; the field of view stays.

    Raises
    ------
    PhantomError
        If a number is out of range.
    """

    slice_thickness: float = 2.5
    kernel: Kernel = Kernel.STANDARD
    size: int = 512

    def __post_init__(self) -> None:
        # Written so that a NaN is refused too.
        if not THINNEST <= self.slice_thickness <= THICKEST:
            raise PhantomError(
                f"slice thickness of a phantom: expected {THINNEST:g} to {THICKEST:g} mm, "
                f"not {self.slice_thickness:g}"
            )
        if not SMALLEST <= self.size <= LARGEST:
            raise PhantomError(
                f"size of a phantom: expected {SMALLEST} to {LARGEST} pixels, not {self.size}"
            )


@dataclass(frozen=True, slots=True)
class Grid:
    """Where the voxels lie, in mm of patient coordinates (PS3.3 C.7.6.2: left, back, head).

    Attributes
    ----------
    size
        Rows and columns.
    pixel_spacing
        In mm, the same in both directions.
    slice_thickness
        In mm, and the distance of slices.
    slices
        How many; the first is nearest to the feet.
    """

    size: int
    pixel_spacing: float
    slice_thickness: float
    slices: int

    @classmethod
    def covering(cls, field_of_view: float, height: float, acquisition: Acquisition) -> Grid:
        """Cover a square of `field_of_view` mm and `height` mm, both centred on the origin."""
        return cls(
            size=acquisition.size,
            # As many decimals as DICOM's decimal strings have room for.
            pixel_spacing=round(field_of_view / acquisition.size, 6),
            slice_thickness=acquisition.slice_thickness,
            slices=math.ceil(height / acquisition.slice_thickness),
        )

    @property
    def voxel_volume(self) -> float:
        """In cubic mm."""
        return self.pixel_spacing**2 * self.slice_thickness

    @property
    def axis(self) -> NDArray[np.float32]:
        """Return x of the columns, which is also y of the rows."""
        steps = np.arange(self.size) - (self.size - 1) / 2
        return (steps * self.pixel_spacing).astype(np.float32)

    def z(self, slice_: float) -> float:
        """Return the position of a slice's centre, counted from 0."""
        return (slice_ - (self.slices - 1) / 2) * self.slice_thickness

    def planes(self, slice_: int, apart: float) -> NDArray[np.float64]:
        """Return z of the middles of a slice's equal parts, each at most `apart` mm thick."""
        count = max(1, math.ceil(self.slice_thickness / apart - 1e-9))
        parts = (np.arange(count) + 0.5) / count - 0.5
        return np.asarray(self.z(slice_) + parts * self.slice_thickness)

    def position(self, column: float, row: float, slice_: float) -> tuple[float, float, float]:
        """Return x, y and z of a place in voxels, where voxel (0, 0, 0) has its centre at 0."""
        middle = (self.size - 1) / 2
        return (
            (column - middle) * self.pixel_spacing,
            (row - middle) * self.pixel_spacing,
            self.z(slice_),
        )

    def voxel(self, x: float, y: float, z: float) -> tuple[float, float, float]:
        """Return column, row and slice of a position: what `position` makes undone."""
        middle = (self.size - 1) / 2
        return (
            x / self.pixel_spacing + middle,
            y / self.pixel_spacing + middle,
            z / self.slice_thickness + (self.slices - 1) / 2,
        )


def check_seed(seed: int) -> None:
    """Refuse what cannot be a seed.

    Raises
    ------
    PhantomError
        If it is not from 0 to 4294967295.
    """
    if not 0 <= seed <= _LARGEST_SEED:
        raise PhantomError(f"seed of a phantom: expected 0 to {_LARGEST_SEED}, not {seed}")
