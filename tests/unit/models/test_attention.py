"""What a network looked at: the map means something, and nothing heavy is loaded for it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Hashable
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from preread.imaging import Preprocessing, frame_from_array, prepare
from preread.imaging.mapping_back import onto_frame
from preread.models import attention
from preread.models.architectures import build
from preread.models.attention import Attention, class_activation
from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName, InvalidModelError
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.engine import Engine, LoadedBackbone
from preread.models.model import Model
from preread.training.normalisation import remeasure
from tests.unit.models.conftest import MakeModel, random_network

SIZE = 96


def bright_and_dark(image: NDArray[np.float32]) -> NDArray[np.float32]:
    """Make two features of an image: how bright it is, and how dark."""
    mean = image.mean(axis=0).reshape(12, 8, 12, 8).mean(axis=(1, 3))
    features: NDArray[np.float32] = np.maximum(np.stack([mean, -mean]), 0)
    return features


@pytest.mark.parametrize(("row", "column"), [(30, 200), (150, 60), (100, 150)])
def test_the_map_is_highest_where_the_class_comes_from(row: int, column: int) -> None:
    pixels = np.full((200, 300), 0.3, dtype=np.float32)
    pixels[row - 12 : row + 12, column - 12 : column + 12] = 1
    how = Preprocessing(size=(SIZE, SIZE))
    features = bright_and_dark(prepare(frame_from_array(pixels), how))
    coarse = class_activation(features, np.array([1.0, 0.0]))
    assert coarse.shape == (12, 12)
    assert coarse.max() == 1
    values = onto_frame(coarse, how, 200, 300).values
    highest = np.unravel_index(values.argmax(), values.shape)
    assert abs(int(highest[0]) - row) <= 12
    assert abs(int(highest[1]) - column) <= 18
    # For the other class, it is everywhere else.
    other = class_activation(features, np.array([0.0, 1.0]))
    shown = onto_frame(other, how, 200, 300).values
    assert shown[row, column] < 0.5 < np.median(shown)


def test_nothing_that_speaks_for_a_class_is_an_empty_map() -> None:
    assert not class_activation(np.ones((2, 3, 3), np.float32), np.array([-1.0, 0.5])).any()


def test_a_broken_network_is_told() -> None:
    features = np.full((2, 3, 3), np.nan, np.float32)
    with pytest.raises(InvalidModelError, match="not finite"):
        class_activation(features, np.ones(2))


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_it_is_what_gradients_give(architecture: ArchitectureName) -> None:
    """Grad-CAM (Selvaraju and others, 2017), computed here with torch's own gradients."""
    torch.manual_seed(3)
    network = build(architecture, 3)
    # Without statistics of its own, a deep network of random weights gives zeros.
    remeasure(network, [torch.rand(4, 3, 128, 160)])
    network.eval()
    last = network.get_parameter(f"{RECORDS[architecture].head}.weight")
    with torch.no_grad():
        last.copy_(torch.randn_like(last))
    network.double()
    seen: list[torch.Tensor] = []
    layer = network.get_submodule(RECORDS[architecture].last_features)
    layer.register_forward_hook(lambda _m, _i, output: seen.append(output))
    image = np.random.default_rng(5).random((1, 3, 128, 160))
    network(torch.from_numpy(image))[0, 2].backward(inputs=[seen[0].requires_grad_()])
    gradient = seen[0].grad
    assert gradient is not None
    weighed = torch.relu((gradient.mean(dim=(2, 3), keepdim=True) * seen[0]).sum(dim=1))[0]
    expected = (weighed / weighed.max()).detach().numpy()
    row = last.detach().view(3, -1)[2].numpy()
    found = class_activation(seen[0][0].detach().numpy().astype(np.float32), row)
    np.testing.assert_allclose(found, expected, atol=1e-6)


class Counting:
    """An engine that notes what it loads."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.name, self.batch_hint = engine.name, engine.batch_hint
        self.loaded: list[str] = []

    def key(self, model: Model) -> Hashable:
        return self._engine.key(model)

    def load(self, model: Model) -> LoadedBackbone:
        self.loaded.append(model.name)
        return self._engine.load(model)


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_models_of_a_folder_are_asked(engine: str, folder: Path, add_network: MakeModel) -> None:
    add_network("net")
    model = Catalogue.load(folder)["net"]
    image = np.random.default_rng(5).standard_normal((3, SIZE, SIZE)).astype(np.float32)
    found = Attention(engine, 1).map(model, image, 1)
    assert found.shape == (3, 3)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() == 1
    network, seen = random_network(), []
    network.get_submodule("features.18").register_forward_hook(lambda _m, _i, o: seen.append(o))
    with torch.no_grad():
        network(torch.from_numpy(image[np.newaxis]))
    row = network.get_parameter("classifier.1.weight")[1].detach().numpy().astype(np.float64)
    np.testing.assert_allclose(found, class_activation(seen[0][0].numpy(), row), atol=1e-3)


@pytest.mark.parametrize(("asked", "expected"), [(1, 1), (0, 0)])
def test_the_engine_is_made_when_it_is_asked_with_the_threads_of_the_settings(
    asked: int,
    expected: int,
    folder: Path,
    add_network: MakeModel,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told: list[tuple[str, int]] = []

    def made(name: str, threads: int = 0) -> Engine:
        told.append((name, threads))
        return make_engine(name, 1)

    monkeypatch.setattr(attention, "make_engine", made)
    add_network("net")
    model = Catalogue.load(folder)["net"]
    asking = Attention("openvino", asked)
    assert told == []
    for _ in range(2):
        asking.map(model, np.ones((3, SIZE, SIZE), dtype=np.float32), 0)
    assert told == [("openvino", expected)]


def test_few_networks_stay_loaded(folder: Path, add_sharing: MakeModel) -> None:
    add_sharing("a", "b", "c")
    catalogue, engine = Catalogue.load(folder), Counting(make_engine("openvino", 1))
    asking = Attention(engine, kept=2)
    image = np.ones((3, SIZE, SIZE), dtype=np.float32)
    for name in "aabacb":
        asking.map(catalogue[name], image, 0)
    assert engine.loaded == ["a", "b", "c", "b"]


def test_nothing_heavy_is_loaded_before_somebody_asks() -> None:
    code = "import preread.runner.assembly, sys; print(*sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "onnx", "matplotlib"} & set(done.stdout.split())
