"""The steps that layers are made of: what each makes of a shape, and what it costs.

A shape here is that of one image without the batch, channels first: (C, H, W) an image, (C, L) a
sequence, (F,) a row of features. Nothing here imports torch or allocates anything, so a network
of any size is judged by its numbers alone. The names of weights are torch's.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final, Literal

Shape = tuple[int, ...]

RANKS: Final = {1: "features", 2: "a sequence", 3: "an image"}
"""What a shape of so many numbers is."""
UPSAMPLING: Final = 2
"""By how much an Upsample layer multiplies rows and columns."""
DROPPED: Final = 0.5
"""Share of the values that dropout leaves out in training; the format has no key for it."""
NORMALISATION_EPSILON: Final = 1e-5


class UnfitError(Exception):
    """A layer cannot take what it is given; the message is the reason, without the layer."""


class Step:
    """One arithmetic operation; what only some have is 0 or empty here."""

    def made(self, given: Shape) -> Shape:
        """Give the shape of what it makes.

        Raises
        ------
        UnfitError
            If it cannot take the given shape.
        """
        return given

    @property
    def weights(self) -> dict[str, Shape]:
        """Names and shapes of what is learned."""
        return {}

    @property
    def statistics(self) -> dict[str, Shape]:
        """Names and shapes of what is kept with the weights and not learned by descent."""
        return {}

    @property
    def parameters(self) -> int:
        """How many numbers are learned."""
        return sum(map(math.prod, self.weights.values()))

    def activations(self, given: Shape) -> int:
        """How many values are made for one image, what is needed on the way included."""
        return math.prod(self.made(given))

    def operations(self, given: Shape) -> int:
        """How many multiplications one image takes."""
        return self.activations(given)


@dataclass(frozen=True)
class Convolution(Step):
    """A convolution over one or two axes; all numbers are the same for each axis.

    Attributes
    ----------
    groups
        1, or as many as there are inputs: each channel on its own (depthwise).
    """

    axes: Literal[1, 2]
    inputs: int
    outputs: int
    kernel: int
    stride: int = 1
    padding: int = 0
    groups: int = 1
    bias: bool = True

    def made(self, given: Shape) -> Shape:
        """See `Step`; the sides are those of torch.nn.Conv2d."""
        sides = self._padded(given)[1:]
        if min(sides) < self.kernel:
            raise UnfitError(
                f"its kernel of {self.kernel} is larger than the {in_words(sides)} that it is "
                f"given with the padding of {self.padding}"
            )
        return (self.outputs, *((side - self.kernel) // self.stride + 1 for side in sides))

    @property
    def weights(self) -> dict[str, Shape]:
        """See `Step`."""
        own = (self.outputs, self.inputs // self.groups, *[self.kernel] * self.axes)
        return {"weight": own, "bias": (self.outputs,)} if self.bias else {"weight": own}

    def activations(self, given: Shape) -> int:
        """See `Step`; a padded input is a copy."""
        copied = math.prod(self._padded(given)) if self.padding else 0
        return copied + math.prod(self.made(given))

    def operations(self, given: Shape) -> int:
        """See `Step`."""
        return math.prod(self.made(given)) * math.prod(self.weights["weight"][1:])

    def _padded(self, given: Shape) -> Shape:
        return (given[0], *(side + 2 * self.padding for side in given[1:]))


@dataclass(frozen=True)
class Normalisation(Step):
    """Batch normalisation, of features or a sequence (1) or of an image (2)."""

    axes: Literal[1, 2]
    channels: int

    @property
    def weights(self) -> dict[str, Shape]:
        """See `Step`."""
        return {"weight": (self.channels,), "bias": (self.channels,)}

    @property
    def statistics(self) -> dict[str, Shape]:
        """See `Step`."""
        return {"running_mean": (self.channels,), "running_var": (self.channels,)}


@dataclass(frozen=True)
class Activation(Step):
    """A function of each value; softmax: of the channels of each pixel."""

    name: Literal["relu", "tanh", "sigmoid", "softmax"]


@dataclass(frozen=True)
class ParametricRectifier(Step):
    """PReLU with one learned slope for all channels (He and others, 2015, channel-shared)."""

    @property
    def weights(self) -> dict[str, Shape]:
        """See `Step`."""
        return {"weight": (1,)}


@dataclass(frozen=True)
class Pooling(Step):
    """The largest value or the mean of each window; windows lie side by side."""

    name: Literal["max", "average"]
    axes: Literal[1, 2]
    size: int

    def made(self, given: Shape) -> Shape:
        """See `Step`; what is left at the end of a side is dropped."""
        if min(given[1:]) < self.size:
            raise UnfitError(
                f"its window of {self.size} is larger than the {in_words(given[1:])} that it is "
                "given"
            )
        return (given[0], *(side // self.size for side in given[1:]))


@dataclass(frozen=True)
class Upsampling(Step):
    """Bilinear, to `UPSAMPLING` times the rows and columns; pixels keep their centres."""

    def made(self, given: Shape) -> Shape:
        """See `Step`."""
        return (given[0], *(UPSAMPLING * side for side in given[1:]))


@dataclass(frozen=True)
class Flattening(Step):
    """All values in one row, in the order of the data format."""

    channels_last: bool

    def made(self, given: Shape) -> Shape:
        """See `Step`."""
        return (math.prod(given),)


@dataclass(frozen=True)
class Linear(Step):
    """Each output is a weighted sum of all inputs and a bias."""

    inputs: int
    outputs: int

    def made(self, given: Shape) -> Shape:  # noqa: ARG002 - see `Step`
        """See `Step`."""
        return (self.outputs,)

    @property
    def weights(self) -> dict[str, Shape]:
        """See `Step`."""
        return {"weight": (self.outputs, self.inputs), "bias": (self.outputs,)}

    def operations(self, given: Shape) -> int:  # noqa: ARG002 - see `Step`
        """See `Step`."""
        return self.inputs * self.outputs


@dataclass(frozen=True)
class Recurrence(Step):
    """A recurrent layer, of one direction.

    Attributes
    ----------
    whole
        Whether it gives its state after each element of the sequence, or only the last.
    """

    name: Literal["lstm", "gru"]
    inputs: int
    outputs: int
    whole: bool

    @property
    def gates(self) -> int:
        """How many matrices of weights it has for the input, and again for its own state."""
        return 4 if self.name == "lstm" else 3

    def made(self, given: Shape) -> Shape:
        """See `Step`."""
        return (self.outputs, given[1]) if self.whole else (self.outputs,)

    @property
    def weights(self) -> dict[str, Shape]:
        """See `Step`; both biases of torch.nn.LSTM."""
        rows = self.gates * self.outputs
        return {
            "weight_ih_l0": (rows, self.inputs),
            "weight_hh_l0": (rows, self.outputs),
            "bias_ih_l0": (rows,),
            "bias_hh_l0": (rows,),
        }

    def activations(self, given: Shape) -> int:
        """See `Step`; every gate at every element."""
        return given[1] * (self.gates + 1) * self.outputs

    def operations(self, given: Shape) -> int:
        """See `Step`."""
        return given[1] * self.gates * self.outputs * (self.inputs + self.outputs)


@dataclass(frozen=True)
class Dropout(Step):
    """Leaves values out in training, and does nothing otherwise."""


def in_words(sides: Shape) -> str:
    """Write rows and columns as a person does.

    Examples
    --------
    >>> in_words((224, 112))
    '224 x 112'
    """
    return " x ".join(map(str, sides))
