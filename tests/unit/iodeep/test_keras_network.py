"""Keras gives what torch gives, and what a node runs, from the same weights."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.keras_files import KerasError, weights_of
from preread.iodeep.torch_network import build as build_torch
from tests.unit.iodeep.layer_by_layer import architectures
from tests.unit.iodeep.trained_networks import answer, arrays_of_module, ran, trained

os.environ.setdefault("KERAS_BACKEND", "torch")
h5py = pytest.importorskip("h5py", reason="the extra `keras` is not installed")
keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")

from preread.iodeep import keras_network  # noqa: E402 - Keras reads its backend when imported

# Keras 3.15 under numpy 2; of no consequence here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONTENTS = architectures() | {"unet-small": example("unet-small")}


def _batch(architecture: Architecture) -> Any:
    return np.random.default_rng(0).normal(size=(3, *architecture.input_shape)).astype(np.float32)


def _output(model: Any, batch: Any) -> Any:
    return keras.ops.convert_to_numpy(model(batch, training=False))


@pytest.mark.parametrize("name", CONTENTS)
def test_the_same_weights_give_the_same_output(name: str) -> None:
    architecture = parse_architecture(CONTENTS[name])
    network = trained(architecture)
    model = keras_network.build(architecture)
    batch = _batch(architecture)
    expected = answer(network, batch)
    assert not np.allclose(_output(model, batch), expected, atol=1e-5)
    keras_network.load_arrays(model, architecture, arrays_of_module(network))
    found = _output(model, batch)
    assert found.shape == (3, *architecture.output_shape)
    assert np.allclose(found, expected, atol=1e-4 if name == "unet-small" else 1e-5)
    # And what a node runs gives the same as what Keras has trained.
    assert np.abs(ran(architecture, arrays_of_module(network), batch) - found).max() <= 1e-4


@pytest.mark.parametrize("suffix", [".weights.h5", ".keras"])
def test_weights_come_back_from_a_file(tmp_path: Path, suffix: str) -> None:
    architecture = parse_architecture(CONTENTS["u-net-channels_last"])
    batch = _batch(architecture)
    model = keras_network.build(architecture)
    path = tmp_path / f"net{suffix}"
    (model.save_weights if suffix == ".weights.h5" else model.save)(path)
    other = keras_network.build(architecture)
    assert not np.allclose(_output(other, batch), _output(model, batch), atol=1e-5)
    keras_network.load_file(other, path)
    assert np.array_equal(_output(other, batch), _output(model, batch))


def test_a_file_for_another_network_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.weights.h5"
    keras_network.build(parse_architecture(CONTENTS["strided-channels_last"])).save_weights(path)
    other = keras_network.build(parse_architecture(CONTENTS["u-net-channels_last"]))
    with pytest.raises(KerasError, match=r"net.weights.h5: is not a file of weights for"):
        keras_network.load_file(other, path)


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("net.weights.h5", b"no HDF5"),
        ("net.keras", b"no zip"),
        ("net.weights.h5", b""),
        ("absent.weights.h5", None),
        ("net.pth", b""),
        ("net.h5", b""),
    ],
)
def test_what_is_no_file_of_weights(tmp_path: Path, name: str, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    model = keras_network.build(parse_architecture(CONTENTS["features-channels_last"]))
    with pytest.raises(KerasError, match=f"^{name}: ") as caught:
        keras_network.load_file(model, tmp_path / name)
    assert str(tmp_path) not in str(caught.value)


def _linked(file: Any) -> None:
    file["elsewhere"] = h5py.ExternalLink("other.h5", "/")


def _soft(file: Any) -> None:
    file["again"] = h5py.SoftLink("/")


def _outside(file: Any) -> None:
    file.create_dataset("outside", (4,), "f4", external=[("/etc/hostname", 0, 16)])


def _bomb(file: Any) -> None:
    file.create_dataset("bomb", (10**6, 10**4), "f4", chunks=(1000, 1000), compression="gzip")


def _circle(file: Any) -> None:
    file.create_group("inner")["outer"] = file["/"]


def _virtual(file: Any) -> None:
    layout = h5py.VirtualLayout((4,), "f4")
    layout[:] = h5py.VirtualSource("other.h5", "data", (4,))
    file.create_virtual_dataset("virtual", layout)


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (_linked, "holds a link"),
        (_soft, "holds a link"),
        (_outside, "refers to data outside itself"),
        (_virtual, "refers to data outside itself"),
        (_bomb, "is too large for this architecture"),
        (_circle, "holds too many groups"),
    ],
)
def test_a_file_that_leads_elsewhere_or_is_a_bomb_is_refused(
    tmp_path: Path, spoil: Any, reason: str
) -> None:
    path = tmp_path / "net.weights.h5"
    with h5py.File(path, "w") as file:
        spoil(file)
    with pytest.raises(KerasError, match=f"^net.weights.h5: {reason}"), weights_of(path, 100):
        raise AssertionError


def test_an_archive_that_unpacks_to_too_much_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "net.keras"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("model.weights.h5", bytes(32 * 1024**2))
    with pytest.raises(KerasError, match="too large"), weights_of(path, 100):
        raise AssertionError


def test_the_description_inside_a_keras_file_is_not_read(tmp_path: Path) -> None:
    model = keras_network.build(parse_architecture(CONTENTS["features-channels_last"]))
    model.save(tmp_path / "net.keras")
    with zipfile.ZipFile(tmp_path / "net.keras") as whole:
        weights = whole.read("model.weights.h5")
    with zipfile.ZipFile(tmp_path / "without.keras", "w") as bare:
        bare.writestr("model.weights.h5", weights)
        bare.writestr("config.json", '{"module": "os", "class_name": "system"}')
    keras_network.load_file(model, tmp_path / "without.keras")


def test_weights_that_are_missing_or_of_another_shape() -> None:
    architecture = parse_architecture(CONTENTS["features-channels_last"])
    arrays = arrays_of_module(build_torch(architecture))
    model = keras_network.build(architecture)
    with pytest.raises(KerasError, match=r"layers.4.0.bias is missing"):
        keras_network.load_arrays(
            model, architecture, {k: v for k, v in arrays.items() if k != "layers.4.0.bias"}
        )
    arrays["layers.1.0.weight"] = arrays["layers.1.0.weight"].T
    with pytest.raises(KerasError, match=r"layers.1.0.weight has the shape \(6, 5\)"):
        keras_network.load_arrays(model, architecture, arrays)


def test_without_keras_the_error_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "keras", None)
    with pytest.raises(KerasError, match=r"pip install '\.\[keras\]'"):
        keras_network.build(parse_architecture(CONTENTS["features-channels_last"]))


def test_keras_is_imported_only_when_a_model_is_built() -> None:
    code = "import sys, preread.iodeep.keras_network; assert 'keras' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
