"""A chest drawn plane by plane in Hounsfield units, as CT without contrast medium shows it.

Tissues have the attenuation that textbooks give them; the shapes are simple surfaces.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from preread.phantom.thorax import APEX

if TYPE_CHECKING:
    from preread.phantom.chest import Chest

AIR: Final = -1000.0  # Hounsfield units, as all that follow
LUNG: Final = -865.0
FAT: Final = -100.0
MUSCLE: Final = 55.0
BLOOD: Final = 42.0
LIVER: Final = 60.0
MARROW: Final = 190.0
CORTEX: Final = 650.0
_SKIN: Final = 20.0
_STOMACH: Final = 35.0
_CARTILAGE: Final = 110.0
_DISC: Final = 80.0
_CORD: Final = 30.0
_FISSURE: Final = -760.0
_FAT_INSIDE: Final = -85.0
_TABLE: Final = -650.0
_VERTEBRA: Final = 30.0  # mm from one to the next

Array = NDArray[np.float32]
Mask = NDArray[np.bool_]


class ChestPlanes:
    """A chest on the rows and columns of one series.

    Parameters
    ----------
    chest
        What is drawn.
    axis
        x of the columns and y of the rows, in mm.
    """

    def __init__(self, chest: Chest, axis: Array) -> None:
        self._chest, self._thorax = chest, chest.thorax
        width, depth = self._thorax.body
        # The body takes half of the image; nothing is computed outside of it.
        self._rows, self._columns = _within(axis, depth), _within(axis, width)
        self._axis = axis
        x = self._x = axis[np.newaxis, self._columns]
        y = self._y = axis[self._rows, np.newaxis]
        # What is the same in all planes.
        self._depth = self._thorax.body_depth(x, y)
        self._angle = np.arctan2(y / np.float32(depth), np.abs(x) / np.float32(width))
        self._diaphragm = self._thorax.diaphragm_at(x, y)
        self._empty = self._without_body(axis[np.newaxis, :], axis[:, np.newaxis])

    def plane(self, z: float) -> Array:
        """Draw a plane without thickness, blur and noise.

        Parameters
        ----------
        z
            Of the plane, in mm.

        Returns
        -------
        numpy.ndarray
            Hounsfield units (rows, columns).
        """
        image = self._empty.copy()
        body = image[self._rows, self._columns]
        cavity = self._thorax.cavity_depth(self._x, self._y, z)
        self._draw_wall(body, cavity, z)
        self._draw_ribs(body, cavity, z)
        self._draw_abdomen(body, cavity, z)
        self._draw_mediastinum(body, z)
        self._draw_spine(body, z)
        self._draw_lungs(body, cavity, z)
        self._draw_airways(body, z)
        for lesion in self._chest.lesions:
            lesion.draw(body, self._x, self._y, z)
        return image

    def gain(self) -> Array:
        """Return how strong noise is, 1 in the middle: fewer photons come through thick parts."""
        x, y = self._axis[np.newaxis, :], self._axis[:, np.newaxis]
        half_depth = np.float32(self._thorax.body[1])
        depth = np.clip(self._thorax.body_depth(x, y) / half_depth, 0, 1)
        return np.asarray(0.45 + 0.55 * np.sqrt(depth), dtype=np.float32)

    def _without_body(self, x: Array, y: Array) -> Array:
        image = np.full((y.size, x.size), AIR, dtype=np.float32)
        top = self._thorax.body[1] + 3 - (x / 190) ** 2 * 14
        image[(y > top) & (y < top + 4) & (np.abs(x) < 188)] = _TABLE
        return image

    def _draw_wall(self, image: Array, cavity: Array, z: float) -> None:
        depth = self._depth
        image[depth > 0] = _SKIN
        image[depth > 1.8] = FAT
        # Towards the shoulders muscles fill what the ribs leave.
        thickness = self._thorax.wall + 1.3 * max(z - 40, 0)
        image[(cavity > -thickness) & (depth > self._thorax.fat)] = MUSCLE
        image[cavity > 0] = _FAT_INSIDE

    def _draw_ribs(self, image: Array, cavity: Array, z: float) -> None:
        pitch = self._thorax.rib_pitch
        # They run down towards the front.
        phase = np.mod(np.float32(z) - 42 * self._angle, np.float32(pitch)) - np.float32(pitch / 2)
        rib = ((cavity + 6.5) / 4) ** 2 + (phase / 5.5) ** 2
        if z < APEX + 5:
            there = (np.abs(self._x) > 20) & (rib < 1)
            in_front = self._angle < (-0.95 if z < 60 else -9)
            image[there] = np.where(in_front, np.float32(_CARTILAGE), np.float32(CORTEX))[there]
            image[there & (rib < 0.42) & ~in_front] = MARROW * self._chest.marrow
        if -60 < z < 95:
            front = -(self._thorax.body[1] - self._thorax.fat - 9)
            sternum = (self._x / 17) ** 2 + ((self._y - front) / 6) ** 2
            image[sternum < 1] = CORTEX * 0.6
            image[sternum < 0.6] = MARROW * 0.6

    def _draw_abdomen(self, image: Array, cavity: Array, z: float) -> None:
        below = (cavity > 2) & (self._diaphragm >= z)
        image[below & (self._x < 10)] = LIVER
        image[below & (self._x >= 10)] = _STOMACH
        bubble = ((self._x - 52) / 24) ** 2 + ((self._y + 24) / 16) ** 2
        image[below & (bubble < 1) & (self._diaphragm > z + 6)] = AIR + 20

    def _draw_mediastinum(self, image: Array, z: float) -> None:
        x, y, spine = self._x, self._y, self._thorax.spine
        image[((x - 4) / 8) ** 2 + ((y - spine + 38) / 5) ** 2 < 1] = MUSCLE - 15  # oesophagus
        for vessel in self._great_vessels(x, y, z):
            image[vessel] = BLOOD

    def _great_vessels(self, x: Array, y: Array, z: float) -> list[Mask]:
        """Return the heart and the vessels at it, where this plane meets them."""
        beside_spine = y - self._thorax.spine + 24
        found = [self._thorax.heart_reach(x, y, z) < 1]
        if z < 55:  # descending aorta
            found.append((x - 20) ** 2 + beside_spine**2 < 12.5**2)
        if -15 < z < 50:  # ascending aorta
            found.append((x + 14) ** 2 + (y + 26) ** 2 < 15**2)
        if abs(z - 52) < 11:  # arch of the aorta
            found.append((np.abs(x - 3 - y * 0.35) < 11) & (np.abs(y - 8) < 44))
        if z > -15:  # superior vena cava
            found.append((x + 22) ** 2 + (y + 6) ** 2 < 8**2)
        if abs(z - 4) < 11:  # pulmonary arteries
            found.append(((x - 4) / 34) ** 2 + ((y + 8) / 11) ** 2 < 1)
        return found

    def _draw_spine(self, image: Array, z: float) -> None:
        x, back = self._x, self._y - np.float32(self._thorax.spine)
        body = (x / 19) ** 2 + (back / 15) ** 2
        level = float(np.mod(z, _VERTEBRA))
        canal = x**2 + (back - 22) ** 2
        image[((x / 17) ** 2 + ((back - 22) / 15) ** 2 < 1) & (back > 10)] = CORTEX * 0.55
        if level < 20:  # spinous process
            image[(np.abs(x) < 3.5) & (back > 22) & (back < 46)] = CORTEX * 0.55
        if level < 12:  # transverse processes
            image[(np.abs(x) < 34) & (np.abs(back - 20) < 5)] = CORTEX * 0.55
        image[body < 1] = CORTEX * 0.75 if level < 25 else _DISC
        if level < 24:
            image[body < 0.82] = MARROW * self._chest.marrow
        image[canal < 9**2] = _CORD

    def _draw_lungs(self, image: Array, cavity: Array, z: float) -> None:
        x, y = self._x, self._y
        lungs = self._thorax.lungs_given(cavity, self._diaphragm, x, y, z)
        if not lungs.any():
            return
        # What hangs down is denser; the texture is that of tissue too fine to be resolved.
        lung = self._texture(z)
        lung += np.float32(LUNG) + np.float32(0.3) * y
        for side, (offset, slope) in zip((1, -1), self._chest.fissures, strict=True):
            apart = np.abs((z - offset - slope * y) / np.hypot(1, slope))
            lung[(apart < 0.7) & (np.sign(x) == side)] = _FISSURE
        vessels = self._chest.vessels.coverage(x, y, z)
        lung += vessels * (np.float32(BLOOD) - lung)
        image[lungs] = lung[lungs]

    def _texture(self, z: float) -> Array:
        waves, phases = self._chest.texture
        return 6 * summed_waves(waves, phases, self._x, self._y, z)

    def _draw_airways(self, image: Array, z: float) -> None:
        for widened, value in ((1.5, MUSCLE - 20), (0.0, AIR + 10)):
            covered = self._chest.airways.coverage(self._x, self._y, z, widened)
            image += covered * (np.float32(value) - image)


def summed_waves(
    waves: NDArray[np.float64], phases: NDArray[np.float64], x: Array, y: Array, z: float
) -> Array:
    """Return the sum over waves k of cos(k . r + phase), for a plane (rows, columns)."""
    columns = waves[:, :1] * x
    rows = waves[:, 1:2] * y.T + (waves[:, 2] * z + phases)[:, np.newaxis]
    along = np.concatenate([np.cos(columns), -np.sin(columns)]).astype(np.float32)
    across = np.concatenate([np.cos(rows), np.sin(rows)]).astype(np.float32)
    # No matrix product: its last bits depend on the number of threads.
    return np.asarray(np.einsum("kr,kc->rc", across, along, optimize=False))


def _within(axis: Array, reach: float) -> slice:
    first, last = np.searchsorted(axis, (-reach, reach))
    return slice(max(int(first) - 1, 0), min(int(last) + 1, axis.size))
