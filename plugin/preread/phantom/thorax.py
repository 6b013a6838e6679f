"""The proportions of a chest and the surfaces between its parts.

Each function takes coordinates in mm that broadcast, so that it answers for a plane as for a
handful of points. The origin lies in the middle of the chest.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

FIELD_OF_VIEW: Final = 380.0  # mm
HEIGHT: Final = 250.0  # mm that a series covers
APEX: Final = 116.0  # z of the lungs' tips
HILUM: Final = (36.0, 6.0, -4.0)  # on the left; mirrored on the right

_POWER: Final = 16 / 7  # between an ellipse and a rectangle; its root is made of square roots

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Thorax:
    """One chest's proportions, in mm.

    Attributes
    ----------
    body
        Half the width and half the depth of the body.
    fat
        Thickness of the fat under the skin.
    wall
        Thickness of the chest wall inside of it: muscles and ribs.
    heart
        Half axes of the heart.
    diaphragm
        z of the top of its right dome; the left one is lower.
    rib_pitch
        Distance of one rib to the next.
    """

    body: tuple[float, float]
    fat: float
    wall: float
    heart: tuple[float, float, float]
    diaphragm: float
    rib_pitch: float

    @classmethod
    def drawn(cls, random: np.random.Generator) -> Thorax:
        """Draw the proportions of an adult."""
        grown = random.uniform(0.88, 1.06)
        return cls(
            body=(160 * grown * random.uniform(0.97, 1.03), 106 * grown),
            fat=random.uniform(6, 20),
            wall=random.uniform(20, 25),
            heart=(54 * grown, 44 * grown, 52 * random.uniform(0.9, 1.1)),
            diaphragm=random.uniform(-82, -58),
            rib_pitch=random.uniform(23, 28),
        )

    @property
    def spine(self) -> float:
        """Y of the middle of the vertebral bodies."""
        return self.body[1] - self.fat - 50.0

    def body_depth(self, x: Array, y: Array) -> Array:
        """Return how far below the skin points lie, along the ray from the middle."""
        return _depth(x, y, *self.body)

    def cavity_depth(self, x: Array, y: Array, z: Array | float) -> Array:
        """Return how far within the ribs points lie; the cavity narrows towards the apex."""
        above = np.clip((np.asarray(z, dtype=np.float32) - 5) / np.float32(APEX - 5), 0, 1)
        narrow = np.sqrt(np.maximum(1 - above**2.6, np.float32(1e-4)))
        inset = self.fat + self.wall
        half_width = (self.body[0] - inset) * narrow
        half_depth = (self.body[1] - inset) * narrow
        return _depth(x, y - 8 * (1 - narrow), half_width, half_depth)

    def diaphragm_at(self, x: Array, y: Array) -> Array:
        """Return z of the diaphragm."""
        lower = np.where(x > 0, np.float32(14), np.float32(0))
        reach = ((np.abs(x) - 58) / 78) ** 2 + ((y - 6) / 96) ** 2
        drop = 62 * (1 - np.sqrt(np.maximum(1 - reach, 0)))
        return np.asarray(self.diaphragm - lower - drop, dtype=np.float32)

    def mediastinum(self, x: Array, y: Array, z: Array | float) -> Mask:
        """Tell what lies between the lungs: heart, great vessels, spine and the fat around."""
        z = np.asarray(z, dtype=np.float32)
        width = 12 + 17 * np.exp(-(((y - 4) / 32) ** 2))
        width = width + 26 * np.clip((z - 70) / 45, 0, 1)
        between = np.abs(x) < width
        spine = x**2 + (y - self.spine) ** 2 < 29**2
        hilum = (
            ((np.abs(x) - HILUM[0]) / 12) ** 2
            + ((y - HILUM[1]) / 14) ** 2
            + ((z - HILUM[2]) / 20) ** 2
        ) < 1
        heart = self.heart_reach(x, y, z) < np.float32(1.12)
        aorta = (x - 20) ** 2 + (y - self.spine + 24) ** 2 < 15**2
        return np.asarray(between | spine | hilum | heart | (aorta & (z < 62)))

    def heart_reach(self, x: Array, y: Array, z: Array | float) -> Array:
        """Return 1 on the surface of the heart and less within."""
        # Its axis points to the left and to the front.
        across, along = 0.87 * (x - 16) - 0.5 * (y + 20), 0.5 * (x - 16) + 0.87 * (y + 20)
        wide, deep, high = self.heart
        squares = (across / wide) ** 2 + (along / deep) ** 2 + ((z + 46) / high) ** 2
        return np.asarray(np.sqrt(squares), dtype=np.float32)

    def lungs(self, x: Array, y: Array, z: Array | float) -> Mask:
        """Tell what is lung."""
        return self.lungs_given(self.cavity_depth(x, y, z), self.diaphragm_at(x, y), x, y, z)

    def lungs_given(
        self, within: Array, diaphragm: Array, x: Array, y: Array, z: Array | float
    ) -> Mask:
        """Tell what is lung, where `cavity_depth` and `diaphragm_at` are known already."""
        return np.asarray((within > 1.5) & (diaphragm < z) & ~self.mediastinum(x, y, z))


def _depth(x: Array, y: Array, half_width: Array | float, half_depth: Array | float) -> Array:
    """Return the way along the ray to the superellipse, positive inside."""
    squares = (np.abs(x) / half_width) ** _POWER + (np.abs(y) / half_depth) ** _POWER
    root = np.maximum(squares, np.float32(1e-6))
    for _ in range(4):
        root = np.sqrt(root)
    cube = root * root * root
    distance = np.hypot(x, y)
    return np.asarray(distance / (cube * cube * root) - distance, dtype=np.float32)
