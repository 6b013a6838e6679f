from __future__ import annotations

import hashlib
import shutil
from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn

import preread
from preread.models.architectures import build, build_backbone
from preread.models.backbones import RECORDS
from preread.models.card import CARD, NETWORK, ArchitectureName, card_text, read_card
from preread.models.card_facts import BackboneFacts
from preread.models.weights import load_pretrained, parse_weights
from preread.training import pretrained
from preread.training.errors import TrainingError
from preread.training.onnx_making import onnx_of
from preread.training.pretrained import (
    LIBRARY,
    check_same_split,
    pretrained_file,
    with_own_range,
)
from tests.unit.training.conftest import TwoSets, refused

SMALL = ArchitectureName.MOBILENET_V2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pretrained, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_every_network_has_a_size_and_published_weights() -> None:
    assert set(RECORDS) == set(ArchitectureName)
    assert RECORDS[ArchitectureName.INCEPTION_V3].native_side == 299
    assert {RECORDS[name].native_side for name in ArchitectureName if "Inception" not in name} == {
        224
    }


def test_nothing_is_asked_for_and_nothing_found() -> None:
    assert pretrained_file(None, SMALL) is None


def test_a_file_is_taken_as_it_is(tmp_path: Path) -> None:
    path = tmp_path / "w.safetensors"
    path.write_bytes(b"1")
    assert pretrained_file(str(path), SMALL) == path
    with pytest.raises(TrainingError, match=r"^--pretrained no: no such file; expected one, or"):
        pretrained_file(str(tmp_path / "no"), SMALL)


def test_without_a_network_one_line_says_what_to_do(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fetch(architecture: ArchitectureName) -> Any:
        raise URLError("no route")

    monkeypatch.setattr(pretrained, "_fetch", fetch)
    with pytest.raises(
        TrainingError,
        match=r"^--pretrained library: the weights of ResNet50V2 cannot be fetched \(URLError\); "
        "give a file instead$",
    ):
        pretrained_file(LIBRARY, ArchitectureName.RESNET50_V2)
    assert not cache.exists()


@pytest.mark.parametrize("architecture", [SMALL, ArchitectureName.RESNET50_V2])
def test_the_librarys_weights_are_fetched_once(
    architecture: ArchitectureName, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What a library gives, with its own 1000 classes, becomes a file that a backbone loads."""
    torch.manual_seed(1)
    published = build(architecture, 1000)
    asked: list[str] = []

    def create(name: str, *, pretrained: bool) -> nn.Module:
        assert pretrained
        asked.append(name)
        return published

    def load(url: str, **options: Any) -> dict[str, torch.Tensor]:
        # A pickle is read without running what it may hold, and its digest is checked.
        assert options["weights_only"] is True
        assert options["check_hash"] is True
        asked.append(url)
        return published.state_dict()

    monkeypatch.setattr(timm, "create_model", create)
    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)
    path = pretrained_file(LIBRARY, architecture)
    assert path is not None
    assert pretrained_file(LIBRARY, architecture) == path
    assert len(asked) == 1
    monkeypatch.undo()

    backbone = build_backbone(architecture)
    load_pretrained(backbone, path, architecture)
    given = published.state_dict()
    # torchvision's MobileNetV2 was published for images of another range.
    other = {"features.0.0.weight", "features.0.1.running_mean"} if architecture == SMALL else set()
    for name, tensor in backbone.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, given[name]) == (name not in other), name


def test_published_weights_see_what_they_were_published_for() -> None:
    torch.manual_seed(2)
    published = build(SMALL, 10)
    stem = published.get_submodule("features.0")
    nn.init.normal_(stem.get_parameter("1.bias"), mean=3)  # within the rectifier's range
    arrays = {name: tensor.numpy() for name, tensor in published.state_dict().items()}
    ours = build(SMALL, 10)
    made = with_own_range(arrays, "features.0.0.weight", "features.0.1.running_mean")
    ours.load_state_dict({name: torch.from_numpy(array) for name, array in made.items()})

    images = torch.rand(2, 3, 32, 32)
    mean, std = (torch.tensor(of).view(3, 1, 1) for of in (pretrained._MEAN, pretrained._STD))
    with torch.inference_mode():
        expected = stem.eval()((images - mean) / std)
        found = ours.get_submodule("features.0").eval()(images * 2 - 1)
    assert torch.allclose(found[..., 1:, 1:], expected[..., 1:, 1:], atol=1e-5)
    assert found.std() > 0.1


def test_inceptions_second_classifier_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    def load(url: str, **_options: Any) -> dict[str, torch.Tensor]:
        assert "inception_v3" in url
        return {"AuxLogits.fc.weight": torch.ones(1), "fc.bias": torch.ones(2)}

    monkeypatch.setattr(torchvision.models._api, "load_state_dict_from_url", load)
    path = pretrained_file(LIBRARY, ArchitectureName.INCEPTION_V3)
    assert path is not None
    arrays = parse_weights(path.read_bytes(), path.name)
    assert list(arrays) == ["fc.bias"]
    assert np.array_equal(arrays["fc.bias"], np.ones(2))


SHIPPED = Path(preread.__file__).parents[2] / "models"
SAME, OTHER = (hashlib.sha256(content).hexdigest() for content in (b"same", b"other"))


def write_card(folder: Path, split_sha256: str | None, backbone: str = NETWORK) -> None:
    """Write the card of a model that was trained on a split, or on none that it names."""
    card = read_card(next(SHIPPED.glob("MobileNetV2-*")))
    facts = BackboneFacts(File=backbone, SHA256="0" * 64, Precision="float32")
    told = card.Training.model_copy(update={"SplitSHA256": split_sha256})
    folder.mkdir()
    made = card.model_copy(update={"Training": told, "Backbone": facts})
    (folder / CARD).write_text(card_text(made))


def refusal(path: Path) -> str:
    with pytest.raises(TrainingError) as caught:
        check_same_split(path, SAME)
    assert "\n" not in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["split.csv", "net.split.csv"])
def test_weights_beside_another_split_are_refused(name: str, tmp_path: Path) -> None:
    path = tmp_path / "net.onnx"
    check_same_split(path, SAME)
    (tmp_path / name).write_bytes(b"same")
    (tmp_path / "other.split.csv").write_bytes(b"other")
    check_same_split(path, SAME)
    (tmp_path / name).write_bytes(b"other")
    assert refusal(path).startswith(f"--pretrained net.onnx: {name} tells of another split,")
    link = tmp_path / "elsewhere" / "start.onnx"
    link.parent.mkdir()
    path.write_bytes(b"")
    link.symlink_to(path)
    assert refusal(link).startswith(f"--pretrained start.onnx: {name} tells of another")


def test_weights_of_a_model_of_another_split_are_refused(tmp_path: Path) -> None:
    for name, split in (("same", SAME), ("other", OTHER), ("none", None)):
        write_card(tmp_path / name, split)
    check_same_split(tmp_path / "same" / NETWORK, SAME)
    for name in ("other", "none"):
        told = refusal(tmp_path / name / NETWORK)
        assert f" {name}/card.json tells of another split" in told


def test_a_backbone_of_models_of_another_split_is_refused(tmp_path: Path) -> None:
    backbones = tmp_path / "backbones"
    backbones.mkdir()
    write_card(tmp_path / "net-A", SAME, "backbones/net.onnx")
    write_card(tmp_path / "old-A", OTHER, "backbones/old.onnx")
    check_same_split(backbones / "net.onnx", SAME)
    assert " old-A/card.json tells of another split" in refusal(backbones / "old.onnx")


def test_a_training_does_not_start_from_another_split(two_sets: TwoSets, tmp_path: Path) -> None:
    path = tmp_path / "backbones" / "net.onnx"
    path.parent.mkdir()
    path.write_bytes(onnx_of(build_backbone(SMALL), SMALL))
    shutil.copy(two_sets.listing, path.with_name("net.split.csv"))
    told = refused(
        two_sets.listing, *two_sets.descriptions, "--output", tmp_path / "made", "--size", 32,
        "--pretrained", path, "--epochs", 1,
    )  # fmt: skip
    assert told.startswith("--pretrained net.onnx: net.split.csv tells of another split, so")
    assert not list(tmp_path.glob("made*"))
