"""Regions that an IODeep's network proposes in images: the article's Algorithm 2.

OpenVINO is imported when the first network is built. Orthanc, ledger and HTTP are unknown here.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from preread.iodeep.architecture import Limits
from preread.iodeep.prediction_input import FramePixels, check_tensor_shape, over_frame
from preread.iodeep.prediction_output import Boxes, Masks
from preread.iodeep.region import Region, pixels_within
from preread.iodeep.tracing import trace
from preread.iodeep.weights import HashOfFile, Safetensors, TorchSaved, sha256_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from numpy.typing import NDArray

    from preread.imaging import Frame
    from preread.iodeep.architecture import Architecture
    from preread.iodeep.iod import IODeep
    from preread.iodeep.opening import WeightsFolder
    from preread.iodeep.running import RunningNetwork

__all__ = ["Predictor", "Region", "RegionOptions", "pixels_within"]

BATCH: Final = 8
"""Frames at a time, at most, unless told otherwise."""
_USUAL_ACTIVATIONS: Final = 60_000_000
"""Values that a pass makes, unless told otherwise: with more a CPU is slower (bench/regions.py)."""
MOST_BYTES: Final = 2**30
"""Of the pixels of the frames that are held at a time, unless told otherwise."""

# A network tells a box's sides in shares, float32: two thirds of three columns are not quite two.
_ROUNDING: Final = 1e-3


@dataclass(frozen=True, slots=True)
class RegionOptions:
    """Which regions are proposed.

    Attributes
    ----------
    threshold
        Probability from which a pixel belongs to a region, and below which a box is left out;
        above 0, below 1.
    smallest_area
        In square millimetres, where the size of a pixel is known.
    smallest_pixels
        Where it is not.
    most
        Regions of a frame, the largest of each of the network's channels.
    """

    threshold: float = 0.5
    smallest_area: float = 4.0
    smallest_pixels: int = 10
    most: int = 100

    def smallest(self, pixel_area: float | None) -> float:
        """Give the smallest region in pixels.

        Parameters
        ----------
        pixel_area
            Of one pixel in square millimetres; None if it is not known.
        """
        return self.smallest_area / pixel_area if pixel_area else float(self.smallest_pixels)


class _Key(NamedTuple):
    """What tells one network from another, whatever they call themselves."""

    DnnUID: str
    architecture: str
    weights: str


class Predictor:
    """Runs networks on frames; those used last stay built.

    Parameters
    ----------
    folder
        The models folder, where references to weights lead.
    options
        Which regions are proposed.
    limits
        Of what a network may take; None for the defaults. No batch makes more activations than are
        allowed of one frame.
    batch_size
        Frames at a time, at most; 0 for what is fastest on a CPU: `BATCH`, or fewer for a large
        network.
    max_bytes
        Of the decoded pixels of the frames of a batch; one that is larger goes alone.
    kept
        How many networks stay built, 1 or more.
    threads
        For the arithmetic; 0 for all cores.
    """

    def __init__(
        self,
        folder: WeightsFolder,
        options: RegionOptions | None = None,
        *,
        limits: Limits | None = None,
        batch_size: int = 0,
        max_bytes: int = MOST_BYTES,
        kept: int = 2,
        threads: int = 0,
    ) -> None:
        self._folder = folder
        self._options = options or RegionOptions()
        self._limits = limits or Limits()
        self._batch_size = batch_size
        self._max_bytes = max_bytes
        self._most_kept = max(1, kept)
        self._threads = threads
        self._kept: OrderedDict[_Key, RunningNetwork] = OrderedDict()
        self._lock = threading.Lock()

    def regions(
        self, network: IODeep, frames: Iterable[Frame], *, pixel_area: float | None = None
    ) -> list[Region]:
        """Find regions in frames.

        Parameters
        ----------
        network
            Of which it is known that it may run.
        frames
            Of one image or of several, of any sizes; they are taken a batch at a time.
        pixel_area
            Of one pixel of theirs in square millimetres; None if it is not known.

        Returns
        -------
        list of Region
            Frame by frame, `Region.frame` counts them as they came.

        Raises
        ------
        preread.errors.PrereadError
            If the network cannot be built, takes no such image or gives no regions, or a frame
            cannot be decoded.
        """
        running = self.running(network)
        try:
            return list(self._found(running, network, frames, self._options.smallest(pixel_area)))
        finally:
            # Networks stay built; what a batch takes may be many times as much.
            running.rest()

    def _found(
        self, running: RunningNetwork, network: IODeep, frames: Iterable[Frame], smallest: float
    ) -> Iterator[Region]:
        number = 0
        for batch in _batches(frames, self._batch_of(running.architecture), self._max_bytes):
            outputs = running(_input(batch, network, running.architecture))
            for place, output in enumerate(outputs):
                read = running.meaning.read(output)
                if isinstance(read, Masks):
                    yield from _contours(number, batch[place], read, self._options, smallest)
                else:
                    yield from _boxes(number, batch[place], read, self._options, smallest)
                number += 1
            # Else they would still be held while the next are decoded.
            batch.clear()

    def _batch_of(self, architecture: Architecture) -> int:
        """Give how many frames at a time keep the network within its limits."""
        most = self._limits.activations
        if not self._batch_size:
            most = min(most, _USUAL_ACTIVATIONS)
        fit = most // max(1, architecture.activations)
        return max(1, min(self._batch_size or BATCH, fit))

    def running(self, network: IODeep) -> RunningNetwork:
        """Give a network as it runs, built unless it was used lately."""
        from preread.iodeep.running import RunningNetwork  # noqa: PLC0415 - and OpenVINO

        key = self._key(network)
        with self._lock:
            running = self._kept.pop(key, None)
            if running is None:
                running = RunningNetwork(network, self._folder, self._limits, self._threads)
            self._kept[key] = running
            while len(self._kept) > self._most_kept:
                self._kept.popitem(last=False)
        return running

    def _key(self, network: IODeep) -> _Key:
        architecture, weights = network.DnnArchitecture, network.DnnWeights
        text = architecture.data if isinstance(architecture, TorchSaved) else architecture.encode()
        if isinstance(weights, Safetensors | TorchSaved):
            sha256 = sha256_of(weights.data)
        elif isinstance(weights, HashOfFile):
            sha256 = weights.sha256
        else:
            sha256 = self._folder.sha256(weights)
        return _Key(network.DnnUID, sha256_of(text), sha256)


def _batches(frames: Iterable[Frame], size: int, max_bytes: int) -> Iterator[list[Frame]]:
    batch: list[Frame] = []
    held = 0
    for frame in frames:
        batch.append(frame)
        held += frame.pixels.nbytes
        # The next one is taken to be as large: it is decoded before it can be weighed.
        is_full = len(batch) == size or held + frame.pixels.nbytes > max_bytes
        del frame
        if is_full:
            yield batch
            batch, held = [], 0
    if batch:
        yield batch


def _input(
    batch: Sequence[Frame], network: IODeep, architecture: Architecture
) -> NDArray[np.float32]:
    """Give what the network is run on: (N, *input_shape)."""
    return np.stack(
        [
            check_tensor_shape(FramePixels.of(frame), network, architecture).tensor(frame)
            for frame in batch
        ]
    )


def _contours(
    number: int, frame: Frame, masks: Masks, options: RegionOptions, smallest: float
) -> Iterator[Region]:
    """Trace masks on the frame's own pixels, over which they are spread out."""
    size = frame.pixels.shape[0], frame.pixels.shape[1]
    winner = _winner(masks, size) if masks.exclusive else None
    for channel in range(1 if masks.exclusive else 0, len(masks.probabilities)):
        probabilities = over_frame(masks.probabilities[channel], *size)
        mask = probabilities >= options.threshold
        if winner is not None:
            mask &= winner == channel
        for part in trace(probabilities, mask, options.threshold, smallest, options.most):
            yield Region(
                frame=number,
                polygon=part.polygon,
                area=float(part.mask.sum()),
                score=float(probabilities[part.box][part.mask].mean(dtype=np.float64)),
                kind="contour",
                channel=channel,
            )


def _winner(masks: Masks, size: tuple[int, int]) -> NDArray[np.uint8]:
    """Give the most probable channel of each pixel, without all of them in memory at once."""
    highest = over_frame(masks.probabilities[0], *size).copy()
    winner = np.zeros(size, dtype=np.uint8)
    for channel, plane in enumerate(masks.probabilities[1:], start=1):
        probabilities = over_frame(plane, *size)
        winner[probabilities > highest] = channel
        np.maximum(highest, probabilities, out=highest)
    return winner


def _boxes(
    number: int, frame: Frame, boxes: Boxes, options: RegionOptions, smallest: float
) -> Iterator[Region]:
    """Lay boxes where they are on the frame; the edges of an image lie half a pixel outwards."""
    rows, columns = frame.pixels.shape[:2]
    chosen = [
        (index, sides, score)
        for index, (sides, score) in enumerate(zip(boxes.sides, boxes.scores, strict=True))
        if score >= options.threshold
    ]
    chosen.sort(key=lambda box: -box[2])
    for index, sides, score in chosen[: options.most]:
        left, top, right, bottom = sides * (columns, rows, columns, rows)
        area = float((right - left) * (bottom - top))
        if area <= 0 or area < smallest * (1 - _ROUNDING):
            continue
        corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
        yield Region(number, np.array(corners) - 0.5, area, float(score), "box", index)
