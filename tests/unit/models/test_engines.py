"""Engines run the ONNX that lies in the folder, and give what torch gives."""

from __future__ import annotations

import builtins
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preread.models.backbones import RECORDS
from preread.models.card import (
    CARD,
    NETWORK,
    WEIGHTS,
    ArchitectureName,
    BackboneFacts,
    InvalidModelError,
    card_text,
    read_card,
)
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.ensemble import Ensemble
from preread.models.weights import sha256_of
from tests.unit.models.conftest import taken_apart

EQUAL = 1e-4
ENGINES = ("openvino", "onnxruntime", "torch")


def images(count: int, size: int) -> Any:
    return np.random.default_rng(3).standard_normal((count, 3, size, size)).astype(np.float32)


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_engines_give_the_same_features_and_maps(
    architecture: ArchitectureName, add_network: Any, folder: Path
) -> None:
    add_network("net", architecture)
    model, batch = Catalogue.load(folder)["net"], images(3, 96)
    expected = make_engine("torch", 1).load(model)
    for name in ("openvino", "onnxruntime"):
        loaded = make_engine(name, 1).load(model)
        assert loaded.engine == name
        for found, wanted in (
            (loaded.features(batch), expected.features(batch)),
            (loaded.maps(batch), expected.maps(batch)),
        ):
            assert found.dtype == np.float32
            assert found.shape == wanted.shape
            assert np.abs(found - wanted).max() <= EQUAL * np.abs(wanted).max()
        # What stands for an image is the mean of its map, to the last layer and to a viewer.
        means = loaded.maps(batch).mean(axis=(2, 3))
        assert means.shape == (3, RECORDS[architecture].width)
        assert np.abs(means - loaded.features(batch)).max() <= EQUAL * np.abs(means).max()


def test_a_network_runs_without_torch(add_network: Any, folder: Path) -> None:
    add_network("net")
    ensemble = Ensemble(Catalogue.load(folder), "openvino", 1)
    expected = ensemble.predict("net", images(1, 96)).probabilities
    program = f"""
import sys
from pathlib import Path
import numpy as np
from preread.models.attention import Attention
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
batch = np.random.default_rng(3).standard_normal((1, 3, 96, 96)).astype(np.float32)
catalogue = Catalogue.load(Path({str(folder)!r}))
print(Ensemble(catalogue, "openvino", 1).predict("net", batch).probabilities.tolist())
assert Attention("openvino", 1).map(catalogue["net"], batch[0], 1).shape == (3, 3)
assert not {{"torch", "torchvision", "timm", "onnx", "onnxruntime", "captum"}} & set(sys.modules)
assert not sys.modules.get("openvino_telemetry")
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert np.allclose(json.loads(done.stdout), expected, atol=1e-6)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("file", [WEIGHTS, NETWORK])
def test_changed_files_are_refused(engine: str, file: str, add_network: Any, folder: Path) -> None:
    place = add_network("net")
    data = bytearray((place / file).read_bytes())
    data[-5] ^= 1
    (place / file).write_bytes(data)
    with pytest.raises(InvalidModelError, match=rf"net/{file.replace('.', '[.]')}: its SHA-256"):
        Ensemble(Catalogue.load(folder), engine, 1)


@pytest.mark.parametrize("engine", ENGINES)
def test_a_network_of_another_architecture_is_refused(
    engine: str, add_network: Any, folder: Path
) -> None:
    place = add_network("net")
    card = read_card(place).model_copy(update={"Architecture": ArchitectureName.RESNET50_V2})
    (place / CARD).write_text(card_text(card))
    model = Catalogue.load(folder)["net"]
    expected = "is missing" if engine == "torch" else "preread models convert"
    with pytest.raises(InvalidModelError, match=rf"net/model\.onnx: .*{expected}"):
        make_engine(engine, 1).load(model)


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("data", [b"", b"none", b"\x08\x08", b"\0" * 1000])
def test_what_is_no_network_is_refused(
    engine: str, data: bytes, add_network: Any, folder: Path
) -> None:
    place = add_network("net")
    (place / NETWORK).write_bytes(data)
    facts = BackboneFacts(File=NETWORK, SHA256=sha256_of(data), Precision="float32")
    card = read_card(place).model_copy(update={"Backbone": facts})
    (place / CARD).write_text(card_text(card))
    with pytest.raises(InvalidModelError, match=r"net/model\.onnx: ") as told:
        make_engine(engine, 1).load(Catalogue.load(folder)["net"])
    assert "\n" not in str(told.value)


def test_one_network_takes_images_of_any_size(add_network: Any, folder: Path) -> None:
    network, _ = taken_apart()
    for size in (64, 96):
        add_network(f"net{size}", size=size)
        (folder / f"net{size}" / NETWORK).write_bytes(network)
        card = read_card(folder / f"net{size}")
        facts = card.Backbone.model_copy(update={"SHA256": sha256_of(network)})
        card = card.model_copy(update={"Backbone": facts})
        (folder / f"net{size}" / CARD).write_text(card_text(card))
    catalogue = Catalogue.load(folder)
    for engine in ENGINES:
        made = make_engine(engine, 1)
        for size in (64, 96):
            found = made.load(catalogue[f"net{size}"]).features(images(2, size))
            assert found.shape == (2, 1280)


def test_weights_of_another_network_are_refused(add_network: Any, folder: Path) -> None:
    place = add_network("net")
    card = read_card(place)
    four = card.model_copy(update={"Classes": ("a", "b", "c", "d")})
    (place / CARD).write_text(card_text(four))
    with pytest.raises(InvalidModelError, match=r"classifier\.1\.\w+: shape \(3.*expected \(4"):
        Ensemble(Catalogue.load(folder), "openvino", 1)


def test_wrong_batch_is_refused(add_network: Any, folder: Path) -> None:
    add_network("net")
    ensemble = Ensemble(Catalogue.load(folder), "openvino", 1)
    for shape in ((1, 3, 95, 96), (0, 3, 96, 96), (3, 96, 96)):
        with pytest.raises(ValueError, match="expected a batch of"):
            ensemble.predict("net", np.zeros(shape, dtype=np.float32))
    with pytest.raises(InvalidModelError, match="not in the catalogue"):
        ensemble.predict("other", images(1, 96))


@pytest.mark.parametrize("name", ["tensorflow", "openvino-int8", ""])
def test_unknown_engine_is_refused(name: str) -> None:
    with pytest.raises(InvalidModelError, match="expected openvino, onnxruntime or torch"):
        make_engine(name)


@pytest.mark.parametrize("name", ["onnxruntime", "torch"])
def test_an_engine_that_is_not_installed_says_which_extra_brings_it(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    imported = builtins.__import__

    def without(module: str, *more: Any) -> Any:
        if module.partition(".")[0] == name:
            raise ImportError(module)
        return imported(module, *more)

    monkeypatch.delitem(sys.modules, name, raising=False)
    monkeypatch.delitem(sys.modules, "preread.models.torch_engine", raising=False)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(InvalidModelError, match=rf"{name} is not installed.* extra `{name}`"):
        make_engine(name)
