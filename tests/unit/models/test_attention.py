"""What a network looked at: the map means something, and only its makers load torch for it."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from preread.imaging import Preprocessing, frame_from_array, prepare
from preread.imaging.mapping_back import onto_frame
from preread.models import attention
from preread.models.architectures import HEADS, build
from preread.models.attention import LAST_FEATURES, Attention, grad_cam
from preread.models.card import ArchitectureName, InvalidModelError
from preread.models.catalogue import Catalogue
from preread.models.model import Model
from preread.training.normalisation import remeasure
from tests.unit.models.conftest import MakeModel

SIZE = 96


class BrightOrDark(nn.Module):
    """Tells by its brightest places whether something bright is in the image."""

    def __init__(self) -> None:
        super().__init__()
        self.features = nn.Conv2d(3, 2, kernel_size=8, stride=8, bias=False)
        self.head = nn.Linear(2, 2, bias=False)
        with torch.no_grad():
            self.features.weight[0].fill_(1 / 192)
            self.features.weight[1].fill_(-1 / 192)
            self.head.weight.copy_(torch.tensor([[1.0, 0.0], [0.0, 1.0]]))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        features: torch.Tensor = self.features(images)
        found: torch.Tensor = self.head(torch.relu(features).mean(dim=(2, 3)))
        return found


@pytest.mark.parametrize(("row", "column"), [(30, 200), (150, 60), (100, 150)])
def test_the_map_is_highest_where_the_class_comes_from(row: int, column: int) -> None:
    pixels = np.full((200, 300), 0.3, dtype=np.float32)
    pixels[row - 12 : row + 12, column - 12 : column + 12] = 1
    how = Preprocessing(size=(SIZE, SIZE))
    image = prepare(frame_from_array(pixels), how)
    network = BrightOrDark().eval()
    coarse = grad_cam(network, "features", image, 0)
    assert coarse.shape == (12, 12)
    assert coarse.max() == 1
    values = onto_frame(coarse, how, 200, 300).values
    highest = np.unravel_index(values.argmax(), values.shape)
    assert abs(int(highest[0]) - row) <= 12
    assert abs(int(highest[1]) - column) <= 18
    # For the other class, it is everywhere else.
    other = onto_frame(grad_cam(network, "features", image, 1), how, 200, 300).values
    assert other[row, column] < 0.5 < np.median(other)


def test_nothing_that_speaks_for_a_class_is_an_empty_map() -> None:
    image = np.full((3, SIZE, SIZE), 0.5, dtype=np.float32)
    assert not grad_cam(BrightOrDark().eval(), "features", image, 1).any()


def test_a_broken_network_is_told() -> None:
    network = BrightOrDark().eval()
    with torch.no_grad():
        network.features.weight.fill_(torch.nan)
    image = np.ones((3, SIZE, SIZE), dtype=np.float32)
    with pytest.raises(InvalidModelError, match="not finite"):
        grad_cam(network, "features", image, 0)


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_the_layer_is_what_the_last_one_gets_the_mean_of(architecture: ArchitectureName) -> None:
    """Then Grad-CAM is the class activation map of Zhou and others (2016), computed here anew."""
    torch.manual_seed(3)
    network = build(architecture, 3)
    # Without statistics of its own, a deep network of random weights gives zeros.
    remeasure(network, [torch.rand(4, 3, 128, 160)])
    network.eval()
    seen: list[torch.Tensor] = []
    layer = network.get_submodule(LAST_FEATURES[architecture])
    handle = layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
    last = network.get_parameter(f"{HEADS[architecture]}.weight")
    with torch.no_grad():
        last.copy_(torch.randn_like(last))
    weight = last.detach().view(3, -1)[2].double()
    image = np.random.default_rng(5).random((3, 128, 160), dtype=np.float32)
    with torch.no_grad():
        network(torch.from_numpy(image[np.newaxis]))
    handle.remove()
    features = seen[0][0].double()
    expected = torch.relu(torch.einsum("c,chw->hw", weight, features))
    found = grad_cam(
        network.requires_grad_(requires_grad=False), LAST_FEATURES[architecture], image, 2
    )
    relative = (expected / expected.max()).numpy()
    np.testing.assert_allclose(found, relative, atol=2e-3)


def test_models_of_a_folder_are_asked(folder: Path, add_network: MakeModel) -> None:
    add_network("net")
    model = Catalogue.load(folder)["net"]
    image = np.random.default_rng(5).random((3, SIZE, SIZE), dtype=np.float32)
    found = Attention().map(model, image, 1)
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (0, 3)])
def test_the_threads_are_those_of_the_settings(
    asked: int, expected: int, folder: Path, add_card: MakeModel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attention, "cores", lambda: 3)
    told: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", told.append)

    def load(_model: Model) -> nn.Module:
        network = BrightOrDark()
        network.add_module("norm", network.features)
        return network.eval()

    for name in ("a", "b"):
        add_card(name, Architecture=ArchitectureName.RESNET50_V2)
    catalogue = Catalogue.load(folder)
    asking = Attention(load, threads=asked)
    assert told == []
    for name in ("a", "b", "a"):
        asking.map(catalogue[name], np.ones((3, SIZE, SIZE), dtype=np.float32), 0)
    assert told == [expected]


def test_few_networks_stay_loaded(folder: Path, add_card: MakeModel) -> None:
    loaded: list[str] = []

    def load(model: Model) -> nn.Module:
        loaded.append(model.name)
        network = BrightOrDark()
        network.add_module("norm", network.features)
        return network.eval()

    for name in ("a", "b", "c"):
        add_card(name, Architecture=ArchitectureName.RESNET50_V2)
    catalogue = Catalogue.load(folder)
    asking = Attention(load, kept=2)
    image = np.ones((3, SIZE, SIZE), dtype=np.float32)
    for name in "aabacb":
        asking.map(catalogue[name], image, 0)
    assert loaded == ["a", "b", "c", "b"]


def test_nothing_heavy_is_loaded_before_somebody_asks() -> None:
    code = "import preread.runner.assembly, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "captum", "matplotlib"} & set(done.stdout.split())
