"""A head on MR, drawn plane by plane: T1-weighted after a contrast agent, with bright lesions."""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from preread.phantom.chest_planes import summed_waves
from preread.phantom.lesion import Lesion, Surface, fibonacci_sphere

AIR: Final = 8.0  # signal, as all that follow
SCALP: Final = 1150.0
BONE: Final = 90.0
FLUID: Final = 210.0
GREY: Final = 540.0
WHITE: Final = 720.0
VEIN: Final = 1250.0
_BRIGHT: Final = (1150.0, 1500.0)
_NECROSIS: Final = (260.0, 420.0)
_SMALLEST: Final = 5.0  # mm
_LARGEST: Final = 35.0

Array = NDArray[np.float32]


class Brain:
    """One head; the same seed makes the same.

    Parameters
    ----------
    seed
        From 0 to 4294967295. It draws the proportions, the folds and the lesions.

    Attributes
    ----------
    axes
        (3,): half axes of the brain in mm, to the side, to the front and upwards.
    folds
        Wave vectors (n, 3) in radians a mm, and phases (n,).
    cortex
        Thickness of the grey matter in mm.
    horns
        Width of the ventricles, 1 being usual.
    coil
        How much better it receives a mm farther to the left and to the back.
    lesions
        The bright lesions.
    """

    field_of_view: Final = 240.0  # mm
    height: Final = 160.0

    def __init__(self, seed: int) -> None:
        random = np.random.default_rng((seed, 3))
        grown = random.uniform(0.93, 1.05)
        self.axes = np.array((70.0, 87.0, 76.0)) * grown
        self.folds = random.normal(0, 0.26, (14, 3)), random.uniform(0, 2 * np.pi, 14)
        self.cortex = random.uniform(3.2, 4.4)
        self.horns = random.uniform(0.85, 1.35)
        self.coil = random.normal(0, 0.0011, 2)
        self.lesions = self._drawn(random)

    def _drawn(self, random: np.random.Generator) -> tuple[Lesion, ...]:
        count = int(random.choice((1, 2, 3), p=(0.6, 0.25, 0.15)))
        lesions: list[Lesion] = []
        while len(lesions) < count:
            malignant = bool(random.random() < 0.5)
            spiculation = int(random.choice((2, 3) if malignant else (1, 1)))
            share = random.beta(1.6, 2.2)
            diameter = float(_SMALLEST + (_LARGEST - _SMALLEST) * share)
            necrotic = malignant and diameter > 12
            surface = Surface(random, spiculation)
            value = float(random.uniform(*_BRIGHT))
            centre = self._place(random, surface.reach * diameter, lesions)
            lesions.append(
                Lesion(
                    *centre,
                    diameter=diameter,
                    spiculation=spiculation,
                    malignant=malignant,
                    value=value,
                    surface=surface,
                    core=float(random.uniform(0.35, 0.6)) if necrotic else 0.0,
                    core_value=float(random.uniform(*_NECROSIS)) if necrotic else 0.0,
                )
            )
        return tuple(lesions)

    def _place(
        self, random: np.random.Generator, reach: float, others: list[Lesion]
    ) -> tuple[float, float, float]:
        """Find a centre around which all is brain and nothing else is near."""
        sphere = fibonacci_sphere(60) * (reach + 2)
        while True:
            centre = random.uniform(-self.axes, self.axes)
            apart = all(
                np.linalg.norm(centre - (other.x, other.y, other.z)) > reach + other.reach + 4
                for other in others
            )
            if apart and (self.reach(*(centre + sphere).T) < 1).all():
                return float(centre[0]), float(centre[1]), float(centre[2])

    def reach(
        self, x: NDArray[np.floating], y: NDArray[np.floating], z: NDArray[np.floating] | float
    ) -> NDArray[np.floating]:
        """Return 1 on the surface of the brain and less within."""
        wide, deep, high = self.axes
        return np.asarray(np.sqrt((x / wide) ** 2 + (y / deep) ** 2 + (z / high) ** 2))


class BrainPlanes:
    """A head on the rows and columns of one series.

    Parameters
    ----------
    brain
        What is drawn.
    axis
        x of the columns and y of the rows, in mm.
    """

    def __init__(self, brain: Brain, axis: Array) -> None:
        self._brain = brain
        self._x, self._y = axis[np.newaxis, :], axis[:, np.newaxis]

    def plane(self, z: float) -> Array:
        """Draw a plane without thickness, blur, coil and noise.

        Parameters
        ----------
        z
            Of the plane, in mm.

        Returns
        -------
        numpy.ndarray
            Signal (rows, columns).
        """
        brain, x, y = self._brain, self._x, self._y
        reach = brain.reach(x, y, z).astype(np.float32)
        inwards = (1 - reach) * np.float32(brain.axes.mean())  # mm, about
        image = np.full(reach.shape, AIR, dtype=np.float32)
        image[inwards > -15] = SCALP
        image[inwards > -10] = BONE
        image[inwards > -3] = FLUID
        moved = summed_waves(*brain.folds, x, y, z) * np.float32(1.9)
        folded = inwards + np.minimum(moved, 2)
        image[(folded > 0.6) & (inwards > 0)] = GREY
        image[(folded > brain.cortex + 0.6) & (inwards > brain.cortex)] = WHITE
        self._draw_middle(image, z, inwards)
        for lesion in brain.lesions:
            lesion.draw(image, x, y, z)
        return image

    def gain(self) -> Array:
        """Return how well the coil receives, about 1, (rows, columns)."""
        x, y, (right, back) = self._x, self._y, self._brain.coil
        lean = 1 + np.float32(right) * x + np.float32(back) * y
        return np.asarray(lean * (0.94 + 0.12 * (x**2 + y**2) / 110**2), dtype=np.float32)

    def _draw_middle(self, image: Array, z: float, inwards: Array) -> None:
        """Draw the fissure, the deep nuclei, the ventricles and the sinus."""
        x, y, brain = self._x, self._y, self._brain
        cleft = np.abs(x + np.float32(0.8) * np.sin(y / 6)) < 1.1
        image[cleft & (inwards > -3) & ((np.abs(y) > 40) | (z > 22))] = FLUID
        if abs(z - 2) < 16:
            nucleus = ((np.abs(x) - 22) / 10) ** 2 + ((y + 4) / 22) ** 2
            image[nucleus < 1 - ((z - 2) / 16) ** 2] = GREY + 40
        high = 1 - ((z - 10) / 20) ** 2
        if high > 0:
            bow = np.abs(x) - 8 - np.abs(y) * 0.12
            image[(bow / (5.5 * brain.horns)) ** 2 + (y / 38) ** 2 < high] = FLUID
        behind = brain.axes[1] * np.sqrt(max(1 - (z / brain.axes[2]) ** 2, 0))
        sinus = (x / 4) ** 2 + ((y - np.float32(behind) - 1) / 3) ** 2
        image[(sinus < 1) & (inwards > -8)] = VEIN
