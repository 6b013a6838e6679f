"""Slices as a network takes them in, with how much of each pixel a lesion takes up."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.imaging import Preprocessing, Resampling, frame_from_array, prepare
from preread.iodeep.prediction_input import FramePixels, check_tensor_shape
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from numpy.typing import NDArray

    from preread.imaging import Frame
    from preread.iodeep.architecture import Architecture
    from preread.iodeep.iod import IODeep
    from preread.training.regions.series import Series

MOST_MEMORY: Final = 12 * 1024**3
"""Bytes of prepared slices that are held."""


@dataclass(frozen=True, slots=True, eq=False)
class Samples:
    """Slices of several series.

    Attributes
    ----------
    images
        (N, C, H, W) float16, 0 (black) to 1 (white); C is 1 for grey, also where the network
        takes it three times.
    truth
        (N, H, W) uint8: which part of a pixel is lesion, 0 to 255.
    series
        (N,) int64: number of the series that a slice is of.
    patients
        Of each series, what tells patients apart.
    """

    images: NDArray[np.float16]
    truth: NDArray[np.uint8]
    series: NDArray[np.int64]
    patients: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.images)

    @property
    def with_lesion(self) -> NDArray[np.bool_]:
        """Tell of each slice whether it shows a lesion."""
        return np.asarray(self.truth.any(axis=(1, 2)))


def read_samples(
    found: Iterable[Series],
    network: IODeep,
    architecture: Architecture,
    *,
    plain: float,
    seed: int,
    progress: Callable[[int, int], None] = lambda _done, _count: None,
) -> Samples:
    """Decode slices and bring them and their lesions to the size of a network's input.

    Parameters
    ----------
    found
        The series.
    network, architecture
        What says how frames become its input; the weights are not looked at.
    plain
        How many slices without a lesion are kept for each with one, drawn at random in each
        series; of a series without lesions a tenth.
    seed
        Of that draw.
    progress
        Called after each slice with how many were decoded, and of how many.

    Raises
    ------
    TrainingError
        If a slice cannot be decoded, or there are more than memory should hold.
    """
    images: list[NDArray[np.float16]] = []
    truths: list[NDArray[np.uint8]] = []
    numbers: list[int] = []
    patients: list[str] = []
    held = 0
    chosen = [
        (series, _chosen(series, plain, np.random.default_rng((seed, number))))
        for number, series in enumerate(found)
    ]
    count = sum(len(indices) for _, indices in chosen)
    for number, (series, indices) in enumerate(chosen):
        patients.append(series.patient)
        for index in indices:
            one = series.slices[index]
            frame = one.frame()
            label = series.label(one, frame.pixels.shape[:2])
            image = _image(frame, network, architecture)
            if images and image.shape != images[0].shape:
                raise TrainingError(
                    f"{one.shown}: grey and colour images together; train on one of them"
                )
            images.append(image)
            truths.append(covered(label > 0, image.shape[-2:]))
            numbers.append(number)
            held += images[-1].nbytes + truths[-1].nbytes
            if held > MOST_MEMORY:
                raise TrainingError(
                    f"the slices take more than {MOST_MEMORY // 1024**3} GB of memory; train on "
                    "fewer series, or with less --plain"
                )
            progress(len(images), count)
    return Samples(
        np.stack(images), np.stack(truths), np.array(numbers, dtype=np.int64), tuple(patients)
    )


def covered(mask: NDArray[np.bool_], size: tuple[int, ...]) -> NDArray[np.uint8]:
    """Bring a mask to another size: which part of each pixel it takes, 0 to 255."""
    shrunk = Preprocessing(
        size=(size[0], size[1]), channels=1, range=(0.0, 1.0), resampling=Resampling.BOX
    )
    part = prepare(frame_from_array(mask.astype(np.float32)), shrunk)[0]
    return np.asarray(np.round(part * 255), dtype=np.uint8)


def _image(frame: Frame, network: IODeep, architecture: Architecture) -> NDArray[np.float16]:
    shape = check_tensor_shape(FramePixels.of(frame), network, architecture)
    values = shape.tensor(frame)
    first = np.moveaxis(values, -1, 0) if shape.channels_last else values
    # Grey is the same in all channels, and is held once.
    return (first if frame.is_colour else first[:1]).astype(np.float16)


def _chosen(series: Series, plain: float, random: np.random.Generator) -> list[int]:
    """Choose slices: all with a lesion, and some without."""
    shown = [
        index
        for index, one in enumerate(series.slices)
        if one.uid in series.labels or one.label_file is not None
    ]
    others = sorted(set(range(len(series.slices))) - set(shown))
    count = round(plain * len(shown)) if shown else len(series.slices) // 10
    kept = random.permutation(others)[:count]
    return sorted([*shown, *(int(index) for index in kept)])
