"""The graph that the node runs gives what torch gives, for every layer and whatever its numbers."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.architecture_format import DataFormat, LayerKind
from preread.iodeep.architecture_layers import Layer
from preread.iodeep.architecture_steps import (
    Activation,
    Convolution,
    Flattening,
    Linear,
    Normalisation,
    ParametricRectifier,
    Pooling,
    Recurrence,
    Shape,
    Step,
    Upsampling,
)
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.openvino_network import build
from preread.models.openvino_engine import import_openvino
from tests.unit.iodeep.layer_by_layer import architectures
from tests.unit.iodeep.trained_networks import answer, arrays_of_module, ran, trained

CONTENTS = architectures() | {"unet-small": example("unet-small")}
LARGEST_DIFFERENCE = 1e-4
openvino = import_openvino()
SWEEP = settings(max_examples=25, deadline=None)

Floats = NDArray[np.float32]


def test_every_layer_is_built_below() -> None:
    used = {
        name
        for content in CONTENTS.values()
        if isinstance(content, dict)
        for name in content["architecture"].values()
    }
    assert used == {*map(str, LayerKind)}


def _batch(shape: Shape, size: int = 2) -> Floats:
    return np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32)


def _hold(architecture: Architecture, size: int = 2) -> None:
    reference = trained(architecture)
    batch = _batch(architecture.input_shape, size)
    expected = answer(reference, batch)
    found = ran(architecture, arrays_of_module(reference), batch)
    assert found.shape == expected.shape == (size, *architecture.output_shape)
    assert np.abs(found - expected).max() <= LARGEST_DIFFERENCE


def _of(steps: tuple[Step, ...], shape: Shape, *, last: bool = False) -> Architecture:
    """Make an architecture of one layer, whatever the format has for it; `shape` channels first."""
    gives = shape
    for step in steps:
        gives = step.made(gives)
    order: DataFormat = "channels_last" if last else "channels_first"
    return Architecture(
        input_shape=(*shape[1:], shape[0]) if last else shape,
        output_shape=(*gives[1:], gives[0]) if last else gives,
        label_shape=None,
        data_format=order,
        backend="pytorch",
        layers=(Layer(1, LayerKind.CNN_2D, steps, (), shape, gives),),
        parameters=0,
        activations=0,
        operations=0,
        _text="",
    )


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("size", [1, 3])
def test_the_same_weights_give_the_same_output(name: str, size: int) -> None:
    _hold(parse_architecture(CONTENTS[name]), size)


@SWEEP
@given(
    axes=st.sampled_from([1, 2]),
    kernel=st.integers(1, 7),
    stride=st.integers(1, 5),
    padding=st.integers(0, 9),
    groups=st.integers(1, 4),
    each=st.tuples(st.integers(1, 3), st.integers(1, 3)),
    sides=st.tuples(st.integers(1, 13), st.integers(1, 13)),
    bias=st.booleans(),
    last=st.booleans(),
)
def test_convolutions(
    axes: Any, kernel: int, stride: int, padding: int, groups: int, each: tuple[int, int],
    sides: tuple[int, int], bias: bool, last: bool,
) -> None:  # fmt: skip
    channels = groups * each[0]
    shape = (channels, *(max(side, kernel - 2 * padding) for side in sides[:axes]))
    step = Convolution(axes, channels, groups * each[1], kernel, stride, padding, groups, bias=bias)
    _hold(_of((step,), shape, last=last))


@SWEEP
@given(
    axes=st.sampled_from([1, 2]),
    name=st.sampled_from(["max", "average"]),
    size=st.integers(1, 5),
    channels=st.integers(1, 4),
    sides=st.tuples(st.integers(5, 13), st.integers(5, 13)),
    last=st.booleans(),
)
def test_poolings(
    axes: Any, name: Any, size: int, channels: int, sides: tuple[int, int], last: bool
) -> None:
    _hold(_of((Pooling(name, axes, size),), (channels, *sides[:axes]), last=last))


@SWEEP
@given(
    name=st.sampled_from(["lstm", "gru"]),
    inputs=st.integers(1, 5),
    outputs=st.integers(1, 6),
    length=st.integers(1, 9),
    whole=st.booleans(),
    last=st.booleans(),
)
def test_recurrences(
    name: Any, inputs: int, outputs: int, length: int, whole: bool, last: bool
) -> None:
    _hold(_of((Recurrence(name, inputs, outputs, whole),), (inputs, length), last=last))


@SWEEP
@given(
    shape=st.lists(st.integers(1, 6), min_size=1, max_size=3).map(tuple),
    kind=st.sampled_from(["relu", "tanh", "sigmoid", "softmax", "prelu", "norm", "flat", "dense"]),
    last=st.booleans(),
)
def test_steps_that_keep_or_flatten_the_shape(shape: Shape, kind: Any, last: bool) -> None:
    steps: dict[str, tuple[Step, ...]] = {
        "prelu": (ParametricRectifier(),),
        "norm": (Normalisation(2 if len(shape) == 3 else 1, shape[0]),),
        "flat": (Flattening(last),),
        "dense": (Flattening(last), Linear(int(np.prod(shape)), 3)),
    }
    _hold(_of(steps.get(kind) or (Activation(kind),), shape, last=last))


@SWEEP
@given(shape=st.tuples(st.integers(1, 4), st.integers(1, 9), st.integers(1, 9)), last=st.booleans())
def test_upsampling(shape: Shape, last: bool) -> None:
    _hold(_of((Upsampling(),), shape, last=last))


def test_a_network_without_arithmetic() -> None:
    content = {
        "input_shape": {"input_shape0": 3},
        "architecture": {"1": "dropout"},
        "data_format": "channels_first",
    }
    _hold(parse_architecture(content))


def test_weights_of_half_precision_are_taken_as_they_are() -> None:
    architecture = parse_architecture(CONTENTS["u-net-channels_last"])
    halves = {
        name: array.astype(np.float16)
        for name, array in arrays_of_module(trained(architecture)).items()
    }
    wholes = {name: array.astype(np.float32) for name, array in halves.items()}
    batch = _batch(architecture.input_shape)
    assert np.array_equal(ran(architecture, halves, batch), ran(architecture, wholes, batch))


@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("axes", [1, 2])
def test_no_window_lies_in_a_padding_alone(axes: Any, groups: int) -> None:
    # Kernels of OpenVINO lose a value there, on a processor of some kind.
    for kernel, padding in ((1, 0), (1, 2), (2, 1), (2, 2), (2, 5)):
        step = Convolution(axes, 2, 2, kernel, 1, padding, groups, bias=False)
        architecture = _of((step,), (2, *[2] * axes))
        made = build(architecture, arrays_of_module(trained(architecture)))
        for graph in (made, openvino.Core().compile_model(made, "CPU").get_runtime_model()):
            assert not any(node.get_type_name() == "Pad" for node in graph.get_ops())
        paddings = [
            node.get_attributes()["pads_begin"]
            for node in made.get_ops()
            if "Convolution" in node.get_type_name()
        ]
        assert paddings == [[padding if padding < kernel else 0] * axes]
        _hold(architecture)


def test_a_negative_variance_is_refused() -> None:
    architecture = _of((Normalisation(2, 2),), (2, 3, 3))
    arrays = arrays_of_module(trained(architecture))
    arrays["layers.1.0.running_var"][1] = -0.5
    with pytest.raises(InvalidIODeepError, match=r"running_var: a variance is negative"):
        build(architecture, arrays)


@pytest.mark.parametrize(
    "steps",
    [
        (Activation("relu"),),
        (Pooling("max", 2, 2),),
        (Pooling("average", 2, 2),),
        (Activation("sigmoid"),),
        (Activation("tanh"),),
        (Activation("softmax"),),
        (ParametricRectifier(),),
        (Upsampling(),),
        (Normalisation(2, 4),),
        (Activation("relu"), Pooling("max", 2, 2), Activation("relu"), Activation("sigmoid")),
    ],
    ids=str,
)
def test_what_is_not_a_number_stays_so_in_every_layer(steps: tuple[Step, ...]) -> None:
    # An answer that the network does not give must not pass for one.
    for before in ((), (Convolution(2, 4, 4, 1),)):
        architecture = _of((*before, *steps), (4, 4, 4))
        batch = _batch(architecture.input_shape)
        batch[0, 0, 0, 0] = np.nan
        found = ran(architecture, arrays_of_module(trained(architecture)), batch)
        assert np.isnan(found[0]).any()
        assert not np.isnan(found[1]).any()


def test_the_graph_takes_a_batch_of_any_size() -> None:
    architecture = parse_architecture(CONTENTS["sequence-channels_last"])
    arrays = arrays_of_module(trained(architecture))
    batch = _batch(architecture.input_shape, 5)
    rows = [ran(architecture, arrays, batch[place : place + 1]) for place in range(5)]
    assert np.allclose(ran(architecture, arrays, batch), np.concatenate(rows), atol=1e-6)
