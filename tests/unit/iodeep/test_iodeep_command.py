from __future__ import annotations

import io
import json
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy
import torch
from pydicom import dcmread
from typer.testing import CliRunner, Result

from preread.cli import app
from preread.errors import PrereadError
from preread.iodeep.architecture import parse_architecture
from preread.iodeep.making import safetensors_of
from preread.iodeep.reading import decode
from preread.iodeep.torch_network import build
from preread.iodeep.weights import HashOfFile, Safetensors
from tests.unit.iodeep.conftest import Build

EXAMPLE = Path(str(files("preread.iodeep"))) / "examples" / "unet-small.json"

Create = Callable[..., Result]


def _run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["iodeep", *map(str, arguments)])


def _error(result: Result) -> str:
    assert isinstance(result.exception, PrereadError), result.output
    return str(result.exception)


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    return build(parse_architecture(EXAMPLE.read_text(encoding="utf-8"))).state_dict()


@pytest.fixture(scope="module")
def files_of_weights(
    state: dict[str, torch.Tensor], tmp_path_factory: pytest.TempPathFactory
) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    arrays = {name: tensor.numpy() for name, tensor in state.items()}
    (folder / "net.safetensors").write_bytes(safetensors_of(arrays))
    torch.save(state, folder / "net.pth")
    first = next(iter(arrays))
    wrong = arrays | {first: np.zeros((1, 2), np.float32)}
    (folder / "wrong.safetensors").write_bytes(safetensors_of(wrong))
    return folder


@pytest.fixture
def create(tmp_path: Path, files_of_weights: Path) -> Create:
    """Run the command; what is given comes before what is not."""

    def run(*options: object, weights: str = "net.safetensors") -> Result:
        return _run(
            "create",
            *("--architecture", EXAMPLE, "--weights", files_of_weights / weights),
            *("--modality", "mr", "--body-part", "Head", "--samples-per-pixel", 1),
            *("--models", tmp_path / "models", "--output", tmp_path / "net.dcm"),
            *options,
        )

    return run


@pytest.mark.parametrize("weights", ["net.safetensors", "net.pth"])
def test_a_network_is_made_shown_validated_and_taken_out(
    create: Create, tmp_path: Path, state: dict[str, torch.Tensor], weights: str
) -> None:
    created = create(
        *("--description", "Dice 0.9", "--by-reference", "--window", "-300", "1400"),
        weights=weights,
    )
    assert created.exit_code == 0, created.output
    network = decode((tmp_path / "net.dcm").read_bytes())
    assert created.output.strip() == network.DnnUID
    assert isinstance(network.DnnWeights, HashOfFile)
    assert (network.Modality, network.BodyPartExamined) == ("MR", "HEAD")
    assert (network.PhotometricInterpretation, network.Rows, network.Columns) == (
        "MONOCHROME2",
        64,
        64,
    )

    shown = json.loads(_run("show", "--json", tmp_path / "net.dcm").output)
    assert (shown["DnnUID"], shown["DnnName"]) == (network.DnnUID, "net")
    assert (shown["Description"], shown["DnnWeights"]) == ("Dice 0.9", str(network.DnnWeights))
    assert (shown["WindowCenter"], shown["WindowWidth"]) == (-300, 1400)
    assert "Dice 0.9" in _run("show", tmp_path / "net.dcm").output

    valid = _run("validate", "--models", tmp_path / "models", tmp_path / "net.dcm")
    assert valid.exit_code == 0, valid.output
    assert "net.dcm: valid" in valid.output.replace("\n", "")

    taken = tmp_path / "out"
    exported = _run("export", "--models", tmp_path / "models", tmp_path / "net.dcm", taken)
    assert exported.exit_code == 0, exported.output
    document = json.loads((taken / "architecture.json").read_text(encoding="utf-8"))
    assert document == json.loads(EXAMPLE.read_text(encoding="utf-8"))
    arrays = safetensors.numpy.load((taken / "weights.safetensors").read_bytes())
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    again = _run("export", "--models", tmp_path / "models", tmp_path / "net.dcm", taken)
    assert "architecture.json: cannot be written" in _error(again)


def test_small_weights_are_inside_and_nothing_is_replaced(create: Create, tmp_path: Path) -> None:
    result = create("--uid", "2.25.7", "--name", "Läsion")
    assert result.exit_code == 0, result.output
    network = decode((tmp_path / "net.dcm").read_bytes())
    assert isinstance(network.DnnWeights, Safetensors)
    assert (network.DnnUID, network.DnnName) == ("2.25.7", "Läsion")
    assert not (tmp_path / "models").exists()
    assert "net.dcm: cannot be written" in _error(create())


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        (("--samples-per-pixel", 2), "PhotometricInterpretation: expected one of"),
        (("--samples-per-pixel", 3, "--photometric-interpretation", "MONOCHROME2"), "Samples"),
        (("--modality", "M/R"), "Modality: expected"),
        (("--uid", "7"), "DnnUID: expected"),
        (("--architecture", "ABSENT"), ""),
    ],
)
def test_what_is_invalid_is_not_written(
    create: Create, tmp_path: Path, options: tuple[object, ...], reason: str
) -> None:
    result = create(*options)
    assert result.exit_code != 0
    assert not (tmp_path / "net.dcm").exists()
    if reason:
        assert reason in _error(result)


def test_weights_of_another_network_are_refused(create: Create, tmp_path: Path) -> None:
    result = create(weights="wrong.safetensors")
    assert "DnnWeights: expected those of the layers: " in _error(result)
    assert not (tmp_path / "net.dcm").exists()


def test_weights_that_are_gone_and_files_that_are_none_are_named(
    create: Create, tmp_path: Path, prototype: Build
) -> None:
    assert create("--by-reference").exit_code == 0
    (tmp_path / "none.dcm").write_bytes(b"no DICOM")
    dataset = dcmread(io.BytesIO(prototype()))
    dataset.PatientID = "1"
    dataset.save_as(tmp_path / "patient.dcm")
    result = _run(
        "validate",
        *("--models", tmp_path / "elsewhere"),
        *(tmp_path / name for name in ("net.dcm", "none.dcm", "patient.dcm", "absent.dcm")),
    )
    assert result.exit_code == 1
    lines = result.stderr.splitlines()
    assert len(lines) == 4
    assert "net.dcm: IODeep: DnnWeights: no file of up to" in lines[0]
    assert "none.dcm: malformed DICOM" in lines[1]
    assert "patient.dcm: IODeep: PatientID: expected it empty" in lines[2]
    assert "absent.dcm: cannot be read" in lines[3]
    assert "PatientID" in _error(_run("show", tmp_path / "patient.dcm"))
