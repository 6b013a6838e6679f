from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from preread.models.architectures import (
    backbone_blueprint,
    build_backbone,
    head_shapes,
    is_of_head,
    shapes,
)
from preread.models.backbones import RECORDS
from preread.models.card import CARD, ArchitectureName, InvalidModelError, card_text
from preread.models.catalogue import Catalogue
from preread.models.loading import load_backbone, load_whole, read_own
from preread.models.model import Model
from preread.models.weights import parse_weights, sha256_of, split_state, weights_bytes
from tests.unit.models.conftest import CLASSES, random_network

SMALL = ArchitectureName.MOBILENET_V2


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_a_network_is_its_backbone_and_a_linear_layer(
    architecture: ArchitectureName, add_sharing: Any, folder: Path
) -> None:
    network = random_network(architecture)
    add_sharing("net", architecture=architecture)
    model = Catalogue.load(folder)["net"]
    images = torch.randn(3, 3, 96, 96, generator=torch.Generator().manual_seed(1))
    own = read_own(model).head
    name = RECORDS[architecture].head
    weight = own[f"{name}.weight"].reshape(len(CLASSES), -1).astype(np.float64)
    with torch.inference_mode():
        expected = network(images).numpy()
        whole = load_whole(model)(images).numpy()
        features = load_backbone(model)(images).numpy()
    assert features.shape == (3, RECORDS[architecture].width)
    assert features.dtype == np.float32
    assert expected.std() > 0.01
    assert np.abs(whole - expected).max() <= 1e-4 * np.abs(expected).max()
    logits = features.astype(np.float64) @ weight.T + own[f"{name}.bias"]
    assert np.abs(logits - whole).max() <= 1e-5 * max(1.0, np.abs(expected).max())


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_shapes_are_known_without_building_anything(architecture: ArchitectureName) -> None:
    network = random_network(architecture)
    found = shapes(network)
    assert head_shapes(architecture, len(CLASSES)) == {
        name: shape for name, shape in found.items() if is_of_head(name, architecture)
    }
    rest = {name: shape for name, shape in found.items() if not is_of_head(name, architecture)}
    assert shapes(backbone_blueprint(architecture)) == rest
    assert shapes(build_backbone(architecture)) == rest
    backbone, head = split_state(network, architecture)
    assert {name: array.shape for name, array in backbone.items()} == rest
    assert head.keys() == head_shapes(architecture, len(CLASSES)).keys()


def test_a_model_has_a_network_of_its_own_or_shares_one(
    add_network: Any, add_sharing: Any, folder: Path
) -> None:
    add_network("own")
    add_sharing("sharing")
    catalogue = Catalogue.load(folder)
    assert catalogue["own"].backbone == folder / "own" / "model.onnx"
    assert catalogue["sharing"].backbone == folder / "backbones" / "MobileNetV2.onnx"
    assert catalogue["own"].backbone_sha256 == catalogue["sharing"].backbone_sha256
    novelty = {"novelty.mean": np.ones(3, dtype=np.float32)}
    head = parse_weights(catalogue["own"].weights.read_bytes(), "w")
    model = rewritten(catalogue["own"], weights_bytes(head | novelty))
    own = read_own(model)
    assert own.head.keys() == head_shapes(SMALL, 3).keys()
    assert own.novelty.keys() == novelty.keys()
    assert load_backbone(model)(torch.randn(2, 3, 96, 96)).shape == (2, 1280)


def rewritten(model: Model, data: bytes) -> Model:
    """Put other weights into a model's own file, and their digest on its card."""
    model.weights.write_bytes(data)
    card = model.card.model_copy(update={"WeightsSHA256": sha256_of(data)})
    (model.folder / CARD).write_text(card_text(card))
    return Model(model.name, card, model.folder)


def with_backbone(model: Model, data: bytes) -> Model:
    """Put another backbone into its file, and its digest on the card."""
    model.backbone.write_bytes(data)
    shared = model.card.Backbone.model_copy(update={"SHA256": sha256_of(data)})
    return Model(model.name, model.card.model_copy(update={"Backbone": shared}), model.folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"net/weights\.safetensors: classifier\.1\.bias is missing"),
        ("strange", r"'features\.0\.0\.weight' is no weight of this network"),
        ("classes", r"classifier\.1\.\w+: shape \(2.*expected \(3"),
        ("nan", r"classifier\.1\.bias: holds numbers that are not finite"),
        ("large", r"net/weights\.safetensors: larger than the"),
        ("digest", r"net/weights\.safetensors: its SHA-256 is not the one on the card"),
    ],
)
def test_a_last_layer_that_does_not_fit_is_refused(
    change: str,
    message: str,
    add_sharing: Any,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    add_sharing("net")
    model = Catalogue.load(folder)["net"]
    arrays = parse_weights(model.weights.read_bytes(), "w")
    match change:
        case "missing":
            del arrays["classifier.1.bias"]
        case "strange":
            arrays["features.0.0.weight"] = np.zeros((32, 3, 3, 3), dtype=np.float32)
        case "classes":
            arrays = {name: array[:2] for name, array in arrays.items()}
        case "nan":
            arrays["classifier.1.bias"] = np.full(3, np.nan, dtype=np.float32)
        case "large":
            monkeypatch.setattr("preread.models.loading.NOVELTY_ROOM", -(4 * 1024**2))
    if change == "nan":
        import safetensors.numpy

        data = safetensors.numpy.save(arrays)
    else:
        data = weights_bytes(arrays)
    if change == "digest":
        model.weights.write_bytes(data + b" ")
    else:
        model = rewritten(model, data)
    with pytest.raises(InvalidModelError, match=message):
        read_own(model)
    with pytest.raises(InvalidModelError, match=message):
        load_whole(model)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ("missing", r"backbones/MobileNetV2\.onnx: features\.0\.0\.weight is missing"),
        ("strange", r"'other\.weight' is no weight of this network"),
        ("shape", r"features\.0\.0\.weight: shape \(16.*expected \(32"),
        ("nan", r"features\.0\.0\.weight: holds numbers that are not finite"),
        ("none", r"backbones/MobileNetV2\.onnx: not an ONNX file"),
    ],
)
def test_a_backbone_that_does_not_fit_is_refused(
    change: str, message: str, add_sharing: Any, folder: Path
) -> None:
    file = add_sharing("net")
    model = Catalogue.load(folder)["net"]
    network = onnx.load_from_string(file.read_bytes())
    stored = {one.name: one for one in network.graph.initializer}
    first = next(one for one in network.graph.node if one.op_type == "Conv")
    kernel = onnx.numpy_helper.to_array(stored["features.0.0.weight"])
    match change:
        case "missing":
            network.graph.node.remove(first)
        case "strange":
            network.graph.node.add().CopyFrom(first)
            network.graph.node[-1].input[1] = "other.weight"
            network.graph.initializer.append(onnx.numpy_helper.from_array(kernel, "other.weight"))
        case "shape":
            made = onnx.numpy_helper.from_array(kernel[:16], "features.0.0.weight")
            stored["features.0.0.weight"].CopyFrom(made)
        case "nan":
            made = onnx.numpy_helper.from_array(kernel * np.nan, "features.0.0.weight")
            stored["features.0.0.weight"].CopyFrom(made)
    data = b"none" if change == "none" else network.SerializeToString()
    model = with_backbone(model, data)
    for load in (load_backbone, load_whole):
        with pytest.raises(InvalidModelError, match=message):
            load(model)


@pytest.mark.parametrize("load", [load_backbone, load_whole])
def test_a_changed_backbone_is_refused(load: Any, add_sharing: Any, folder: Path) -> None:
    file = add_sharing("net")
    model = Catalogue.load(folder)["net"]
    data = bytearray(file.read_bytes())
    data[-5] ^= 1
    file.write_bytes(data)
    with pytest.raises(InvalidModelError, match=r"backbones/Mob\w+\.onnx: its SHA-256"):
        load(model)


@pytest.mark.parametrize("load", [load_backbone, load_whole])
def test_an_oversized_backbone_is_not_read(load: Any, add_sharing: Any, folder: Path) -> None:
    file = add_sharing("net")
    model = Catalogue.load(folder)["net"]
    with file.open("wb") as opened:
        opened.truncate(2**33)  # sparse
    with pytest.raises(InvalidModelError, match=r"backbones/Mob\w+\.onnx: larger than"):
        load(model)


def test_links_that_lead_out_are_not_followed(
    add_sharing: Any, folder: Path, tmp_path: Path
) -> None:
    file = add_sharing("net")
    model = Catalogue.load(folder)["net"]
    for path, loads in (
        (model.weights, (read_own, load_whole)),
        (file, (load_backbone, load_whole)),
    ):
        path.rename(tmp_path / path.name)
        path.symlink_to(tmp_path / path.name)
        for load in loads:
            with pytest.raises(InvalidModelError, match="leads out of the folder of models"):
                load(model)
        path.unlink()
        (tmp_path / path.name).rename(path)
    load_whole(model)
