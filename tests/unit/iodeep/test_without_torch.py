"""The shipped networks run as torch runs them, where there is no torch."""

from __future__ import annotations

import ast
import io
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import dcmwrite

from preread.imaging import open_image
from preread.iodeep import running
from preread.iodeep.architecture import ArchitectureError
from preread.iodeep.files_prediction import regions_of_files
from preread.iodeep.opening import WeightsFolder, contents
from preread.iodeep.prediction import Predictor
from preread.iodeep.prediction_input import FramePixels, check_tensor_shape
from preread.iodeep.reading import decode
from preread.iodeep.running import RunningNetwork
from preread.iodeep.torch_network import build
from preread.phantom.acquisition import Acquisition, Kind
from preread.phantom.images import image
from preread.phantom.volume import make_volume
from tests.unit.iodeep.toy_networks import document, network
from tests.unit.iodeep.trained_networks import answer

MODELS = Path(__file__).parents[3] / "models"
PACKAGE = Path(__file__).parents[3] / "plugin" / "preread" / "iodeep"
SHIPPED = {"unet-small-ct-chest": Kind.CHEST, "unet-small-mr-head": Kind.BRAIN}
TORCH_ALONE = {"torch_network.py", "torch_saved.py", "reference_files.py"}
"""The reference, what reads torch.save's files to convert them, and what builds model files."""

BLOCKED = """
import importlib, json, pkgutil, sys
from pathlib import Path
for absent in ("torch", "torchvision", "timm", "keras", "tensorflow", "h5py"):
    sys.modules[absent] = None
import preread.iodeep
for module in pkgutil.iter_modules(preread.iodeep.__path__):
    if module.name != "torch_network":
        importlib.import_module(f"preread.iodeep.{module.name}")
from preread.iodeep.files_prediction import regions_of_files
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.reading import decode
network, models, *files = map(Path, sys.argv[1:])
found = regions_of_files(
    Predictor(WeightsFolder(models)),
    decode(network.read_bytes()),
    [file.read_bytes() for file in files],
    max_bytes=2**20,
)
print(json.dumps([[each.frame, each.area, each.polygon.tolist()] for each in found.regions]))
"""


@pytest.fixture(scope="module", params=SHIPPED)
def shipped(request: pytest.FixtureRequest) -> tuple[Path, list[bytes]]:
    """A network that ships, and images of a phantom for it."""
    name: str = request.param
    volume = make_volume(SHIPPED[name], 1, Acquisition(5.0, size=128))
    middle = volume.grid.slices // 2
    files = []
    for number in range(middle - 3, middle + 3):
        file = io.BytesIO()
        dcmwrite(file, image(volume, number, volume.slice_(number)), enforce_file_format=True)
        files.append(file.getvalue())
    return MODELS / "iodeep" / f"{name}.dcm", files


def test_what_ships_is_tried() -> None:
    assert {file.stem for file in (MODELS / "iodeep").glob("*.dcm")} == {*SHIPPED}


def test_a_shipped_network_gives_what_torch_gives(shipped: tuple[Path, list[bytes]]) -> None:
    file, images = shipped
    object_ = decode(file.read_bytes())
    folder = WeightsFolder(MODELS)
    runs = RunningNetwork(object_, folder, None, threads=1)
    reference = build(runs.architecture).eval()
    state = {
        name: torch.from_numpy(array).float()
        for name, array in contents(object_, folder).arrays.items()
    }
    reference.load_state_dict(state, strict=False)
    frames = [next(iter(open_image(data, max_bytes=2**20).frames)) for data in images]
    tensors = np.stack(
        [
            check_tensor_shape(FramePixels.of(frame), object_, runs.architecture).tensor(frame)
            for frame in frames
        ]
    )
    expected = answer(reference, tensors)
    assert np.ptp(expected) > 1, "the network sees something"
    assert np.abs(runs(tensors) - expected).max() <= 1e-4
    runs.rest()
    assert np.abs(runs(tensors[:1]) - expected[:1]).max() <= 1e-4


def test_a_shipped_network_runs_where_there_is_no_torch(
    shipped: tuple[Path, list[bytes]], tmp_path: Path
) -> None:
    file, images = shipped
    paths = []
    for number, data in enumerate(images):
        paths.append(tmp_path / f"{number}.dcm")
        paths[-1].write_bytes(data)
    told: list[list[Any]] = json.loads(
        subprocess.run(
            [sys.executable, "-c", BLOCKED, str(file), str(MODELS), *map(str, paths)],
            check=True,
            capture_output=True,
        ).stdout
    )
    predictor = Predictor(WeightsFolder(MODELS))
    here = regions_of_files(predictor, decode(file.read_bytes()), images, max_bytes=2**20).regions
    assert [each[:2] for each in told] == [[region.frame, region.area] for region in here]
    for each, region in zip(told, here, strict=True):
        assert np.asarray(each[2]) == pytest.approx(region.polygon, abs=1e-3)


def test_regions_are_found_in_phantoms() -> None:
    # Else the tests above would compare nothing with nothing.
    volume = make_volume(Kind.BRAIN, 1, Acquisition(5.0, size=128))
    file = io.BytesIO()
    lesion = volume.lesions[0]
    number = round(volume.grid.voxel(lesion.x, lesion.y, lesion.z)[2])
    dcmwrite(file, image(volume, number, volume.slice_(number)), enforce_file_format=True)
    object_ = decode((MODELS / "iodeep" / "unet-small-mr-head.dcm").read_bytes())
    predictor = Predictor(WeightsFolder(MODELS))
    found = regions_of_files(predictor, object_, [file.getvalue()], max_bytes=2**20)
    assert found.regions


def test_torch_is_imported_in_few_places() -> None:
    importing = {
        path.name
        for path in PACKAGE.glob("*.py")
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if _imports_torch(node)
    }
    assert importing == TORCH_ALONE


def _imports_torch(node: ast.AST) -> bool:
    if isinstance(node, ast.Import):
        names = [alias.name for alias in node.names]
    elif isinstance(node, ast.ImportFrom):
        names = [node.module or ""]
    else:
        return False
    return any(
        name.split(".")[0] in {"torch", "torchvision", "timm"} or name.endswith(".torch_network")
        for name in names
    )


def test_what_is_too_large_is_refused_before_anything_is_built(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    described = document(
        ["cnn2d", "sigmoid"], 4096, 4096, convolutional={"cn1": 64}, kernel={"kernel1": 1}
    )
    arrays = {
        "layers.1.0.weight": np.zeros((64, 1, 1, 1), np.float32),
        "layers.1.0.bias": np.zeros(64, np.float32),
    }
    sees = network(described, arrays)

    def never(*given: object) -> None:
        raise AssertionError(given)

    monkeypatch.setattr(running, "import_openvino", never)
    monkeypatch.setattr(running, "build", never)
    with pytest.raises(ArchitectureError, match="limit of 1000000000 activations"):
        Predictor(WeightsFolder(tmp_path)).regions(sees, [])
