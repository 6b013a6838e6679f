"""The layers of the article's format, each as the steps that it is made of.

A layer takes the numbers that it needs from the document's sections in order: the third layer with
a kernel has kernel3, whatever its place among the layers. See docs/iodeep.md for each.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, cast

from preread.iodeep.architecture_format import LayerKind
from preread.iodeep.architecture_steps import (
    RANKS,
    Activation,
    Convolution,
    Dropout,
    Flattening,
    Linear,
    Normalisation,
    ParametricRectifier,
    Pooling,
    Recurrence,
    Shape,
    Step,
    UnfitError,
    Upsampling,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from preread.iodeep.architecture_format import Document

Axes = Literal[1, 2]

_POOLINGS: Final[dict[LayerKind, tuple[Literal["max", "average"], Axes]]] = {
    LayerKind.AVERAGE_POOL_1D: ("average", 1),
    LayerKind.AVERAGE_POOL_2D: ("average", 2),
    LayerKind.MAX_POOL_1D: ("max", 1),
    LayerKind.MAX_POOL_2D: ("max", 2),
}
_ACTIVATIONS: Final[dict[LayerKind, Activation]] = {
    LayerKind.RELU: Activation("relu"),
    LayerKind.TANH: Activation("tanh"),
    LayerKind.SOFTMAX: Activation("softmax"),
    LayerKind.SIGMOID: Activation("sigmoid"),
}
_SHAPE_KEPT: Final = {
    LayerKind.DROPOUT,
    LayerKind.BATCH_NORM_1D,
    LayerKind.PRELU,
    *_ACTIVATIONS,
}
_ROWS_OF_FEATURES: Final = {LayerKind.DENSE, LayerKind.OUTPUT}
_TAKES: Final[dict[LayerKind, tuple[int, ...]]] = {
    LayerKind.DSC_1D: (2,),
    LayerKind.DSC_2D: (3,),
    LayerKind.CNN_1D: (2,),
    LayerKind.CNN_2D: (3,),
    LayerKind.LSTM: (2,),
    LayerKind.GRU: (2,),
    LayerKind.AVERAGE_POOL_1D: (2,),
    LayerKind.AVERAGE_POOL_2D: (3,),
    LayerKind.MAX_POOL_1D: (2,),
    LayerKind.MAX_POOL_2D: (3,),
    LayerKind.DENSE: (1,),
    LayerKind.BATCH_NORM_1D: (1, 2),
    LayerKind.BATCH_NORM_2D: (3,),
    LayerKind.UPSAMPLE: (3,),
    LayerKind.DOUBLE_CONV: (3,),
    LayerKind.ELBOW_UNET: (3,),
    LayerKind.UP_DOUBLE_CONV: (3,),
    LayerKind.UP_DOUBLE_CONV_OUT: (3,),
    LayerKind.OUTPUT: (1,),
}


@dataclass(frozen=True)
class Layer:
    """One numbered layer, with what it takes and gives.

    Attributes
    ----------
    number
        From 1.
    steps
        What it does, in order.
    joined
        Numbers of the layers whose output is put before its own, along the channels.
    takes, gives
        Shapes without the batch, channels first; `gives` with what is joined.
    """

    number: int
    kind: LayerKind
    steps: tuple[Step, ...]
    joined: tuple[int, ...]
    takes: Shape
    gives: Shape


class Numbers:
    """The numbers of a document, which layers take one after the other."""

    def __init__(self, document: Document) -> None:
        self._sections: dict[str, Mapping[str, int]] = {
            "cn": document.convolutional,
            "kernel": document.kernel,
            "pool": document.pooling,
        }
        self._taken = dict.fromkeys(self._sections, 0)
        self.stride = document.stride.stride
        self.padding = document.padding.padding
        self.padding_conv = document.padding_conv.padding_conv
        self.label_shape = document.input_shape.label_shape

    def next(self, prefix: str, meaning: str) -> int:
        """Take the next number of a section.

        Raises
        ------
        UnfitError
            If there is none.
        """
        self._taken[prefix] += 1
        key = f"{prefix}{self._taken[prefix]}"
        found = self._sections[prefix].get(key)
        if found is None:
            raise UnfitError(f"its {meaning}, {key}, is missing")
        return found

    def left_over(self) -> str | None:
        """Name a number that no layer has taken."""
        for prefix, section in self._sections.items():
            taken = {f"{prefix}{number + 1}" for number in range(self._taken[prefix])}
            for key in section:
                if key not in taken:
                    return key
        return None


def steps_of(
    kinds: Sequence[LayerKind], index: int, given: Shape, numbers: Numbers, *, channels_last: bool
) -> tuple[Step, ...]:
    """Say what a layer does.

    Parameters
    ----------
    kinds
        All layers.
    index
        Which of them, from 0.
    given
        What it is given.
    numbers
        From which it takes what it needs.

    Raises
    ------
    UnfitError
        If it takes something else than it is given, or a number is missing.
    """
    kind = kinds[index]
    _check_rank(kind, given)
    steps: tuple[Step, ...]
    match kind:
        case LayerKind.CNN_1D | LayerKind.CNN_2D | LayerKind.DSC_1D | LayerKind.DSC_2D:
            steps = _convolution(kind, given, numbers)
        case (
            LayerKind.DOUBLE_CONV
            | LayerKind.ELBOW_UNET
            | LayerKind.UP_DOUBLE_CONV
            | LayerKind.UP_DOUBLE_CONV_OUT
        ):
            steps = _double_convolution(kind, given, numbers)
        case LayerKind.LSTM | LayerKind.GRU:
            name: Literal["lstm", "gru"] = "lstm" if kind is LayerKind.LSTM else "gru"
            whole = _needs_sequence(kinds[index + 1 :])
            steps = (Recurrence(name, given[0], numbers.next("cn", "number of units"), whole),)
        case LayerKind.DENSE:
            steps = (Linear(given[0], numbers.next("cn", "number of units")),)
        case LayerKind.OUTPUT:
            steps = (_output(given, numbers),)
        case _ if kind in _POOLINGS:
            steps = (Pooling(*_POOLINGS[kind], numbers.next("pool", "window")),)
        case _:
            steps = (_without_numbers(kind, given, channels_last=channels_last),)
    return steps


def _without_numbers(kind: LayerKind, given: Shape, *, channels_last: bool) -> Step:
    match kind:
        case LayerKind.BATCH_NORM_1D:
            step: Step = Normalisation(1, given[0])
        case LayerKind.BATCH_NORM_2D:
            step = Normalisation(2, given[0])
        case LayerKind.FLATTEN:
            step = Flattening(channels_last)
        case LayerKind.DROPOUT:
            step = Dropout()
        case LayerKind.PRELU:
            step = ParametricRectifier()
        case LayerKind.UPSAMPLE:
            step = Upsampling()
        case _:
            step = _ACTIVATIONS[kind]
    return step


def _check_rank(kind: LayerKind, given: Shape) -> None:
    wanted = _TAKES.get(kind)
    if wanted is not None and len(given) not in wanted:
        expected = " or ".join(RANKS[rank] for rank in wanted)
        hint = "; put Flatten before it" if kind in _ROWS_OF_FEATURES else ""
        raise UnfitError(f"it takes {expected}, and is given {RANKS[len(given)]}{hint}")


def _convolution(kind: LayerKind, given: Shape, numbers: Numbers) -> tuple[Step, ...]:
    axes = cast("Axes", len(given) - 1)
    outputs = numbers.next("cn", "number of channels")
    kernel = numbers.next("kernel", "kernel")
    stride, padding = numbers.stride, numbers.padding_conv
    if kind in {LayerKind.CNN_1D, LayerKind.CNN_2D}:
        return (Convolution(axes, given[0], outputs, kernel, stride, padding),)
    # As Keras' SeparableConv does, the first of the two has no bias: the second would swallow it.
    each = Convolution(axes, given[0], given[0], kernel, stride, padding, given[0], bias=False)
    return (each, Convolution(axes, given[0], outputs, 1))


def _double_convolution(kind: LayerKind, given: Shape, numbers: Numbers) -> tuple[Step, ...]:
    middle = last = numbers.next("cn", "number of channels")
    kernel = numbers.next("kernel", "kernel")
    if kind in {LayerKind.ELBOW_UNET, LayerKind.UP_DOUBLE_CONV}:
        # Bilinear upsampling keeps the channels, so the second convolution halves them, to those
        # of the skip connection that it will be joined with.
        if middle % 2:
            raise UnfitError(f"its {middle} channels cannot be halved; expected an even number")
        last = middle // 2
    stride, padding = numbers.stride, numbers.padding
    return (
        Convolution(2, given[0], middle, kernel, stride, padding),
        Normalisation(2, middle),
        Activation("relu"),
        Convolution(2, middle, last, kernel, stride, padding),
        Normalisation(2, last),
        Activation("relu"),
    )


def _output(given: Shape, numbers: Numbers) -> Linear:
    if numbers.label_shape is None:
        raise UnfitError("its number of outputs, label_shape of input_shape, is missing")
    return Linear(given[0], numbers.label_shape)


def _needs_sequence(following: Sequence[LayerKind]) -> bool:
    """Tell whether the first layer that is not indifferent takes a sequence."""
    decisive = next((kind for kind in following if kind not in _SHAPE_KEPT), None)
    return decisive is not None and decisive not in _ROWS_OF_FEATURES
