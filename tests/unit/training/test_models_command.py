"""``preread models``: old models converted, networks rounded, compared, read back."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from typer.testing import CliRunner

from preread.cli import app
from preread.errors import PrereadError
from preread.models.architectures import build_backbone, without_head
from preread.models.card import CARD, WEIGHTS, ArchitectureName, read_card
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.ensemble import Ensemble
from preread.models.onnx_weights import arrays_of
from preread.models.weights import load_pretrained, sha256_of, split_state, weights_bytes
from preread.training.onnx_making import onnx_of
from preread.training.onnx_rounding import Ranges, rounded
from tests.old_weights import in_8_bits
from tests.unit.models.conftest import make_card, random_network
from tests.unit.training.conftest import TwoSets, trained
from tests.unit.training.test_judging import OPTIONS

SMALL = ArchitectureName.MOBILENET_V2


def command(*arguments: object, fails: str = "") -> str:
    done = CliRunner().invoke(app, ["models", *map(str, arguments)])
    if fails:
        assert isinstance(done.exception, PrereadError), done.output
        assert fails in str(done.exception)
        assert "\n" not in str(done.exception)
    else:
        assert done.exit_code == 0, (done.output, done.exception)
    return done.output


def old_card(sha256: str, **changes: Any) -> dict[str, Any]:
    """Write the card of a model as they were before networks were ONNX."""
    told: dict[str, Any] = json.loads(make_card(sha256).model_dump_json(by_alias=True))
    told |= {"Backbone": None, "Quantization": {"ModelSHA256": "0" * 64}} | changes
    return told


@pytest.fixture
def old(tmp_path: Path) -> Path:
    """Make a folder of old models: one whole, two that share a backbone, one that judges by it."""
    folder = tmp_path / "old"
    network = random_network()
    backbone, head = split_state(network, SMALL)
    whole, shared, own = (
        weights_bytes(backbone | head),
        in_8_bits(backbone),
        weights_bytes(head),
    )
    (folder / "backbones").mkdir(parents=True)
    (folder / "backbones" / "Net.safetensors").write_bytes(shared)
    (folder / "backbones" / "Net.split.csv").write_text("file,part\n")
    facts = {"File": "backbones/Net.safetensors", "SHA256": sha256_of(shared), "Precision": "int8"}
    judged = {
        "Method": "none", "Threshold": 1.5, "HeldOutImages": 1, "HeldOutShare": 1,
        "Judge": facts | {"Architecture": SMALL},
    }  # fmt: skip
    taught = {"Name": "a", "WeightsSHA256": sha256_of(shared), "SplitSHA256": "0" * 64}
    for name, data, changes in (
        ("whole", whole, {}),
        ("a", own, {"Backbone": facts}),
        ("b", own, {"Backbone": facts, "OutOfDistribution": judged}),
    ):
        (folder / name).mkdir()
        (folder / name / WEIGHTS).write_bytes(data)
        (folder / name / "history.json").write_text("{}")
        told = old_card(sha256_of(data), **changes)
        if name == "b":
            told["Training"]["Teacher"] = taught
        (folder / name / CARD).write_text(json.dumps(told))
    return folder


def test_old_models_are_converted(old: Path, tmp_path: Path) -> None:
    before = {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    assert "3 models" in command("convert", old, tmp_path / "new")
    assert before == {path: path.read_bytes() for path in old.rglob("*") if path.is_file()}
    catalogue = Catalogue.load(tmp_path / "new")
    assert catalogue.names == ("a", "b", "whole")
    assert catalogue["whole"].backbone == tmp_path / "new" / "whole" / "model.onnx"
    shared = tmp_path / "new" / "backbones" / "Net.onnx"
    assert {catalogue[name].backbone for name in "ab"} == {shared}
    assert catalogue["b"].judge.backbone == shared
    teacher = catalogue["b"].card.Training.Teacher
    assert teacher is not None
    assert teacher.WeightsSHA256 == catalogue["a"].backbone_sha256
    assert shared.with_name("Net.split.csv").is_file()
    assert (tmp_path / "new" / "whole" / "history.json").is_file()
    assert {model.card.Quantization for model in catalogue} == {None}
    batch = np.random.default_rng(1).standard_normal((2, 3, 96, 96)).astype(np.float32)
    with torch.inference_mode():
        expected = random_network()(torch.from_numpy(batch)).softmax(dim=1).numpy()
    found = Ensemble(Catalogue.load(tmp_path / "new", ["whole"]), "openvino", 1)
    assert np.abs(found.predict("whole", batch).probabilities - expected).max() < 1e-4


def test_what_cannot_be_converted_is_told(old: Path, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    command("convert", tmp_path / "empty", tmp_path / "new", fails="empty: no folder with a card")
    command("convert", old, old, fails="old: is not empty")
    command("convert", old, tmp_path / "new")
    command("convert", tmp_path / "new", tmp_path / "newer", fails="there is nothing to convert")
    (old / "a" / WEIGHTS).write_bytes(b"none")
    command("convert", old, tmp_path / "third", fails="a/weights.safetensors: its SHA-256 is not")
    (old / "a" / CARD).write_text("[]")
    command("convert", old, tmp_path / "fourth", fails="a/card.json: expected a card with")


@pytest.fixture(scope="module")
def made(two_sets: TwoSets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made") / "models"
    trained(two_sets.listing, *two_sets.descriptions, *OPTIONS, "--output", folder / "net")
    trained(
        two_sets.listing, *two_sets.descriptions, *OPTIONS, "--output", folder / "student",
        "--teacher", folder / "net", "--architecture", "ResNet50V2",
    )  # fmt: skip
    return folder


def test_a_network_is_rounded_and_its_cards_say_so(
    made: Path, two_sets: TwoSets, tmp_path: Path
) -> None:
    models = shutil.copytree(made, tmp_path / "models")
    file = "backbones/student.onnx"
    told = command("quantize", models, file, two_sets.root)
    before, after = Catalogue.load(made), Catalogue.load(models)
    for name in ("student-Shapes", "student-Two"):
        card = after[name].card
        assert card.Backbone.Precision == "int8"
        assert card.Quantization is not None
        assert 0 < card.Quantization.LargestDifference < 0.5
        assert f"{name}: of {card.Quantization.TestImages} test images" in told
    assert after["net-Two"].card == before["net-Two"].card
    small, large = ((folder / file).stat().st_size for folder in (models, made))
    assert small < 0.4 * large
    command("quantize", models, file, two_sets.root, fails="is in 8 bits already")
    command("quantize", models, "backbones/none.onnx", two_sets.root, fails="no model has it")
    line = "stays as it is"
    command("quantize", models, "backbones/net-0.onnx", two_sets.root, fails="no model has it")
    command("quantize", models, "backbones/net.onnx", two_sets.root, fails=line)

    compared = json.loads(command("compare", made, models, two_sets.root, "--json", "--most", 99))
    assert [one["name"] for one in compared] == list(before.names)
    assert {one["largest"] > 0 for one in compared if one["name"].startswith("student")} == {True}
    assert {one["largest"] for one in compared if one["name"].startswith("net")} == {0.0}
    assert "changed class" in command("compare", made, made, two_sets.root, "--test-part")
    assert (
        sha256_of((models / file).read_bytes()) == read_card(models / "student-Two").Backbone.SHA256
    )


def test_weights_come_back_to_be_trained_on(made: Path, tmp_path: Path) -> None:
    command("weights", made, "net-Two", tmp_path / "net.safetensors")
    command("weights", made, "net-Two", tmp_path / "net.bin", fails="ends in .safetensors")
    command("weights", made, "none", tmp_path / "n.safetensors", fails="no model 'none'")
    batch = np.random.default_rng(1).standard_normal((2, 3, 32, 32)).astype(np.float32)
    expected = make_engine("openvino", 1).load(Catalogue.load(made)["net-Two"]).features(batch)
    for path in (tmp_path / "net.safetensors", made / "backbones" / "net.onnx"):
        network = build_backbone(SMALL)
        load_pretrained(network, path, SMALL)
        with torch.inference_mode():
            found = network.eval()(torch.from_numpy(batch)).numpy()
        assert np.abs(found - expected).max() <= 1e-4 * np.abs(expected).max()


def test_a_network_is_exported_in_float32(made: Path, tmp_path: Path) -> None:
    command("export", made, "net-Two", tmp_path / "net.onnx")
    written = onnx.load(tmp_path / "net.onnx")
    assert [one.name for one in written.graph.output] == ["features", "map"]
    assert written.producer_name == "preread"
    assert not any(node.op_type == "DequantizeLinear" for node in written.graph.node)
    command("export", made, "net-Two", tmp_path / "net.onnx", fails="a new file that ends in .onnx")


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_the_same_weights_are_the_same_file_and_batch_norm_is_folded(
    architecture: ArchitectureName,
) -> None:
    network = without_head(random_network(architecture), architecture)
    network.train()
    data = onnx_of(network, architecture)
    assert network.training
    assert onnx_of(network, architecture) == data
    kinds = [node.op_type for node in onnx.load_from_string(data).graph.node]
    # What follows a sum of branches cannot be folded.
    expected = {"ResNet50V2": 17, "ResNet101V2": 34}.get(architecture.value, 0)
    assert kinds.count("BatchNormalization") == expected


def test_what_was_rounded_before_is_not_rounded_again() -> None:
    network = without_head(random_network(), SMALL)
    random = np.random.default_rng(0)
    images = [random.standard_normal((1, 3, 64, 64)).astype(np.float32) for _ in range(4)]
    once = rounded(onnx_of(network, SMALL), images)
    first = arrays_of(once, SMALL, "n")
    load = build_backbone(SMALL)
    load.load_state_dict(
        {name: torch.from_numpy(array) for name, array in first.items()}, strict=False
    )
    twice = arrays_of(rounded(onnx_of(load.eval(), SMALL), images, Ranges.MINMAX), SMALL, "n")
    for name, array in first.items():
        assert np.allclose(array, twice[name], rtol=1e-5, atol=1e-7), name
    assert len(once) < 0.5 * len(onnx_of(network, SMALL))


def test_layers_stay_in_float_where_that_is_wanted() -> None:
    data = onnx_of(without_head(random_network(), SMALL), SMALL)
    images = [np.zeros((1, 3, 64, 64), np.float32)]

    def rounded_kernels(*in_float: str) -> set[str]:
        graph = onnx.load_from_string(rounded(data, images, in_float=in_float)).graph
        return {one.name for one in graph.initializer if one.data_type == onnx.TensorProto.INT8} - {
            one.name for one in graph.initializer if one.name.endswith(".zero")
        }

    everywhere = rounded_kernels()
    assert "features.0.0.weight" not in everywhere  # a small one
    assert "features.18.0.weight" in everywhere
    assert "features.18.0.weight" not in rounded_kernels("features.18")
    with pytest.raises(PrereadError, match="'other': no layer's name begins with that"):
        rounded(data, images, in_float=("other",))
