from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
from numpy.typing import NDArray

from preread.models.architectures import blueprint, build, shapes
from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName, InvalidModelError
from preread.models.weights import (
    NOVELTY_ROOM,
    check_fit,
    fill,
    largest_file,
    load_pretrained,
    name_of,
    parse_weights,
    read_weights,
    sha256_of,
    split_arrays,
    split_state,
    weights_bytes,
    write_atomically,
)
from preread.training.normalisation import is_folded
from tests.old_weights import in_half_precision


def load_network(
    path: Path, sha256: str, architecture: ArchitectureName, classes: int
) -> torch.nn.Module:
    """Build a network of a complete file, as what converts old models does."""
    network = blueprint(architecture, classes)
    expected = shapes(network)
    data = read_weights(path, sha256, largest_file(expected) + NOVELTY_ROOM)
    parts = split_arrays(parse_weights(data, name_of(path)), architecture)
    check_fit(parts.backbone | parts.head, expected, name_of(path))
    return fill(network, parts.backbone | parts.head).eval()


SMALL = ArchitectureName.MOBILENET_V2


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_each_network_is_built_saved_and_loaded(
    architecture: ArchitectureName, tmp_path: Path
) -> None:
    torch.manual_seed(1)
    network = build(architecture, 5).eval()
    expected = shapes(blueprint(architecture, 5))
    assert expected == shapes(network)
    assert expected[f"{RECORDS[architecture].head}.bias"] == (5,)
    arrays = {name: np.asarray(tensor) for name, tensor in network.state_dict().items()}
    data = weights_bytes(
        {key: array for key, array in arrays.items() if key in expected}
        | {"novelty.mean": np.zeros(3, dtype=np.float32)}
    )
    path = tmp_path / "weights.safetensors"
    write_atomically(path, data)
    loaded = load_network(path, sha256_of(data), architecture, 5)
    assert not loaded.training
    side = RECORDS[architecture].smallest_side
    image = torch.randn(1, 3, side, side)
    with torch.inference_mode():
        assert torch.equal(loaded(image), network(image))


def test_a_file_is_on_the_disk_before_it_has_its_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "weights"
    path.write_bytes(b"old")
    kept: list[tuple[bytes, bytes]] = []

    def fsync(descriptor: int) -> None:
        [beside] = set(tmp_path.iterdir()) - {path}
        assert os.fstat(descriptor).st_ino == beside.stat().st_ino
        kept.append((beside.read_bytes(), path.read_bytes()))

    monkeypatch.setattr(os, "fsync", fsync)
    write_atomically(path, b"new")
    assert kept == [(b"new", b"old")]
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("weights", b"new")]


def test_old_files_in_half_precision_are_read() -> None:
    network = build(SMALL, 3)
    full = parse_weights(weights_bytes(network), "a")
    for name, array in parse_weights(in_half_precision(full), "b").items():
        assert array.dtype == np.float16
        assert np.allclose(array, full[name], rtol=1e-3, atol=1e-6)


def test_numbers_that_are_not_finite_are_not_written() -> None:
    network = build(SMALL, 3)
    with torch.no_grad():
        next(network.parameters())[0, 0, 0, 0] = float("inf")
    with pytest.raises(InvalidModelError, match=r"weights: features\.0\.0\.weight is not finite"):
        weights_bytes(network)


def test_old_files_in_8_bits_are_read_as_floats() -> None:
    kernel = np.array([[-127, 64, 0], [3, 127, -1]], dtype=np.int8).reshape(2, 3, 1, 1)
    scale = np.array([0.5, 3e-3], dtype=np.float32)
    data = safetensors.numpy.save(
        {"kernel": kernel, "kernel.scale": scale, "bias": np.array([7, -7], dtype=np.float32)}
    )
    found = parse_weights(data, "w")
    assert found.keys() == {"kernel", "bias"}
    assert found["kernel"].dtype == np.float32
    assert np.allclose(
        found["kernel"].reshape(2, 3), [[-63.5, 32, 0], [0.009, 0.381, -0.003]], rtol=1e-6
    )
    assert np.array_equal(found["bias"], [7, -7])


@pytest.mark.parametrize(
    ("scale", "message"),
    [
        (None, r"w: matrix: 8-bit numbers without their \.scale"),
        (np.ones(3, np.float32), r"matrix\.scale: float32 of shape \(3,\), .* shape \(2,\)"),
        (np.ones((2, 1), np.float32), r"matrix\.scale: float32 of shape \(2, 1\)"),
        (np.ones(2, np.float16), r"matrix\.scale: float16"),
        (np.ones(2, np.int8), r"matrix\.scale: int8"),
        (np.array([1, np.nan], np.float32), r"matrix\.scale: expected finite numbers above 0"),
        (np.array([1, np.inf], np.float32), r"matrix\.scale: expected finite"),
        (np.array([1, 0], np.float32), r"matrix\.scale: expected finite"),
    ],
)
def test_eight_bits_without_a_fitting_scale_are_refused(scale: Any, message: str) -> None:
    arrays: dict[str, NDArray[Any]] = {"matrix": np.ones((2, 3), dtype=np.int8)}
    if scale is not None:
        arrays["matrix.scale"] = scale
    with pytest.raises(InvalidModelError, match=message):
        parse_weights(safetensors.numpy.save(arrays), "w")


def test_a_row_of_eight_bits_is_refused() -> None:
    arrays: dict[str, NDArray[Any]] = {
        "bias": np.ones(2, np.int8),
        "bias.scale": np.ones(2, np.float32),
    }
    with pytest.raises(InvalidModelError, match=r"w: bias\.scale: .*two dimensions or more"):
        parse_weights(safetensors.numpy.save(arrays), "w")


def test_a_scale_of_nothing_is_no_weight(tmp_path: Path) -> None:
    arrays = parse_weights(weights_bytes(build(SMALL, 3)), "w")
    arrays["features.0.0.weight.scale"] = np.ones(32, dtype=np.float32)
    data = safetensors.numpy.save(arrays)
    path = tmp_path / "w.safetensors"
    path.write_bytes(data)
    with pytest.raises(InvalidModelError, match=r"'features\.0\.0\.weight\.scale' is no weight"):
        load_network(path, sha256_of(data), SMALL, 3)


@pytest.mark.parametrize("alone", [False, True])
def test_another_last_layer_is_left_as_it_was(alone: bool, tmp_path: Path) -> None:
    torch.manual_seed(1)
    other, network = build(SMALL, 1000), build(SMALL, 3)
    path = tmp_path / "start.safetensors"
    path.write_bytes(weights_bytes(split_state(other, SMALL)[0] if alone else other))
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
    arrays = parse_weights(weights_bytes(build(SMALL, 3)), "w")
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
