"""What torch.save wrote is turned once into what a node without torch reads."""

from __future__ import annotations

import base64
import io
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydicom import dcmread
from typer.testing import CliRunner, Result

from preread.cli import app
from preread.errors import PrereadError, SettingsError
from preread.iodeep import remote_command
from preread.iodeep.architecture import parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.converting import as_sent, converted, holds_torch
from preread.iodeep.errors import InvalidIODeepError, TorchMissingError
from preread.iodeep.iod import IODeep
from preread.iodeep.opening import WeightsFolder, contents
from preread.iodeep.reading import decode
from preread.iodeep.torch_network import build
from preread.iodeep.weights import HashOfFile, PathOfFile, Safetensors, TorchSaved
from preread.iodeep.writing import encode
from tests.unit.iodeep.conftest import Build
from tests.unit.iodeep.toy_networks import pointwise

DOCUMENT = json.loads(example("unet-small"))


def saved(value: object) -> bytes:
    file = io.BytesIO()
    torch.save(value, file)
    return file.getvalue()


@pytest.fixture(scope="module")
def state() -> dict[str, torch.Tensor]:
    torch.manual_seed(0)
    return build(parse_architecture(DOCUMENT)).state_dict()


@pytest.fixture
def file(prototype: Build, state: dict[str, torch.Tensor], tmp_path: Path) -> Path:
    """A file as the prototype writes it: architecture and weights by torch.save."""
    made = tmp_path / "prototype.dcm"
    encoded = [base64.b64encode(saved(value)).decode() for value in (DOCUMENT, state)]
    made.write_bytes(prototype(*encoded))
    return made


@pytest.fixture
def without_torch(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["iodeep", *map(str, arguments)])


def test_a_prototypes_file_is_converted_by_the_command(
    file: Path, tmp_path: Path, state: dict[str, torch.Tensor]
) -> None:
    output = tmp_path / "new.dcm"
    done = run("convert", file, "--output", output, "--models", tmp_path / "models")
    assert done.exit_code == 0, done.output
    made, given = decode(output.read_bytes()), decode(file.read_bytes())
    assert done.stdout.strip() == made.DnnUID == given.DnnUID
    digest = json.loads(run("show", output, "--json").stdout)["Digest"]
    assert f"its digest is now {digest}" in done.stderr
    assert isinstance(made.DnnWeights, Safetensors)
    opened = contents(made, WeightsFolder(tmp_path))
    assert opened.document == DOCUMENT
    assert opened.arrays.keys() == {name for name in state if "batches" not in name}
    for name, array in opened.arrays.items():
        np.testing.assert_array_equal(array, state[name].numpy())
    again = run("convert", output, "--output", tmp_path / "more.dcm")
    assert isinstance(again.exception, SettingsError)
    assert "nothing of it was written by torch.save" in str(again.exception)
    assert not (tmp_path / "more.dcm").exists()


def test_weights_that_are_large_go_into_the_folder(file: Path, tmp_path: Path) -> None:
    done = run(
        *("convert", file, "--output", tmp_path / "new.dcm", "--by-reference"),
        *("--models", tmp_path / "models"),
    )
    assert done.exit_code == 0, done.output
    made = decode((tmp_path / "new.dcm").read_bytes())
    assert isinstance(made.DnnWeights, HashOfFile)
    kept = f"iodeep/{made.DnnWeights.sha256}.safetensors"
    assert kept in done.stderr
    assert (tmp_path / "models" / kept).is_file()


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    taken: list[bytes] = []

    def by_stow(*given: object) -> Callable[[bytes], str]:
        def send(data: bytes) -> str:
            taken.append(data)
            return "sent"

        return send

    monkeypatch.setattr(remote_command, "_by_stow", by_stow)
    return taken


def test_what_is_pushed_needs_no_torch(file: Path, tmp_path: Path, sent: list[bytes]) -> None:
    done = run("push", file, "--models", tmp_path / "models")
    assert done.exit_code == 0, done.output
    assert "what torch.save wrote was converted" in done.stderr
    (data,) = sent
    network = decode(data)
    assert not holds_torch(network)
    assert f"sent, DnnUID {network.DnnUID}" in done.stdout


def test_what_needs_no_torch_is_pushed_as_it_is(tmp_path: Path, sent: list[bytes]) -> None:
    plain = tmp_path / "plain.dcm"
    plain.write_bytes(encode(pointwise(4, 4)))
    done = run("push", plain)
    assert done.exit_code == 0, done.output
    assert done.stderr == ""
    assert sent == [plain.read_bytes()]


def test_a_signed_object_is_not_converted_in_secret(
    tmp_path: Path, state: dict[str, torch.Tensor], sent: list[bytes]
) -> None:
    dataset = dcmread(io.BytesIO(encode(pointwise(4, 4))))
    dataset[0x00171011].value = base64.b64encode(saved(state)).decode()
    dataset.add_new(0x00171014, "UT", base64.b64encode(b"a signature").decode())
    signed = tmp_path / "signed.dcm"
    dataset.save_as(signed)
    done = run("push", signed, "--models", tmp_path)
    assert done.exit_code == 1
    assert "signed.dcm: it is signed" in done.stderr
    assert "preread iodeep convert" in done.stderr
    assert sent == []


def test_weights_that_do_not_fit_are_not_converted(
    prototype: Build, state: dict[str, torch.Tensor], tmp_path: Path
) -> None:
    wrong = {name: tensor for name, tensor in state.items() if "layers.1.0" not in name}
    encoded = [base64.b64encode(saved(value)).decode() for value in (DOCUMENT, wrong)]
    with pytest.raises(InvalidIODeepError, match="DnnWeights: expected those of the layers"):
        as_sent(prototype(*encoded), WeightsFolder(tmp_path))


def test_weights_of_torch_that_lie_in_the_folder_are_converted(tmp_path: Path) -> None:
    given = pointwise(4, 4)
    arrays = contents(given, WeightsFolder(tmp_path)).arrays
    (tmp_path / "net.pth").write_bytes(
        saved({name: torch.from_numpy(array) for name, array in arrays.items()})
    )
    network = given.with_contents(given.document, PathOfFile("net.pth"))
    assert holds_torch(network)
    made = converted(network, WeightsFolder(tmp_path))
    assert isinstance(made.DnnWeights, Safetensors)
    assert not holds_torch(made)


def test_a_reference_to_safetensors_stays(tmp_path: Path) -> None:
    folder = WeightsFolder(tmp_path)
    given = pointwise(4, 4)
    assert isinstance(given.DnnWeights, Safetensors)
    kept = folder.keep(given.DnnWeights.data)
    network = _with_saved_architecture(given, kept)
    made = converted(network, folder)
    assert made.DnnWeights == kept
    assert made.document == given.document


def _with_saved_architecture(given: IODeep, weights: HashOfFile) -> IODeep:
    import dataclasses

    return dataclasses.replace(
        given, DnnArchitecture=TorchSaved(saved(given.document)), DnnWeights=weights
    )


@pytest.mark.parametrize("what", ["architecture", "weights", "file"])
def test_without_torch_it_says_what_to_do(
    what: str, tmp_path: Path, prototype: Build, state: Any, request: pytest.FixtureRequest
) -> None:
    given = pointwise(4, 4)
    (tmp_path / "net.pth").write_bytes(saved(state))
    weights = base64.b64encode(saved(state)).decode()
    network = {
        "architecture": _with_saved_architecture(given, HashOfFile("0" * 64)),
        "weights": decode(prototype(weights=weights)),
        "file": given.with_contents(given.document, PathOfFile("net.pth")),
    }[what]
    request.getfixturevalue("without_torch")
    with pytest.raises(TorchMissingError) as caught:
        contents(network, WeightsFolder(tmp_path))
    assert network.DnnUID in str(caught.value)
    assert "preread iodeep convert" in str(caught.value)
    assert "pip install '.[torch]'" in str(caught.value)
    attribute = "DnnArchitecture" if what == "architecture" else "DnnWeights"
    assert caught.value.attribute == attribute


def test_commands_say_so_too(
    file: Path, tmp_path: Path, sent: list[bytes], request: pytest.FixtureRequest
) -> None:
    request.getfixturevalue("without_torch")
    done = run("push", file, "--models", tmp_path)
    assert done.exit_code == 1
    assert "torch is not installed here" in done.stderr
    assert sent == []
    done = run("convert", file, "--output", tmp_path / "new.dcm", "--models", tmp_path)
    assert isinstance(done.exception, PrereadError)
    assert "torch is not installed here" in str(done.exception)
    assert not (tmp_path / "new.dcm").exists()
