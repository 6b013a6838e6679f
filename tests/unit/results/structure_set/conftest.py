"""Series with lesions whose masks are known, upright and oblique."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.valuerep import format_number_as_ds
from skimage import measure

from preread.phantom import Acquisition, Kind, make_volume
from preread.phantom.images import image
from preread.results.structure_set import Described

MOMENT = datetime(2026, 11, 21, 9, 23, 52, 123456, tzinfo=timezone(timedelta(hours=-6)))
NETWORK = Described("Chest U-Net", "2.25.77", "1.2", "ab" * 32)


@dataclass(frozen=True, eq=False)
class Found:
    """A region as a network gives it."""

    frame: int
    polygon: NDArray[np.float64]
    area: float = 20.0
    score: float = 0.9


@dataclass(frozen=True, eq=False)
class Series:
    """Headers of images, and a mask for each."""

    sources: Sequence[Dataset]
    masks: NDArray[np.bool_]

    @property
    def regions(self) -> list[Found]:
        """Lines around each mask, half a pixel outside the centres of its voxels."""
        found = []
        for number, mask in enumerate(self.masks):
            # scikit-image has no types.
            lines = measure.find_contours(np.pad(mask, 1).astype(float), 0.5)  # type: ignore[no-untyped-call]
            found += [Found(number, line[:-1, ::-1] - 1.0) for line in lines]
        return found


def rotated(sources: Sequence[Dataset], spacing: tuple[float, float]) -> None:
    """Turn a series in space, so that no axis is the patient's, with pixels that are not square."""
    turn = np.linalg.qr(np.array([[0.8, 0.3, 0.2], [-0.2, 0.9, 0.1], [0.1, -0.4, 0.7]]))[0]
    row, column, normal = turn.T
    for number, source in enumerate(sources):
        position = np.array([-101.5, 33.25, 12.0]) + normal * 5.0 * number
        source.ImageOrientationPatient = [
            format_number_as_ds(float(value)) for value in (*row, *column)
        ]
        source.ImagePositionPatient = [format_number_as_ds(float(value)) for value in position]
        source.PixelSpacing = [format_number_as_ds(value) for value in spacing]


def sieve(size: int, step: int, hole: int) -> NDArray[np.bool_]:
    """Return a square with holes, so that the line around it has very many points."""
    mask = np.zeros((size, size), dtype=bool)
    mask[2:-2, 2:-2] = True
    for row in range(6, size - 8, step):
        for column in range(6, size - 8, step):
            mask[row : row + hole, column : column + hole] = False
    return mask


@pytest.fixture(params=["upright", "oblique"])
def series(request: pytest.FixtureRequest) -> Series:
    volume = make_volume(Kind.BRAIN, 5, Acquisition(5.0, size=128))
    (mask, *_) = volume.masks()
    masks = np.zeros((volume.grid.slices, 128, 128), dtype=bool)
    masks[mask.slices, mask.rows, mask.columns] = mask.box
    numbers = np.flatnonzero(masks.any(axis=(1, 2)))
    low, high = numbers[0] - 1, numbers[-1] + 2
    blank = np.zeros((128, 128), dtype=np.int16)
    sources = [image(volume, number, blank) for number in range(low, high)]
    for source in sources:
        del source.PixelData
    if request.param == "oblique":
        rotated(sources, (1.7, 0.9))
    return Series(sources, masks[low:high])


@pytest.fixture
def made() -> dict[str, Any]:
    """What every proposal is told."""
    return {"moment": MOMENT, "SeriesInstanceUID": "2.25.8", "SOPInstanceUID": "2.25.81"}
