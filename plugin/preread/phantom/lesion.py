"""Lesions: where they lie, how they look, and the surface that bounds them."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

import numpy as np
from numpy.typing import NDArray

SMOOTH: Final = 1
MARKED: Final = 5

_DIRECTIONS: Final = 4096
_SHARPNESS: Final = 45.0  # a spicule is about 10 degrees wide
_SPICULES: Final = {1: 0, 2: 5, 3: 9, 4: 14, 5: 20}
_HEIGHTS: Final = {1: 0.0, 2: 0.15, 3: 0.3, 4: 0.45, 5: 0.6}  # of the radius

Array = NDArray[np.float32]


class Density(StrEnum):
    """Of a lung nodule, in the words of the Fleischner Society (2017)."""

    SOLID = "solid"
    PART_SOLID = "part-solid"
    GROUND_GLASS = "ground-glass"


class Surface:
    """A closed surface that every ray from inside crosses once: lobes, and spicules on them.

    It encloses the volume of a sphere of diameter 1, and its centre of mass is the origin.

    Parameters
    ----------
    random
        Shapes it.
    spiculation
        From 1 (smooth) to 5 (marked), as readers of LIDC-IDRI score it.
    """

    def __init__(self, random: np.random.Generator, spiculation: int) -> None:
        self._waves = random.normal(0, 1.8, (6, 3)).astype(np.float32)
        self._phases = random.uniform(0, 2 * np.pi, 6).astype(np.float32)
        spicules = _SPICULES[spiculation]
        axes = random.normal(0, 1, (spicules, 3))
        self._axes = (axes / np.linalg.norm(axes, axis=1, keepdims=True)).astype(np.float32)
        height = _HEIGHTS[spiculation] * random.uniform(0.6, 1.2, spicules)
        self._heights = height.astype(np.float32)
        self._scale = 1.0
        directions = fibonacci_sphere(_DIRECTIONS)
        radii = self._radius(directions).astype(np.float64)
        # Over solid angle: volume is the mean of r^3 / 3, the first moment that of r^4 / 4.
        self._scale = float(0.5 / np.cbrt((radii**3).mean()))
        moment = (radii[:, np.newaxis] ** 4 * directions).mean(axis=0) / (radii**3).mean()
        self._origin: NDArray[np.float32] = (-0.75 * moment * self._scale).astype(np.float32)
        self.reach = float(radii.max() * self._scale + np.linalg.norm(self._origin)) * 1.02
        """The farthest that it gets from the centre of mass."""

    def _radius(self, directions: Array) -> Array:
        # No matrix product: its last bits depend on the number of threads.
        along = np.einsum("...i,ki->...k", directions, self._waves, optimize=False)
        radius = 1 + 0.035 * np.cos(along + self._phases).sum(axis=-1)
        if self._heights.size:
            near = np.einsum("...i,ki->...k", directions, self._axes, optimize=False)
            radius += (self._heights * np.exp(_SHARPNESS * (near - 1))).sum(axis=-1)
        return np.asarray(radius * self._scale, dtype=np.float32)

    def depth(self, x: Array, y: Array, z: float) -> tuple[Array, Array]:
        """Say how deep points lie.

        Parameters
        ----------
        x, y, z
            From the centre of mass, in diameters.

        Returns
        -------
        tuple of numpy.ndarray
            The way along the ray to the surface, positive inside; and the distance from where
            the rays begin. Both have the shape of x and y together.
        """
        away = np.stack(np.broadcast_arrays(x, y, np.float32(z)), axis=-1) - self._origin
        distance = np.sqrt((away**2).sum(axis=-1, dtype=np.float32))
        directions = away / np.maximum(distance, np.float32(1e-6))[..., np.newaxis]
        return self._radius(directions) - distance, distance


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """What is to be found.

    Attributes
    ----------
    x, y, z
        The centre of mass in mm, in patient coordinates (to the left, to the back, to the head).
    diameter
        In mm, of the sphere of the same volume.
    spiculation
        From 1 (smooth) to 5 (marked).
    malignant
        The generator's label: what it made look as malignant lesions more often look.
    value
        In the units of the image: Hounsfield units, or the signal of an MR.
    surface
        Its shape.
    density
        Of a lung nodule; none for a lesion on MR.
    core, core_value
        Of a sphere within it: the solid part of a part-solid nodule, a calcification, or what is
        necrotic. `core` is its diameter over the lesion's, 0 if there is none.
    calcified
        Whether the core is a calcification, which speaks for a benign nodule.
    """

    x: float
    y: float
    z: float
    diameter: float
    spiculation: int
    malignant: bool
    value: float
    surface: Surface
    density: Density | None = None
    core: float = 0.0
    core_value: float = 0.0
    calcified: bool = False

    @property
    def reach(self) -> float:
        """The farthest in mm that it gets from its centre."""
        return self.surface.reach * self.diameter

    @property
    def volume(self) -> float:
        """In cubic mm."""
        return float(np.pi / 6 * self.diameter**3)

    @property
    def core_diameter(self) -> float:
        """In mm; 0 if it has no core."""
        return self.core * self.diameter

    def coverage(self, x: Array, y: Array, z: float, pixel: float) -> tuple[Array, Array]:
        """Say how much of each pixel of a plane it takes, and how much its core takes.

        Parameters
        ----------
        x, y
            Of the pixels, in mm; they broadcast.
        z
            Of the plane.
        pixel
            The side of a pixel in mm, over which an edge is spread.

        Returns
        -------
        tuple of numpy.ndarray
            Each from 0 to 1.
        """
        scale = np.float32(1 / self.diameter)
        depth, distance = self.surface.depth(
            (x - np.float32(self.x)) * scale,
            (y - np.float32(self.y)) * scale,
            (z - self.z) / self.diameter,
        )
        edge = np.float32(self.diameter / pixel)
        core = np.float32(self.core / 2) - distance
        if not self.core:
            core = np.full_like(distance, -1)
        return (
            np.clip(depth * edge + np.float32(0.5), 0, 1),
            np.clip(core * edge + np.float32(0.5), 0, 1),
        )

    def draw(self, image: Array, x: Array, y: Array, z: float) -> None:
        """Draw it into a plane, over what is darker.

        Parameters
        ----------
        image
            (rows, columns), changed in place.
        x, y
            Of the columns (1, columns) and of the rows (rows, 1), in mm.
        z
            Of the plane.
        """
        if abs(z - self.z) > self.reach:
            return
        rows, columns = self.window(x, y)
        part = image[rows, columns]
        pixel = float(x[0, 1] - x[0, 0])
        body, core = self.coverage(x[:, columns], y[rows], z, pixel)
        part += body * np.maximum(np.float32(self.value) - part, 0)
        part += body * core * (np.float32(self.core_value) - part)

    def window(self, x: Array, y: Array) -> tuple[slice, slice]:
        """Return the rows and the columns that it can reach, with one to spare."""
        return _window(y, self.y, self.reach), _window(x, self.x, self.reach)


def _window(axis: Array, middle: float, reach: float) -> slice:
    first, last = np.searchsorted(axis.ravel(), (middle - reach, middle + reach))
    return slice(max(int(first) - 1, 0), min(int(last) + 1, axis.size))


def fibonacci_sphere(count: int) -> Array:
    """Return `count` directions that are spread evenly over the sphere, (count, 3)."""
    z = 1 - (2 * np.arange(count) + 1) / count
    turn = np.arange(count) * np.pi * (3 - np.sqrt(5))
    flat = np.sqrt(1 - z**2)
    return np.stack([flat * np.cos(turn), flat * np.sin(turn), z], axis=1).astype(np.float32)
