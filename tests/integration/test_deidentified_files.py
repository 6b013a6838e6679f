"""What others say of de-identified files: pydicom, dcmtk, and dciodvfy before and after."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import config, dcmread
from pydicom.data import get_testdata_file

from preread.deidentify import Deidentifier, DeidentifyOptions, Option, Secret
from preread.errors import PrereadError
from tests.integration.pacs import ROOT
from tests.integration.test_conformance import errors_of
from tests.unit.deidentify.torture import TortureFile, torture_files

SHARED = ROOT.parent / "shared" / "data" / "dicom"
PACKAGED = Path(str(get_testdata_file("CT_small.dcm"))).parent
LARGEST = 5_000_000  # bytes: dciodvfy reads all of a file into memory
CLEANING = frozenset(
    (Option.CLEAN_DESCRIPTORS, Option.CLEAN_STRUCTURED_CONTENT, Option.CLEAN_GRAPHICS)
)
RETAINING = frozenset(option for option in Option if option.name.startswith("RETAIN"))
OPTIONS = {
    "Basic": frozenset[Option](),
    "cleaned": CLEANING | {Option.RETAIN_LONGITUDINAL_MODIFIED_DATES},
    "retained": RETAINING - {Option.RETAIN_LONGITUDINAL_MODIFIED_DATES},
    "retained, dates moved": RETAINING - {Option.RETAIN_LONGITUDINAL_FULL_DATES},
    "all": frozenset(Option) - {Option.RETAIN_LONGITUDINAL_FULL_DATES},
}
READABLE = [file for file in torture_files() if file.plain]


def _deidentified(data: bytes, options: frozenset[Option]) -> bytes:
    engine = Deidentifier(Secret(b"s" * 32), DeidentifyOptions(options=options))
    return engine.deidentify(data).data


@cache
def _errors_before(path: Path, folder: Path) -> frozenset[str]:
    return frozenset(errors_of(path.read_bytes(), folder))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    for program in ("dciodvfy", "dcmdump", "dcmconv"):
        if shutil.which(program) is None:
            pytest.skip(f"{program} (Debian: dicom3tools, dcmtk) is not installed")
    return tmp_path_factory.mktemp("files")


def _judged(
    files: Iterator[Path], options: frozenset[Option], folder: Path
) -> tuple[int, dict[str, set[str]]]:
    """Return how many files there were, and the new errors of those that have some."""
    wrong: dict[str, set[str]] = {}
    checked = 0
    for file in files:
        if file.stat().st_size > LARGEST:
            continue
        try:
            done = _deidentified(file.read_bytes(), options)
        except PrereadError:
            continue  # refused, so there is no result
        checked += 1
        found = errors_of(done, folder) - _errors_before(file, folder)
        if found:
            wrong[file.name] = found
    return checked, wrong


@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
def test_dciodvfy_finds_nothing_new_in_the_files_of_pydicom(
    options: frozenset[Option], folder: Path
) -> None:
    checked, wrong = _judged(iter(sorted(PACKAGED.glob("*.dcm"))), options, folder)
    assert checked > 50
    assert wrong == {}


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize("options", OPTIONS.values(), ids=OPTIONS)
@pytest.mark.parametrize(("name", "least"), [("variety", 50), ("lidc-idri-0001", 133)])
def test_dciodvfy_finds_nothing_new_in_public_files(
    name: str, least: int, options: frozenset[Option], folder: Path
) -> None:
    files = sorted((SHARED / name).rglob("*.dcm"))
    if not files:
        pytest.skip(f"{SHARED / name} is not on this machine")
    checked, wrong = _judged(iter(files), options, folder)
    assert checked >= least
    assert wrong == {}


@pytest.mark.parametrize("file", READABLE, ids=lambda file: file.name)
@pytest.mark.parametrize("options", [OPTIONS["Basic"], OPTIONS["all"]], ids=["Basic", "all"])
def test_pydicom_and_dcmtk_read_and_write_what_comes_out(
    options: frozenset[Option], file: TortureFile, folder: Path
) -> None:
    done, again = folder / "done.dcm", folder / "again.dcm"
    done.write_bytes(_deidentified(file.data, options))
    buffer = BytesIO()
    dataset = dcmread(done)
    _strictly(dataset.iterall())
    dataset.save_as(buffer)
    assert dcmread(BytesIO(buffer.getvalue())) == dataset
    commands: tuple[list[str | Path], ...] = (
        ["dcmdump", "-q", "+L", done],
        ["dcmconv", "-q", _same_syntax(file), done, again],
    )
    for command in commands:
        run = subprocess.run(command, capture_output=True, check=False, timeout=60)
        assert run.returncode == 0, run.stderr.decode()
        assert run.stderr == b""
    assert dcmread(again).SOPInstanceUID == dataset.SOPInstanceUID


def _strictly(elements: Iterator[object]) -> None:
    """Decode every value; what is wrong with one is raised."""
    config.settings.reading_validation_mode = config.RAISE
    try:
        for element in elements:
            str(element)
    finally:
        config.settings.reading_validation_mode = config.WARN


def _same_syntax(file: TortureFile) -> str:
    """Return the option with which dcmconv takes a file apart and puts it together again."""
    return "+t=" if file.name == "JPEG" else "+te"


def test_the_judges_can_tell(folder: Path) -> None:
    path = Path(str(get_testdata_file("CT_small.dcm")))
    dataset = dcmread(path)
    good = path.read_bytes()
    uid = dataset.StudyInstanceUID.encode()
    bad = good.replace(uid, uid[:-1] + b"x")
    with pytest.raises(ValueError, match="Invalid value for VR UI"):
        _strictly(dcmread(BytesIO(bad)).iterall())
    assert errors_of(bad, folder) - errors_of(good, folder)
    (folder / "cut.dcm").write_bytes(good[: len(good) // 2])
    run = subprocess.run(
        ["dcmdump", "-q", "+L", folder / "cut.dcm"], capture_output=True, check=False, timeout=60
    )
    assert run.returncode != 0
