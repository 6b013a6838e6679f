"""A network's architecture, read from the article's JSON and judged without building anything.

Whoever reads it needs neither torch nor memory: shapes, parameters and costs follow from the
numbers alone, and what is too large or cannot be built is refused before anything is allocated.
"""

from __future__ import annotations

import json
import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import ValidationError

from preread.errors import PrereadError
from preread.iodeep.architecture_format import LAYER_NAMES, Backend, DataFormat, Document
from preread.iodeep.architecture_layers import Layer, Numbers, steps_of
from preread.iodeep.architecture_steps import Shape, UnfitError, in_words

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_FORMATS: Final = "expected channels_first or channels_last"
_EXPECTED: Final = {"data_format": _FORMATS, "backend": "expected pytorch or tensorflow"}
_NUMBERED: Final = {"convolutional": "cn", "kernel": "kernel", "pooling": "pool"}


class ArchitectureError(PrereadError):
    """An architecture cannot be used.

    Attributes
    ----------
    layer
        Its number; None if it is not about one layer.
    reason
        What is wrong with it.
    """

    def __init__(self, reason: str, layer: int | None = None, kind: str = "") -> None:
        named = f" ({kind})" if kind else ""
        where = "" if layer is None else f"layer {layer}{named}: "
        super().__init__(f"architecture: {where}{reason}")
        self.layer = layer
        self.reason = reason


@dataclass(frozen=True)
class Limits:
    """How large a network may be.

    Attributes
    ----------
    characters
        Of the JSON; bytes, if it is given as such.
    layers
        How many.
    parameters
        Learned numbers; 4 bytes each in memory.
    activations
        Values that all layers together make of one input.
    operations
        Multiplications for one input.
    """

    characters: int = 256 * 1024
    layers: int = 1000
    parameters: int = 250_000_000
    activations: int = 1_000_000_000
    operations: int = 2_000_000_000_000


@dataclass(frozen=True)
class Architecture:
    """A network that can be built.

    Attributes
    ----------
    input_shape, output_shape
        Of one input without the batch, in the order of `data_format`.
    label_shape
        As the document states it.
    layers
        Their shapes are channels first, whatever the data format.
    parameters, activations, operations
        See `Limits`.
    """

    input_shape: Shape
    output_shape: Shape
    label_shape: int | None
    data_format: DataFormat
    backend: Backend
    layers: tuple[Layer, ...]
    parameters: int
    activations: int
    operations: int
    _text: str

    @property
    def channels_last(self) -> bool:
        """Whether inputs and outputs have their channels last."""
        return self.data_format == "channels_last"

    @property
    def weight_shapes(self) -> dict[str, Shape]:
        """Names and shapes of all weights as `torch_network.build` has them.

        With the means and variances of batch normalisation, without its counters, which matter to
        training alone.
        """
        return {
            f"layers.{layer.number}.{index}.{name}": shape
            for layer in self.layers
            for index, step in enumerate(layer.steps)
            for name, shape in (step.weights | step.statistics).items()
        }

    def to_json(self) -> str:
        """Write it in the article's format, indented, with a newline at the end."""
        return self._text


def parse_architecture(
    text: str | bytes | dict[str, Any], limits: Limits | None = None
) -> Architecture:
    """Read an architecture.

    Parameters
    ----------
    text
        JSON, or what it says.
    limits
        How large the network may be; None for the defaults of `Limits`.

    Raises
    ------
    ArchitectureError
        In one line with the layer's number and the reason, or the key.
    """
    limits = limits or Limits()
    content = text if isinstance(text, dict) else _content(text, limits)
    return _Judge(_document(content, limits), limits).judged()


def _content(text: str | bytes, limits: Limits) -> dict[str, Any]:
    if len(text) > limits.characters:
        raise ArchitectureError(f"longer than the {limits.characters} characters it may have")
    try:
        content = json.loads(text, object_pairs_hook=_unique)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
        raise ArchitectureError(f"is not JSON: {error.msg} ({where})") from None
    except RecursionError:
        raise ArchitectureError("is not an architecture: too deeply nested") from None
    except ValueError:  # not Unicode, or a number of thousands of digits
        raise ArchitectureError("is not JSON that can be read") from None
    if not isinstance(content, dict):
        raise ArchitectureError("expected a JSON object with architecture, input_shape, ...")
    return content


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    content = dict(pairs)
    if len(content) != len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in content if keys.count(key) > 1)
        raise ArchitectureError(f"the key {_shown(twice)} stands there twice")
    return content


def _document(content: dict[str, Any], limits: Limits) -> Document:
    layers = content.get("architecture")
    if isinstance(layers, dict) and len(layers) > limits.layers:
        raise ArchitectureError(f"it has {len(layers)} layers; at most {limits.layers} are built")
    for name, section in content.items():
        if isinstance(section, dict) and len(section) > max(limits.layers, 16):
            raise ArchitectureError(f"{_shown(name)}: has more entries than layers are built")
    try:
        document = Document.model_validate(content)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False, include_context=False)[0]
        raise _explained(first, content) from None
    for number in range(1, len(document.architecture) + 1):
        if str(number) not in document.architecture:
            raise ArchitectureError(
                f"is missing; the {len(document.architecture)} layers are numbered without gaps",
                number,
            )
    return document


def _explained(error: ErrorDetails, content: dict[str, Any]) -> ArchitectureError:
    where = [str(part) for part in error["loc"] if part != "[key]"]
    section = where[0] if where else ""
    about = ".".join(map(_shown, where))
    if section == "architecture" and len(where) > 1 and re.fullmatch(r"[1-9]\d{0,3}", where[1]):
        given = content["architecture"][where[1]]
        named = _shown(given) if isinstance(given, str) else "what stands there"
        return ArchitectureError(
            f"{named} is not a layer; expected one of {', '.join(LAYER_NAMES)}", int(where[1])
        )
    if error["type"] == "extra_forbidden":
        return ArchitectureError(f"{about}: is not a key of the format")
    if error["type"] == "missing":
        return ArchitectureError(f"{about}: is missing")
    if section in _EXPECTED:
        return ArchitectureError(f"{section}: {_EXPECTED[section]}")
    if error["type"] == "string_pattern_mismatch":
        first = _NUMBERED.get(section, "")
        return ArchitectureError(f"{about}: expected the keys {first}1, {first}2, ...")
    message = re.sub(r"\s+", " ", error["msg"]).removeprefix("Value error, ")
    return ArchitectureError(f"{about}: {message[:1].lower()}{message[1:]}")


def _shown(given: str) -> str:
    """Repeat what a file says only where it could be a name of the format."""
    return given if re.fullmatch(r"\w{1,32}", given, re.ASCII) else "(unprintable)"


class _Judge:
    """Follows an input through the layers, one after the other."""

    def __init__(self, document: Document, limits: Limits) -> None:
        self._document = document
        self._limits = limits
        self._kinds = document.ordered()
        self._channels_last = document.format_name() == "channels_last"
        self._numbers = Numbers(document)
        self._joined = self._skip_connections()
        self._layers: list[Layer] = []
        self._costs = {"parameters": 0, "activations": 0, "operations": 0}

    def judged(self) -> Architecture:
        given = self._input()
        shape = _moved(given, to_last=False) if self._channels_last else given
        self._add(None, activations=math.prod(shape))
        for number in range(1, len(self._kinds) + 1):
            try:
                layer = self._layer(number, shape)
            except UnfitError as error:
                raise self._refusal(number, str(error)) from None
            self._layers.append(layer)
            shape = layer.gives
        left_over = self._numbers.left_over()
        if left_over is not None:
            raise ArchitectureError(f"{left_over}: no layer takes it")
        return Architecture(
            input_shape=given,
            output_shape=_moved(shape, to_last=True) if self._channels_last else shape,
            label_shape=self._numbers.label_shape,
            data_format=self._document.format_name(),
            backend=self._document.backend_name(),
            layers=tuple(self._layers),
            **self._costs,
            _text=self._document.text(),
        )

    def _input(self) -> Shape:
        stated = self._document.input_shape
        sides = (stated.input_shape0, stated.input_shape1, stated.input_shape2)
        given = tuple(side for side in sides if side is not None)
        if stated.input_shape1 is None and stated.input_shape2 is not None:
            raise ArchitectureError("input_shape.input_shape1: is missing")
        return given

    def _skip_connections(self) -> dict[int, tuple[int, ...]]:
        """Give the sources of each target, and refuse what cannot be followed."""
        joined: dict[int, tuple[int, ...]] = {}
        for source, target in sorted(
            (int(source), target) for source, target in self._document.skip_connection.items()
        ):
            for number in (source, target):
                if number > len(self._kinds):
                    raise ArchitectureError(
                        f"skip_connection {source} to {target}: there is no layer {number}"
                    )
            if source >= target:
                raise self._refusal(
                    target,
                    f"its skip connection from layer {source} is recursive; expected one "
                    "from an earlier layer",
                )
            joined[target] = (*joined.get(target, ()), source)
        return joined

    def _layer(self, number: int, takes: Shape) -> Layer:
        steps = steps_of(
            self._kinds, number - 1, takes, self._numbers, channels_last=self._channels_last
        )
        shape = takes
        for step in steps:
            given, shape = shape, step.made(shape)
            self._add(
                number,
                parameters=step.parameters,
                activations=step.activations(given),
                operations=step.operations(given),
            )
        joined = self._joined.get(number, ())
        gives = self._join(shape, joined)
        if joined:
            self._add(number, activations=math.prod(gives))
        return Layer(number, self._kinds[number - 1], steps, joined, takes, gives)

    def _join(self, shape: Shape, sources: tuple[int, ...]) -> Shape:
        channels = shape[0]
        for source in sources:
            other = self._layers[source - 1].gives
            if other[1:] != shape[1:]:
                raise UnfitError(
                    f"the skip connection from layer {source} is between unequal shapes: "
                    f"{in_words(other[1:]) or 'features'} cannot be joined to "
                    f"{in_words(shape[1:]) or 'features'}"
                )
            channels += other[0]
        return (channels, *shape[1:])

    def _add(self, number: int | None, **costs: int) -> None:
        for name, cost in costs.items():
            self._costs[name] += cost
            most = getattr(self._limits, name)
            if self._costs[name] > most:
                reason = f"the network exceeds the limit of {most} {name} here"
                raise ArchitectureError(reason) if number is None else self._refusal(number, reason)

    def _refusal(self, number: int, reason: str) -> ArchitectureError:
        return ArchitectureError(reason, number, self._kinds[number - 1])


def _moved(shape: Shape, *, to_last: bool) -> Shape:
    """Move the channels from first to last, or back."""
    return (*shape[1:], shape[0]) if to_last else (shape[-1], *shape[:-1])
