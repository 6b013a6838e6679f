from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch

from preread.models.architectures import HEADS, blueprint, build, shapes
from preread.models.card import SMALLEST_SIDE, ArchitectureName, InvalidModelError
from preread.models.weights import (
    load_network,
    load_pretrained,
    parse_weights,
    read_weights,
    sha256_of,
    weights_bytes,
    write_atomically,
)
from preread.training.normalisation import is_folded

SMALL = ArchitectureName.MOBILENET_V2


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_each_network_is_built_saved_and_loaded(
    architecture: ArchitectureName, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    network = build(architecture, 5).eval()
    expected = shapes(blueprint(architecture, 5))
    assert expected == shapes(network)
    assert expected[f"{HEADS[architecture]}.bias"] == (5,)
    data = weights_bytes(network, half=False)
    path = tmp_path / "weights.safetensors"
    write_atomically(path, data)
    loaded = load_network(path, sha256_of(data), architecture, 5)
    assert not loaded.training
    side = SMALLEST_SIDE[architecture]
    image = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network(image))


def test_half_precision_halves_the_file_and_is_near() -> None:
    torch.manual_seed(1)
    network = build(SMALL, 3)
    whole, half = (weights_bytes(network, half=flag) for flag in (False, True))
    assert len(half) < 0.52 * len(whole)
    full = parse_weights(whole, "a")
    for name, array in parse_weights(half, "b").items():
        assert array.dtype == np.float16
        assert np.allclose(array, full[name], rtol=1e-3, atol=1e-6)


def test_numbers_that_do_not_fit_are_not_written() -> None:
    network = build(SMALL, 3)
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] = 1e6
    weights_bytes(network, half=False)
    with pytest.raises(InvalidModelError, match="not finite or too large"):
        weights_bytes(network, half=True)
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] = float("inf")
    with pytest.raises(InvalidModelError, match="not finite or too large"):
        weights_bytes(network, half=False)


def test_another_last_layer_is_left_as_it_was(tmp_path: Path) -> None:
    torch.manual_seed(1)
    other, network = build(SMALL, 1000), build(SMALL, 3)
    path = tmp_path / "start.safetensors"
    path.write_bytes(weights_bytes(other, half=False))
    head = network.state_dict()["classifier.1.weight"].clone()
    assert load_pretrained(network, path, SMALL) == sha256_of(path.read_bytes())
    state = network.state_dict()
    assert torch.equal(state["classifier.1.weight"], head)
    name = "features.0.0.weight"
    assert torch.equal(state[name], other.state_dict()[name])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"w\.safetensors: features\.0\.0\.weight is missing"),
        ("strange", r"w\.safetensors: 'zzz' is no weight of this network"),
        (
            "shape",
            r"w\.safetensors: features\.0\.0\.weight: shape \(1,\), expected \(32, 3, 3, 3\)",
        ),
        ("nan", r"w\.safetensors: features\.0\.0\.weight: holds numbers that are not finite"),
        ("type", r"w\.safetensors: 'features\.0\.0\.weight': expected float16, float32 or int8"),
    ],
)
def test_weights_that_do_not_fit_are_refused(change: str, message: str, tmp_path: Path) -> None:
    arrays = parse_weights(weights_bytes(build(SMALL, 3), half=False), "w")
    name = "features.0.0.weight"
    match change:
        case "missing":
            del arrays[name]
        case "strange":
            arrays["zzz"] = np.zeros(1, dtype=np.float32)
        case "shape":
            arrays[name] = np.zeros(1, dtype=np.float32)
        case "nan":
            arrays[name] = np.full((32, 3, 3, 3), np.nan, dtype=np.float32)
        case "type":
            arrays[name] = np.zeros((32, 3, 3, 3), dtype=np.int64)
    data = safetensors.numpy.save(arrays)
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidModelError, match=message):
        load_network(path, sha256_of(data), SMALL, 3)


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\x80\x04\x95",  # a pickle
        b"\xff" * 64,
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_what_is_no_safetensors_file_is_refused(data: bytes, tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidModelError, match=r"w\.safetensors: not a safetensors file"):
        load_network(path, sha256_of(data), SMALL, 3)


def test_sizes_are_checked_before_reading_all(tmp_path: Path) -> None:
    path = tmp_path / "models" / "w.safetensors"
    path.parent.mkdir()
    with path.open("wb") as file:
        file.truncate(2**33)  # sparse
    with pytest.raises(InvalidModelError, match=r"models/w\.safetensors: larger than"):
        load_network(path, "0" * 64, SMALL, 3)
    with pytest.raises(InvalidModelError, match=r"gone\.safetensors: cannot be read"):
        read_weights(tmp_path / "gone.safetensors", "0" * 64)


@pytest.mark.shared_data
def test_imagenet_weights_load_and_are_folded() -> None:
    root = Path(__file__).parents[3]
    path = root.parent / "shared" / "data" / "weights" / "mobilenet_v2_imagenet.safetensors"
    if not path.exists():
        pytest.skip(f"{path.name} is not beside the project (shared/data/weights)")
    network = build(SMALL, 3)
    load_pretrained(network, path, SMALL)
    assert is_folded(network)
