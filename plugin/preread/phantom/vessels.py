"""Vessels as branching tubes, and how tubes are drawn into a plane.

A tube is a chain of overlapping spheres. At a fork the cubes of the radii add up to that of the
parent (Murray 1926).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

import numpy as np
from numpy.typing import NDArray

_STEPS: Final = 12  # spheres from fork to fork
_THINNEST: Final = 0.45  # mm
_TURNING: Final = 0.9  # mm
_BEND: Final = 0.07  # radians a step
_FORK: Final = 0.55  # radians

Points = NDArray[np.float64]
Array = NDArray[np.float32]


def grow(
    random: np.random.Generator,
    root: tuple[float, float, float],
    directions: Points,
    radius: float,
    inside: Callable[[Points], NDArray[np.bool_]],
    home: tuple[float, float, float],
) -> Points:
    """Grow a tree.

    Parameters
    ----------
    random
        Bends the branches and makes the forks uneven.
    root
        Where it begins: x, y and z in mm.
    directions
        (n, 3), one for each branch at the root.
    radius
        Of these, in mm.
    inside
        Tells for points (n, 3) whether a vessel may be there.
    home
        Where a branch turns to that would leave; a thin one ends instead.

    Returns
    -------
    numpy.ndarray
        Spheres (n, 4): x, y, z and radius in mm.
    """
    positions = np.repeat(np.array([root], dtype=np.float64), len(directions), axis=0)
    headings = _unit(directions)
    radii = radius * random.uniform(0.8, 1.1, len(directions))
    started = False
    spheres = []
    while len(positions):
        alive = np.ones(len(positions), dtype=bool)
        lengths = np.maximum(radii * random.uniform(4.0, 8.0, len(radii)), 4.0)
        for _ in range(_STEPS):
            headings = _turned(random, headings, _BEND)
            # The roots lie in the mediastinum, from where the first branches find their way out.
            if started:
                leaving = ~inside(positions + 3 * headings)
                alive &= ~leaving | (radii > _TURNING)
                inwards = np.asarray(home) - positions[leaving]
                headings[leaving] = _unit(headings[leaving] + 0.5 * _unit(inwards))
            positions = positions + headings * (lengths / _STEPS)[:, np.newaxis]
            spheres.append(np.column_stack([positions, radii])[alive])
        started = True
        positions, headings, radii = _forked(
            random, positions[alive], headings[alive], radii[alive]
        )
    return np.concatenate(spheres)


def _turned(random: np.random.Generator, headings: Points, by: float) -> Points:
    return _unit(headings + random.normal(0, by, headings.shape))


def _unit(vectors: Points) -> Points:
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def _forked(
    random: np.random.Generator, positions: Points, headings: Points, radii: Points
) -> tuple[Points, Points, Points]:
    share = random.uniform(0.25, 0.75, len(radii))
    side = random.normal(0, 1, headings.shape)
    side -= (side * headings).sum(axis=1, keepdims=True) * headings
    side = _unit(side)
    # The thinner of two branches turns away more.
    first = headings + side * (_FORK * 2 * (1 - share))[:, np.newaxis]
    second = headings - side * (_FORK * 2 * share)[:, np.newaxis]
    both = _unit(np.concatenate([first, second]))
    thinner = np.concatenate([radii * np.cbrt(share), radii * np.cbrt(1 - share)])
    kept = thinner >= _THINNEST
    return np.concatenate([positions, positions])[kept], both[kept], thinner[kept]


class Tubes:
    """Spheres in the order of z, so that those in a plane are found quickly.

    Parameters
    ----------
    spheres
        (n, 4): x, y, z and radius in mm.
    """

    def __init__(self, spheres: Points) -> None:
        self._spheres = spheres[np.argsort(spheres[:, 2], kind="stable")]
        self._largest = float(spheres[:, 3].max(initial=0.0))

    def coverage(self, x: Array, y: Array, z: float, widened: float = 0.0) -> Array:
        """Say how much of each pixel of a plane lies in a tube.

        Parameters
        ----------
        x, y
            Of the columns (1, columns) and of the rows (rows, 1), in mm.
        z
            Of the plane.
        widened
            Added to the radii, in mm.

        Returns
        -------
        numpy.ndarray
            (rows, columns), from 0 to 1.
        """
        covered = np.zeros((y.size + 2, x.size + 2), dtype=np.float32)  # with a border
        reach = self._largest + widened
        first, last = np.searchsorted(self._spheres[:, 2], [z - reach, z + reach])
        near = self._spheres[first:last]
        squares = (near[:, 3] + widened) ** 2 - (near[:, 2] - z) ** 2
        near, squares = near[squares > 0], squares[squares > 0]
        pixel = float(x[0, 1] - x[0, 0])
        radii = np.sqrt(squares) / pixel
        places = (near[:, :2] - (float(x[0, 0]), float(y[0, 0]))) / pixel  # column and row
        halves = np.ceil(radii).astype(int) + 1
        for half in np.unique(halves):
            chosen = halves == half
            _discs(covered, places[chosen], radii[chosen], int(half))
        return covered[1:-1, 1:-1]


def _discs(covered: Array, places: Points, radii: Points, half: int) -> None:
    """Draw discs whose pixels lie at most `half` from their centre; all within the border."""
    around = np.arange(-half, half + 1)
    nearest = np.round(places).astype(int)
    columns = nearest[:, 0, np.newaxis, np.newaxis] + around
    rows = nearest[:, 1, np.newaxis, np.newaxis] + around[:, np.newaxis]
    distance = np.hypot(
        columns - places[:, 0, np.newaxis, np.newaxis], rows - places[:, 1, np.newaxis, np.newaxis]
    )
    soft = np.clip(radii[:, np.newaxis, np.newaxis] - distance + 0.5, 0, 1).astype(np.float32)
    height, width = covered.shape
    where = np.clip(rows + 1, 0, height - 1) * width + np.clip(columns + 1, 0, width - 1)
    np.maximum.at(covered.reshape(-1), where.ravel(), soft.ravel())
