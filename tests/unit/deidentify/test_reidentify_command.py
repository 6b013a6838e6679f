from __future__ import annotations

import re
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pydicom
import pytest
import typer
from typer.testing import CliRunner

from preread.deidentify import Deidentifier
from preread.deidentify.envelope import Recipients
from preread.deidentify.errors import EnvelopeError
from preread.deidentify.reidentify import ReidentifyError
from preread.deidentify.reidentify_command import reidentify, run
from tests.unit.deidentify.conftest import Node
from tests.unit.deidentify.sealing import Person, person, sealed

app = typer.Typer()
app.command()(reidentify)


def command(*arguments: object, **environment: str) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments], env=environment)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


@pytest.fixture(scope="module")
def anna(tmp_path_factory: pytest.TempPathFactory) -> Person:
    return person(tmp_path_factory.mktemp("people"), "anna", password="secret words")


@pytest.fixture
def folder(
    tmp_path: Path, image: Callable[..., bytes], deidentifier: Deidentifier, anna: Person
) -> Path:
    """A folder with two de-identified files, and what is not to be looked at."""
    folder = tmp_path / "in"
    (folder / "deeper").mkdir(parents=True)
    recipients = Recipients.load([anna.certificate])
    for name, number in (("one", b"1"), ("deeper/two", b"2")):
        original = image(Node(0x00080018, b"UI", b"1.9.7." + number))
        (folder / name).write_bytes(sealed(original, deidentifier, recipients))
    (folder / ".hidden").write_bytes(b"")
    (folder / "DICOMDIR").write_bytes(b"")
    return folder


def test_brings_a_folder_back(folder: Path, anna: Person, tmp_path: Path) -> None:
    out = tmp_path / "out" / "deeper"
    options = ("--certificate", anna.certificate, "--key", anna.key, "--output", out)
    done = command(folder, *options, PREREAD_KEY_PASSWORD="secret words")
    assert done.exit_code == 0, done.output
    assert "2 of 2 files brought back" in done.output
    assert names(out) == ["1.9.7.1.dcm", "1.9.7.2.dcm"]
    assert pydicom.dcmread(out / "1.9.7.1.dcm").PatientName == "Doe^Jane"
    assert stat.S_IMODE(out.stat().st_mode) == 0o700
    assert stat.S_IMODE((out / "1.9.7.1.dcm").stat().st_mode) == 0o600

    before = (out / "1.9.7.1.dcm").stat().st_mtime_ns
    (out / "1.9.7.2.dcm").unlink()
    again = command(folder, *options, PREREAD_KEY_PASSWORD="secret words")
    assert again.exit_code == 1
    assert "already" in again.output
    assert "1 of 2 files brought back" in again.output
    assert (out / "1.9.7.1.dcm").stat().st_mtime_ns == before
    assert names(out) == ["1.9.7.1.dcm", "1.9.7.2.dcm"]


def test_one_line_for_each_failure(
    folder: Path, anna: Person, tmp_path: Path, image: Callable[..., bytes]
) -> None:
    (folder / "plain").write_bytes(image())
    (folder / "text").write_bytes(b"hello")
    failures = run(
        [folder, tmp_path / "nowhere"], anna.certificate, anna.key, "secret words", tmp_path / "out"
    )
    assert [re.sub(r"^.*/", "", line.partition(":")[0]) for line in failures] == [
        "plain",
        "text",
        "nowhere",
    ]
    assert "nothing to go back to" in failures[0]
    assert len(names(tmp_path / "out")) == 2


@pytest.mark.parametrize("uid", [b"../../evil", b"1.2/3", b"", b"1" * 65, b"1.2\xff"])
def test_a_name_that_is_no_uid_is_not_written(
    image: Callable[..., bytes],
    deidentifier: Deidentifier,
    anna: Person,
    tmp_path: Path,
    uid: bytes,
) -> None:
    recipients = Recipients.load([anna.certificate])
    file = image(Node(0x00080018, b"UI", uid or b"1.2"))
    if uid:
        (tmp_path / "file").write_bytes(sealed(file, deidentifier, recipients))
    else:
        (tmp_path / "file").write_bytes(file)
    out = tmp_path / "a" / "b"
    (failure,) = run([tmp_path / "file"], anna.certificate, anna.key, "secret words", out)
    assert "Jane" not in failure
    assert names(out) == []
    assert names(out.parent) == ["b"]


def test_a_key_that_cannot_be_used_is_one_line(folder: Path, anna: Person, tmp_path: Path) -> None:
    options = ("--certificate", anna.certificate, "--key", anna.key, "--output", tmp_path / "out")
    done = command(folder, *options)
    assert done.exit_code == 1
    assert done.output.splitlines()[-1].endswith("the key is encrypted; give its password")
    assert not (tmp_path / "out").exists()
    with pytest.raises(EnvelopeError):
        run([folder], anna.certificate, anna.key, "wrong", tmp_path / "out")
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ReidentifyError, match="cannot be made"):
        run([folder], anna.certificate, anna.key, "secret words", tmp_path / "file")


def test_nothing_to_do_is_a_failure(anna: Person, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    done = command(
        tmp_path / "empty", "--certificate", anna.certificate, "--key", anna.key, "--output",
        tmp_path / "out", "--password", "secret words",
    )  # fmt: skip
    assert done.exit_code == 1
    assert "0 of 0 files" in done.output
