"""What a network's numbers mean: how probable a region is in each pixel, or boxes.

The article shows masks and boxes and has no key for which of them a network gives, so it follows
from the output's shape and from the last layer. See docs/iodeep.md.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy import special

from preread.iodeep.architecture_format import LayerKind
from preread.iodeep.errors import PredictionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.iodeep.architecture import Architecture

_RANGE_KEPT: Final = {
    LayerKind.DROPOUT,
    LayerKind.FLATTEN,
    LayerKind.UPSAMPLE,
    LayerKind.AVERAGE_POOL_2D,
    LayerKind.MAX_POOL_2D,
}
"""Layers that make no probability anything else."""
MOST_CHANNELS: Final = 64
"""Of a mask; each is looked through on its own."""
SIDES: Final = 4
"""Numbers of a box without a score."""


class Scale(StrEnum):
    """What the last layer makes of its numbers."""

    LOGITS = "logits"
    PROBABILITIES = "probabilities"
    SHARES = "shares"
    """Probabilities of channels that exclude each other: softmax."""
    SIGNED = "signed"
    """-1 to 1: tanh."""


@dataclass(frozen=True, slots=True, eq=False)
class Masks:
    """Masks of one frame.

    Attributes
    ----------
    probabilities
        (channels, h, w) float32, 0 to 1, evenly over the network's input.
    exclusive
        Whether channels exclude each other. Then the first is what belongs to no region.
    """

    probabilities: NDArray[np.float32]
    exclusive: bool


@dataclass(frozen=True, slots=True, eq=False)
class Boxes:
    """Boxes of one frame.

    Attributes
    ----------
    sides
        (N, 4) float64: left, top, right and bottom as shares of the input's width and height,
        from 0 to 1; the right is not left of the left, nor the bottom above the top.
    scores
        (N,) float64, 0 to 1; 1 where the network gives none.
    """

    sides: NDArray[np.float64]
    scores: NDArray[np.float64]


class Meaning:
    """How the output of an architecture is read.

    Parameters
    ----------
    architecture
        Of the network.

    Raises
    ------
    PredictionError
        If it gives neither masks nor boxes.
    """

    def __init__(self, architecture: Architecture) -> None:
        shape = architecture.output_shape
        self._scale = _scale(architecture)
        self._channels_last = architecture.channels_last
        self.is_mask = len(shape) == 3
        if self.is_mask:
            channels = shape[-1] if self._channels_last else shape[0]
            self._check_mask(channels)
        else:
            self._numbers = _numbers_of_a_box(shape, self._scale)

    def _check_mask(self, channels: int) -> None:
        if channels > MOST_CHANNELS:
            raise PredictionError(
                f"the network gives {channels} masks; at most {MOST_CHANNELS} are read"
            )
        if channels == 1 and self._scale is Scale.SHARES:
            raise PredictionError("a softmax over the only channel of a mask is 1 everywhere")

    def read(self, output: NDArray[np.float32]) -> Masks | Boxes:
        """Read what a network gave for one frame.

        Parameters
        ----------
        output
            (*output_shape).

        Raises
        ------
        PredictionError
            If some of it is not a number.
        """
        if np.isnan(output).any():
            raise PredictionError("the network gave values that are not numbers")
        return self._masks(output) if self.is_mask else self._boxes(output)

    def _masks(self, output: NDArray[np.float32]) -> Masks:
        values = np.moveaxis(output, -1, 0) if self._channels_last else output
        exclusive = len(values) > 1 and self._scale in (Scale.LOGITS, Scale.SHARES)
        if exclusive and self._scale is Scale.LOGITS:
            return Masks(special.softmax(_finite(values), axis=0), exclusive)
        scale = Scale.PROBABILITIES if exclusive else self._scale
        return Masks(np.ascontiguousarray(_probabilities(values, scale)), exclusive)

    def _boxes(self, output: NDArray[np.float32]) -> Boxes:
        rows = output.reshape(-1, self._numbers).astype(np.float64)
        sides = rows[:, :SIDES]
        if self._scale is Scale.SIGNED:
            sides = (sides + 1) / 2
        sides = np.clip(sides, 0, 1)
        corners = np.concatenate(
            [np.minimum(sides[:, :2], sides[:, 2:]), np.maximum(sides[:, :2], sides[:, 2:])], axis=1
        )
        if self._numbers == SIDES:
            return Boxes(corners, np.ones(len(corners)))
        scores = _probabilities(rows[:, SIDES].astype(np.float32), self._scale)
        return Boxes(corners, scores.astype(np.float64))


def _scale(architecture: Architecture) -> Scale:
    for layer in reversed(architecture.layers):
        if layer.kind in _RANGE_KEPT and not layer.joined:
            continue
        return Scale.LOGITS if layer.joined else _ENDS.get(layer.kind, Scale.LOGITS)
    return Scale.LOGITS


_ENDS: Final = {
    LayerKind.SIGMOID: Scale.PROBABILITIES,
    LayerKind.SOFTMAX: Scale.SHARES,
    LayerKind.TANH: Scale.SIGNED,
    # These end with a ReLU.
    LayerKind.RELU: Scale.PROBABILITIES,
    LayerKind.DOUBLE_CONV: Scale.PROBABILITIES,
    LayerKind.ELBOW_UNET: Scale.PROBABILITIES,
    LayerKind.UP_DOUBLE_CONV: Scale.PROBABILITIES,
    LayerKind.UP_DOUBLE_CONV_OUT: Scale.PROBABILITIES,
}


def _numbers_of_a_box(shape: tuple[int, ...], scale: Scale) -> int:
    if len(shape) == 1 and scale is not Scale.SHARES:
        for numbers in (SIDES + 1, SIDES):
            if shape[0] % numbers == 0:
                return numbers
    raise PredictionError(
        "the network gives neither masks nor boxes: expected an output of rows, columns and "
        "channels, or four or five numbers for each box that are no classes"
    )


def _probabilities(values: NDArray[np.float32], scale: Scale) -> NDArray[np.float32]:
    if scale is Scale.LOGITS:
        return np.asarray(special.expit(values), dtype=np.float32)
    if scale is Scale.SIGNED:
        values = (values + np.float32(1)) / np.float32(2)
    return np.clip(values, np.float32(0), np.float32(1))


def _finite(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Bring infinite logits to where they mean the same and can be reckoned with."""
    return np.clip(values, np.float32(-1e4), np.float32(1e4))
