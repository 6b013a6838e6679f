from __future__ import annotations

from pathlib import Path
from typing import Any
from urllib.error import URLError

import numpy as np
import pytest
import timm
import torch
import torchvision  # type: ignore[import-untyped]
from torch import nn

from preread.models.architectures import build, build_backbone
from preread.models.card import ArchitectureName
from preread.models.weights import load_pretrained, parse_weights
from preread.training import pretrained
from preread.training.errors import TrainingError
from preread.training.pretrained import LIBRARY, NATIVE_SIZE, pretrained_file

SMALL = ArchitectureName.MOBILENET_V2


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(pretrained, "user_cache", lambda: tmp_path / "cache")
    return tmp_path / "cache"


def test_every_network_has_a_size_and_published_weights() -> None:
    assert set(NATIVE_SIZE) == set(ArchitectureName)
    assert NATIVE_SIZE[ArchitectureName.INCEPTION_V3] == 299
    assert {NATIVE_SIZE[name] for name in ArchitectureName if "Inception" not in name} == {224}


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
    for name, tensor in backbone.state_dict().items():
        if not name.endswith("num_batches_tracked"):
            assert torch.equal(tensor, given[name]), name


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
