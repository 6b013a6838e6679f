"""A chest: its proportions, its vessels and airways, and its nodules, all drawn from a seed."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from preread.phantom.nodules import nodules
from preread.phantom.thorax import APEX, FIELD_OF_VIEW, HEIGHT, HILUM, Thorax
from preread.phantom.vessels import Points, Tubes, grow

_CARINA: Final = 22.0  # z at which the trachea divides
_LARGEST_VESSEL: Final = 3.6  # mm, its radius


class Chest:
    """One chest; the same seed makes the same.

    Parameters
    ----------
    seed
        From 0 to 4294967295. It draws the proportions, the vessels and the nodules.

    Attributes
    ----------
    thorax
        The proportions.
    vessels, airways
        As tubes.
    lesions
        The nodules.
    fissures
        (2, 2): of the left and the right lung, z of the fissure at y = 0 in mm and its slope.
    texture
        Of the lungs: wave vectors (n, 3) in radians a mm, and phases (n,).
    marrow
        What the attenuation of bone marrow is multiplied with.
    """

    field_of_view: Final = FIELD_OF_VIEW
    height: Final = HEIGHT

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng((seed, 1))
        self.thorax = Thorax.drawn(random)
        self.fissures = random.uniform((-14, 0.45), (6, 0.75), (2, 2))
        self.texture = random.normal(0, 0.07, (6, 3)), random.uniform(0, 2 * np.pi, 6)
        self.marrow = float(random.uniform(0.8, 1.2))
        self.vessels = Tubes(np.concatenate([self._tree(random, side) for side in (1, 1, -1, -1)]))
        self.airways = Tubes(_airways())
        limits = np.array([[-150, -110, self.thorax.diaphragm - 30], [150, 110, APEX]])
        self.lesions = nodules(random, self._in_lung, limits.astype(np.float32))

    def _in_lung(self, points: NDArray[np.floating]) -> NDArray[np.bool_]:
        """Tell what is lung and on the images."""
        x, y, z = points.astype(np.float32).T
        covered = np.abs(z) < HEIGHT / 2 - 1
        return np.asarray(covered & self.thorax.lungs(x, y, z))

    def _tree(self, random: np.random.Generator, side: int) -> Points:
        """Grow the arteries, or the veins, of one lung."""
        to_lobes = np.array(
            (
                (0.5, -0.3, 1),
                (0.5, 0.3, 1),
                (0.8, 0.5, 0.6),
                (1, -0.7, 0.4),
                (1, -0.6, -0.3),
                (0.9, 0.2, -0.6),
                (0.5, 0.6, -0.8),
            )
        )
        to_lobes = (to_lobes + random.normal(0, 0.15, to_lobes.shape)) * (side, 1, 1)
        root = (side * HILUM[0], HILUM[1] + random.uniform(-6, 6), HILUM[2])
        home = (side * 72.0, 4.0, 10.0)
        return grow(random, root, to_lobes, _LARGEST_VESSEL, self._in_lung, home)


def _airways() -> Points:
    """Return the trachea, the main bronchi and those of the lobes as spheres (n, 4)."""
    carina = (0.0, 14.0, _CARINA)
    tubes = [((0.0, 4.0, 140.0), carina, 8.5)]
    for side, drop in ((1, 24.0), (-1, 18.0)):
        hilum = (side * 36.0, 12.0, _CARINA - drop)
        tubes += [
            (carina, hilum, 6.0),
            (hilum, (side * 58.0, -4.0, _CARINA + 10), 3.0),
            (hilum, (side * 56.0, 26.0, _CARINA - 62), 3.2),
        ]
    spheres = []
    for start, end, radius in tubes:
        steps = int(np.linalg.norm(np.subtract(end, start)) / (radius / 4)) + 2
        points = np.linspace(start, end, steps)
        spheres.append(np.column_stack([points, np.full(steps, radius)]))
    return np.concatenate(spheres)
