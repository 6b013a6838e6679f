"""Nodules as they are seen in lungs: how large, how dense, how spiculated, and where.

The label comes first, and what a nodule looks like is drawn after it: a malignant one is more
often large, part-solid and spiculated, a benign one more often small, smooth or calcified. The
odds are made so that both labels are frequent and overlap; they are nobody's statistics.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from preread.phantom.lesion import SMOOTH, Density, Lesion, Surface, fibonacci_sphere

SMALLEST: Final = 3.0  # mm
LARGEST: Final = 30.0
_APART: Final = 6.0  # mm between one nodule and the next
_TRIES: Final = 400
_DENSITIES: Final = (Density.SOLID, Density.PART_SOLID, Density.GROUND_GLASS)
_ODDS: Final = {True: (0.55, 0.3, 0.15), False: (0.65, 0.1, 0.25)}
_SCORES: Final = {True: (0.1, 0.15, 0.25, 0.25, 0.25), False: (0.55, 0.25, 0.12, 0.06, 0.02)}

Points = NDArray[np.float32]
Where = Callable[[Points], NDArray[np.bool_]]


def nodules(random: np.random.Generator, inside: Where, box: Points) -> tuple[Lesion, ...]:
    """Draw one to four nodules that lie in the lungs whole and apart from one another.

    Parameters
    ----------
    random
        Draws them.
    inside
        Tells for points (n, 3) in mm whether they are lung.
    box
        (2, 3): the lowest and the highest coordinates of the lungs.

    Returns
    -------
    tuple of Lesion
        In the order in which they were drawn; at least one.
    """
    wanted = int(random.choice((1, 2, 3, 4), p=(0.4, 0.3, 0.2, 0.1)))
    found: list[Lesion] = []
    while len(found) < wanted:
        nodule = _drawn(random)
        centre = _place(random, inside, box, nodule, found)
        while centre is None:  # no room; a smaller one will find it
            nodule = replace(nodule, diameter=max(SMALLEST, nodule.diameter * 0.8))
            centre = _place(random, inside, box, nodule, found)
        x, y, z = map(float, centre)
        found.append(replace(nodule, x=x, y=y, z=z))
    return tuple(found)


def _drawn(random: np.random.Generator) -> Lesion:
    """Draw how a nodule looks; where it lies is not known yet."""
    malignant = bool(random.random() < 0.5)
    density = _DENSITIES[int(random.choice(3, p=_ODDS[malignant]))]
    # Spicules are seen on nodules of some size.
    share = random.beta(2.0, 2.2) if malignant else random.beta(1.1, 3.0)
    diameter = float(SMALLEST + (LARGEST - SMALLEST) * share)
    spiculation = int(random.choice(5, p=_SCORES[malignant])) + 1 if diameter >= 6 else SMOOTH
    calcified = density is Density.SOLID and not malignant and bool(random.random() < 0.3)
    core, core_value = 0.0, 0.0
    if density is Density.PART_SOLID:
        core, core_value = random.uniform(0.3, 0.6), random.uniform(-10, 40)
    elif calcified:
        core, core_value = random.uniform(0.4, 0.7), random.uniform(300, 600)
    solid = density is Density.SOLID
    return Lesion(
        x=0.0,
        y=0.0,
        z=0.0,
        diameter=diameter,
        spiculation=spiculation,
        malignant=malignant,
        value=float(random.uniform(15, 60) if solid else random.uniform(-690, -540)),
        surface=Surface(random, spiculation),
        density=density,
        core=float(core),
        core_value=float(core_value),
        calcified=calcified,
    )


def _place(
    random: np.random.Generator, inside: Where, box: Points, nodule: Lesion, others: list[Lesion]
) -> Points | None:
    """Find a centre around which all of a nodule is lung; None if none was found."""
    sphere = np.concatenate([fibonacci_sphere(60) * np.float32(nodule.reach + 1), [[0, 0, 0]]])
    for centre in random.uniform(box[0], box[1], (_TRIES, 3)).astype(np.float32):
        apart = all(
            np.linalg.norm(centre - (other.x, other.y, other.z))
            > nodule.reach + other.reach + _APART
            for other in others
        )
        if apart and inside(centre + sphere).all():
            return np.asarray(centre)
    return None
