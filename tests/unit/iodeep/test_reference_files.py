"""``preread iodeep build``: the files that the frameworks make of an architecture."""

from __future__ import annotations

import io
import json
import os
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from typer.testing import CliRunner, Result

from preread.cli import app
from preread.errors import PrereadError, SettingsError
from preread.iodeep.architecture import parse_architecture
from preread.iodeep.making import safetensors_of
from preread.iodeep.reference_files import SUFFIXES, reference_file
from preread.iodeep.torch_network import build
from tests.unit.iodeep.layer_by_layer import architectures
from tests.unit.iodeep.trained_networks import answer, arrays_of_module, trained

os.environ.setdefault("KERAS_BACKEND", "torch")

# Keras 3.15 under numpy 2; of no consequence here.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

CONTENTS = architectures()


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["iodeep", "build", *map(str, arguments)])


@pytest.fixture
def net(tmp_path: Path) -> Path:
    file = tmp_path / "net.json"
    file.write_text(json.dumps(CONTENTS["u-net-channels_last"]), encoding="utf-8")
    return file


def _batch(shape: tuple[int, ...], size: int = 3) -> Any:
    return np.random.default_rng(0).normal(size=(size, *shape)).astype(np.float32)


@pytest.mark.parametrize("name", CONTENTS)
def test_torchscript_gives_what_the_network_gives(name: str) -> None:
    architecture = parse_architecture(CONTENTS[name])
    network = trained(architecture)
    data = reference_file(architecture, "pytorch", "model.pt", arrays_of_module(network))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        loaded = torch.jit.load(io.BytesIO(data))  # type: ignore[no-untyped-call]
    batch = _batch(architecture.input_shape)
    assert np.allclose(answer(loaded, batch), answer(network, batch), atol=1e-6)
    # As the prototype's viewer does: the weights of the object go into the parser's model.
    loaded.load_state_dict(build(architecture).state_dict())
    assert not np.allclose(answer(loaded, batch), answer(network, batch), atol=1e-6)


def test_a_state_dictionary_is_what_an_object_is_made_of(net: Path, tmp_path: Path) -> None:
    done = run(net, "--backend", "pytorch", "--name", tmp_path / "net.pth")
    assert done.exit_code == 0, done.output
    assert "parameters" in done.output
    state = torch.load(tmp_path / "net.pth", weights_only=True)
    architecture = parse_architecture(net.read_bytes())
    build(architecture).load_state_dict(state)
    made = CliRunner().invoke(
        app,
        [
            *("iodeep", "create", "--architecture", str(net)),
            *("--weights", str(tmp_path / "net.pth"), "--modality", "MR", "--body-part", "HEAD"),
            *("--output", str(tmp_path / "net.dcm"), "--samples-per-pixel", "1"),
        ],
    )
    assert made.exit_code == 0, made.output


@pytest.mark.parametrize("suffix", SUFFIXES["tensorflow"])
def test_keras_saves_the_weights_that_it_was_given(net: Path, tmp_path: Path, suffix: str) -> None:
    keras = pytest.importorskip("keras", reason="the extra `keras` is not installed")
    from preread.iodeep import keras_network

    architecture = parse_architecture(net.read_bytes())
    network = trained(architecture)
    weights = tmp_path / "net.safetensors"
    weights.write_bytes(safetensors_of(arrays_of_module(network)))
    file = tmp_path / f"net{suffix}"
    done = run(net, "-b", "tensorflow", "-n", file, "--weights", weights)
    assert done.exit_code == 0, done.output
    if suffix == ".weights.h5":
        model = keras_network.build(architecture)
        keras_network.load_file(model, file)
    else:
        model = keras.models.load_model(file, compile=False)
    batch = _batch(architecture.input_shape)
    found = keras.ops.convert_to_numpy(model(batch, training=False))
    assert np.allclose(found, answer(network, batch), atol=1e-5)


def test_the_architectures_own_backend_is_the_default(net: Path, tmp_path: Path) -> None:
    assert run(net, "--name", tmp_path / "net.pth").exit_code == 0
    done = run(net, "--name", tmp_path / "net.keras")
    assert isinstance(done.exception, SettingsError)
    assert "expected a name that ends in .pth, .pt" in str(done.exception)


def test_what_cannot_be_built_is_told(net: Path, tmp_path: Path) -> None:
    taken = tmp_path / "taken.pth"
    taken.write_bytes(b"mine")
    wrong = tmp_path / "wrong.safetensors"
    wrong.write_bytes(safetensors_of({"a": np.zeros(1, np.float32)}))
    for options, reason in (
        (("--backend", "caffe", "--name", tmp_path / "net.pth"), "expected pytorch or tensorflow"),
        (("--backend", "tensorflow", "--name", tmp_path / "net.pth"), "ends in .keras"),
        (("--name", taken), "is there already"),
        (("--name", tmp_path / "net.pth", "--weights", wrong), "expected those of the layers"),
    ):
        done = run(net, *options)
        assert isinstance(done.exception, PrereadError), done.output
        assert reason in str(done.exception)
    assert taken.read_bytes() == b"mine"
    assert not (tmp_path / "net.pth").exists()


@pytest.mark.parametrize(
    ("module", "file", "extra"), [("torch", "net.pth", "torch"), ("keras", "net.keras", "keras")]
)
def test_without_the_framework_it_says_what_to_install(
    net: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, module: str, file: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    backend = "pytorch" if module == "torch" else "tensorflow"
    done = run(net, "--backend", backend, "--name", tmp_path / file)
    assert isinstance(done.exception, PrereadError)
    assert f"pip install '.[{extra}]'" in str(done.exception)
    assert not (tmp_path / file).exists()
