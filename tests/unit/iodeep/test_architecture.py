"""The article's JSON: what is read, what it comes to, and what is refused with which reason."""

from __future__ import annotations

import contextlib
import copy
import json
import subprocess
import sys
import tracemalloc
from typing import Any

import jsonschema
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preread.errors import PrereadError
from preread.iodeep.architecture import ArchitectureError, Limits, parse_architecture
from preread.iodeep.architecture_files import EXAMPLES, example, published_schema
from preread.iodeep.architecture_format import LAYER_NAMES, schema_text

SCHEMA = jsonschema.Draft202012Validator(json.loads(published_schema()))


def unet() -> dict[str, Any]:
    content: dict[str, Any] = json.loads(example("unet"))
    return content


def net(*layers: str, shape: tuple[int, ...] = (8, 8, 3), **sections: Any) -> dict[str, Any]:
    content: dict[str, Any] = {
        "input_shape": {f"input_shape{axis}": side for axis, side in enumerate(shape)},
        "architecture": {str(number + 1): name for number, name in enumerate(layers)},
        "data_format": {"data_format": "channels_last"},
    }
    return content | sections


def changed(section: str, **entries: Any) -> dict[str, Any]:
    """The article's U-Net with other entries; None takes one out."""
    content = unet()
    content[section] = {
        key: value for key, value in (content[section] | entries).items() if value is not None
    }
    return content


def test_the_u_net_of_the_article_is_what_it_says() -> None:
    network = parse_architecture(example("unet"))
    assert network.input_shape == (224, 224, 3)
    assert network.output_shape == (224, 224, 1)
    assert (network.data_format, network.backend, network.label_shape) == (
        "channels_last",
        "pytorch",
        1,
    )
    widest = [layer.steps[0].made(layer.takes)[0] for layer in network.layers[:9:2]]
    assert widest == [64, 128, 256, 512, 1024]
    gives = {layer.number: layer.gives for layer in network.layers}
    assert gives[9] == (512, 14, 14)
    assert [gives[number] for number in (10, 12, 14, 16)] == [
        (1024, 28, 28),
        (512, 56, 56),
        (256, 112, 112),
        (128, 224, 224),
    ]
    assert [layer.joined for layer in network.layers if layer.joined] == [(7,), (5,), (3,), (1,)]
    # By hand: k*k*in*out weights and out biases, and 2 numbers per channel for batch norm.
    pairs = [(3, 64, 64), (64, 128, 128), (128, 256, 256), (256, 512, 512), (512, 1024, 512)]
    pairs += [(1024, 512, 256), (512, 256, 128), (256, 128, 64), (128, 64, 64)]
    counted = sum(9 * a * b + 3 * b + 9 * b * c + 3 * c for a, b, c in pairs) + 64 + 1
    assert network.parameters == counted


def test_what_it_costs_is_counted() -> None:
    network = parse_architecture(
        net("cnn2d", "Flatten", "dense", convolutional={"cn1": 4, "cn2": 5}, kernel={"kernel1": 3})
    )
    assert network.parameters == (9 * 3 * 4 + 4) + (6 * 6 * 4 * 5 + 5)
    assert network.activations == 8 * 8 * 3 + 6 * 6 * 4 + 6 * 6 * 4 + 5
    assert network.operations == 6 * 6 * 4 * 9 * 3 + 6 * 6 * 4 + 6 * 6 * 4 * 5
    assert network.weight_shapes == {
        "layers.1.0.weight": (4, 3, 3, 3),
        "layers.1.0.bias": (4,),
        "layers.3.0.weight": (5, 144),
        "layers.3.0.bias": (5,),
    }


@pytest.mark.parametrize("name", EXAMPLES)
def test_what_is_written_reads_the_same(name: str) -> None:
    network = parse_architecture(example(name))
    assert parse_architecture(network.to_json()) == network
    assert parse_architecture(network.to_json().encode("utf-8-sig")) == network
    assert parse_architecture(json.loads(example(name))) == network
    assert SCHEMA.is_valid(json.loads(network.to_json()))


def test_an_example_that_is_not_there() -> None:
    with pytest.raises(KeyError):
        example("../architecture.schema")


def test_spellings_of_published_files_are_understood() -> None:
    content = unet()
    content["architecture"]["9"] = "ElbowUnet"
    content["input_shape"] = {key: str(value) for key, value in content["input_shape"].items()}
    content["data_format"] = "channels_last"
    content["backend"] = "pytorch"
    content["architecture"] = dict(reversed(content["architecture"].items()))
    assert SCHEMA.is_valid(content)
    assert parse_architecture(content) == parse_architecture(unet())


def test_only_some_keys_must_be_there() -> None:
    network = parse_architecture(net("relu"))
    assert network.backend == "pytorch"
    assert network.output_shape == (8, 8, 3)
    assert network.parameters == 0


def test_channels_first() -> None:
    network = parse_architecture(
        net(
            "cnn2d",
            shape=(3, 8, 6),
            data_format="channels_first",
            convolutional={"cn1": 4},
            kernel={"kernel1": 3},
            stride={"stride": 2},
            padding_conv={"padding_conv": 1},
        )
    )
    assert network.input_shape == (3, 8, 6)
    assert network.output_shape == (4, 4, 3)


def test_padding_of_blocks_and_of_single_convolutions_is_told_apart() -> None:
    network = parse_architecture(
        net(
            "doubleConv",
            "cnn2d",
            convolutional={"cn1": 4, "cn2": 2},
            kernel={"kernel1": 3, "kernel2": 3},
            padding={"padding": 1},
        )
    )
    assert [layer.gives for layer in network.layers] == [(4, 8, 8), (2, 6, 6)]


@pytest.mark.parametrize(
    ("following", "given"),
    [
        ((), (5,)),
        (("dense",), (4,)),
        (("dropout", "relu", "dense"), (4,)),
        (("Flatten",), (50,)),
        (("gru", "dense"), (4,)),
        (("Maxpool1d", "Flatten"), (25,)),
    ],
)
def test_a_recurrent_layer_gives_a_sequence_where_one_is_needed(
    following: tuple[str, ...], given: tuple[int, ...]
) -> None:
    widths = [5, *(4 for name in following if name in {"gru", "dense"})]
    network = parse_architecture(
        net(
            "lstm",
            *following,
            shape=(10, 3),
            convolutional={f"cn{index + 1}": width for index, width in enumerate(widths)},
            pooling={"pool1": 2} if "Maxpool1d" in following else {},
        )
    )
    assert network.output_shape == given


Refusal = tuple[dict[str, Any], int | None, str]
UNFIT: list[Refusal] = [
    (changed("skip_connection", **{"3": "16"}), 16, "unequal shapes: 112 x 112 .* 224 x 224"),
    (changed("skip_connection", **{"7": "18", "18": "7"}), 7, "layer 18 is recursive"),
    (changed("skip_connection", **{"7": "7"}), 7, "layer 7 is recursive"),
    (changed("skip_connection", **{"7": "19"}), None, "7 to 19: there is no layer 19"),
    (changed("kernel", kernel5=None), 9, "its kernel, kernel5, is missing"),
    (changed("kernel", kernel11=3), None, "kernel11: no layer takes it"),
    (changed("kernel", kernel10=225), 18, "kernel of 225 is larger than the 224 x 224"),
    (changed("convolutional", cn10=None), 18, "its number of channels, cn10, is missing"),
    (changed("convolutional", cn5=1023), 9, "1023 channels cannot be halved"),
    (changed("pooling", pool4=None), 8, "its window, pool4, is missing"),
    (changed("pooling", pool1=300), 2, "window of 300 is larger than the 224 x 224"),
    (changed("architecture", **{"7": None, "19": "relu"}), 7, "is missing; the 18 layers"),
    (changed("architecture", **{"18": "dense"}), 18, "takes features, .* an image; put Flatten"),
    (changed("architecture", **{"18": "cnn1d"}), 18, "takes a sequence, and is given an image"),
    (changed("architecture", **{"18": "batchNorm1d"}), 18, "takes features or a sequence"),
    (changed("input_shape", input_shape1=None), None, "input_shape.input_shape1: is missing"),
    (net("Flatten", "output"), 2, "label_shape of input_shape, is missing"),
    (net("lstm", shape=(10, 3)), 1, "number of units, cn1, is missing"),
    (net("Flatten", "Flatten", "Upsample"), 3, "takes an image, and is given features"),
]
"""Each key is right, but the layers do not fit together."""
MALFORMED: list[Refusal] = [
    (changed("skip_connection", **{"0": "1"}), None, "skip_connection.0: "),
    (changed("kernel", kernel10=0), None, "kernel.kernel10: input should be greater"),
    (changed("kernel", kernel10=1.5), None, "kernel.kernel10: expected a whole number"),
    (changed("kernel", kernel10=True), None, "kernel.kernel10: expected a whole number"),
    (changed("kernel", kernel10=[1, 1]), None, "kernel.kernel10: expected a whole number"),
    (changed("kernel", kernel10="-1"), None, "kernel.kernel10: expected a whole number"),
    (changed("kernel", kernel10=10**12), None, "kernel.kernel10: input should be less"),
    (changed("kernel", size=3), None, "kernel.size: expected the keys kernel1, kernel2, ..."),
    (
        changed("architecture", **{"7": "trippleConv"}),
        7,
        "trippleConv is not a layer; .*doubleConv",
    ),
    (changed("architecture", **{"7": "a b\n"}), 7, r"\(unprintable\) is not a layer"),
    (changed("architecture", **{"7": {"1": "relu"}}), 7, "what stands there is not a layer"),
    (changed("architecture", **{"07": "relu"}), None, "architecture.07: "),
    (changed("input_shape", input_shape0=None), None, "input_shape.input_shape0: is missing"),
    (changed("input_shape", input_shape3=3), None, "input_shape.input_shape3: is not a key"),
    (changed("data_format", data_format="NCHW"), None, "data_format: expected channels_first or"),
    (changed("backend", backend="jax"), None, "backend: expected pytorch or tensorflow"),
    (unet() | {"optimizer": {}}, None, "optimizer: is not a key of the format"),
    (unet() | {"architecture": ["relu"]}, None, "architecture: input should be a valid dict"),
    (unet() | {"architecture": {}}, None, "architecture: "),
    ({}, None, "input_shape: is missing"),
]
"""A key or value is wrong, which the schema says too."""
REFUSED = [*UNFIT, *MALFORMED]


@pytest.mark.parametrize(
    ("content", "layer", "reason"), REFUSED, ids=[reason[:30] for _, _, reason in REFUSED]
)
def test_what_cannot_be_built_is_refused_with_the_layer_and_the_reason(
    content: dict[str, Any], layer: int | None, reason: str
) -> None:
    with pytest.raises(ArchitectureError, match=reason) as caught:
        parse_architecture(json.dumps(content))
    assert isinstance(caught.value, PrereadError)
    assert caught.value.layer == layer
    assert "\n" not in str(caught.value)
    assert ("layer" in str(caught.value)) or layer is None
    with pytest.raises(ArchitectureError, match=reason):
        parse_architecture(copy.deepcopy(content))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is not JSON"),
        ("{", "is not JSON: .*line 1"),
        ("[]", "expected a JSON object"),
        ("null", "expected a JSON object"),
        (b"\xff\xfe\x00", "is not JSON"),
        (b"{\x80}", "is not JSON"),
        ("[" * 200_000, "too deeply nested"),
        ('{"a":' * 50_000, "too deeply nested"),
        ('{"architecture": ' + "9" * 100_000 + "}", "is not JSON that can be read"),
        ('{"architecture": {"1": "relu", "1": "tanh"}}', "the key 1 stands there twice"),
        (" " * 262_145, "longer than the 262144 characters"),
        ('{"kernel": NaN}', "input_shape: is missing"),
    ],
)
def test_text_that_is_no_architecture(text: str | bytes, reason: str) -> None:
    with pytest.raises(ArchitectureError, match=reason) as caught:
        parse_architecture(text)
    assert caught.value.layer is None


def test_a_dictionary_that_holds_itself() -> None:
    content = unet()
    content["architecture"]["1"] = content["architecture"]
    with pytest.raises(ArchitectureError, match="what stands there is not a layer"):
        parse_architecture(content)


ENORMOUS: list[tuple[dict[str, Any], str, int | None]] = [
    (net("dense", shape=(100_000,), convolutional={"cn1": 100_000}), "parameters", 1),
    (
        net(*["dense"] * 3, shape=(9,), convolutional={f"cn{n}": 10**9 for n in (1, 2, 3)}),
        "parameters",
        1,
    ),
    (net("relu", shape=(10**9, 10**9, 3)), "activations", None),
    (net(*["Upsample"] * 999), "activations", 11),
    (
        net(*["relu"] * 40, skip_connection={str(n): n + 1 for n in range(1, 40)}),
        "activations",
        22,
    ),
    (
        net(
            "cnn2d",
            shape=(1, 1, 1),
            convolutional={"cn1": 1},
            kernel={"kernel1": 1},
            stride={"stride": 10**9},
            padding_conv={"padding_conv": 10**8},
        ),
        "activations",
        1,
    ),
    (
        net(
            "cnn2d",
            shape=(2000, 2000, 1),
            convolutional={"cn1": 1},
            kernel={"kernel1": 1001},
            padding_conv={"padding_conv": 500},
        ),
        "operations",
        1,
    ),
    (net("gru", shape=(10**6, 1), convolutional={"cn1": 10**4}), "parameters", 1),
]


@pytest.mark.parametrize(("content", "limit", "layer"), ENORMOUS)
def test_what_is_enormous_is_refused_before_anything_is_allocated(
    content: dict[str, Any], limit: str, layer: int | None
) -> None:
    tracemalloc.start()
    try:
        with pytest.raises(ArchitectureError, match=f"exceeds the limit of .* {limit}") as caught:
            parse_architecture(content)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert caught.value.layer == layer
    assert peak < 4 * 1024**2


@pytest.mark.parametrize("name", ["parameters", "activations", "operations", "layers"])
def test_limits_are_the_largest_that_is_allowed(name: str) -> None:
    network = parse_architecture(example("unet-small"))
    needed = len(network.layers) if name == "layers" else getattr(network, name)
    allowed = Limits(**{name: needed})
    assert parse_architecture(example("unet-small"), allowed) == network
    with pytest.raises(ArchitectureError, match=f"(limit of|at most) {needed - 1}"):
        parse_architecture(example("unet-small"), Limits(**{name: needed - 1}))


def test_sections_are_not_longer_than_layers_could_need() -> None:
    content = net("relu", kernel={f"kernel{number}": 1 for number in range(1, 1002)})
    with pytest.raises(ArchitectureError, match="kernel: has more entries"):
        parse_architecture(content)


def test_the_published_schema_is_that_of_the_parser() -> None:
    assert published_schema() == schema_text()
    jsonschema.Draft202012Validator.check_schema(json.loads(published_schema()))
    assert set(json.loads(published_schema())["properties"]) >= {
        *("input_shape", "architecture", "convolutional", "kernel", "pooling", "stride"),
        *("padding", "padding_conv", "skip_connection", "data_format", "backend"),
    }


def test_the_schema_knows_every_layer() -> None:
    for name in LAYER_NAMES:
        assert SCHEMA.is_valid(net(name))
    assert not SCHEMA.is_valid(net("transformer"))
    assert len(LAYER_NAMES) == 27


def test_the_schema_refuses_wrong_keys_and_values_and_nothing_else() -> None:
    for content, _, reason in UNFIT:
        assert SCHEMA.is_valid(content), reason
    for content, _, reason in MALFORMED:
        assert not SCHEMA.is_valid(content), reason


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(
    section=st.sampled_from(sorted(unet())),
    key=st.text(max_size=8) | st.sampled_from(["1", "7", "cn1", "kernel1", "pool1", "stride"]),
    value=JSON_VALUES,
    whole=st.booleans(),
)
def test_nothing_but_its_own_error_escapes(section: str, key: str, value: Any, whole: bool) -> None:
    content = unet()
    content[section] = value if whole else content[section] | {key: value}
    with contextlib.suppress(ArchitectureError):
        assert SCHEMA.is_valid(json.loads(parse_architecture(content).to_json()))


def test_torch_is_not_needed() -> None:
    code = (
        "import sys; from preread.iodeep.architecture import parse_architecture; "
        "from preread.iodeep.architecture_files import example; "
        "parse_architecture(example('unet')); "
        "assert not {'torch', 'keras', 'numpy'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
