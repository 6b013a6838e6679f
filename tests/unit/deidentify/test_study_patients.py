"""One PatientID in one study is one patient, with the issuer filled in or without."""

from __future__ import annotations

import multiprocessing
import os
import signal
import sqlite3
import stat
from collections.abc import Callable
from io import BytesIO
from itertools import permutations
from pathlib import Path

import pytest
from pydicom import Dataset, dcmread

from preread.deidentify import Deidentifier, DeidentifyOptions, Secret
from preread.deidentify.errors import StudyPatientsError
from preread.deidentify.options import Option
from preread.deidentify.study_patients import StudyPatients
from tests.unit.deidentify.conftest import Node

OPTIONS = DeidentifyOptions(options=frozenset((Option.RETAIN_LONGITUDINAL_MODIFIED_DATES,)))
ISSUERS = (b"", b"HOSP-A", b"HOSP-B")

Image = Callable[..., bytes]


def made(engine: Deidentifier, image: Image, issuer: bytes, *more: Node) -> Dataset:
    nodes = [Node(0x00080020, b"DA", b"20240311"), *more]
    if issuer:
        nodes.append(Node(0x00100021, b"LO", issuer))
    return dcmread(BytesIO(engine.deidentify(image(*nodes)).data))


@pytest.fixture
def fresh(secret: Secret, tmp_path: Path) -> Callable[[], Deidentifier]:
    """Make an engine as another process has it, with the same file."""
    file = tmp_path / "preread" / "patients.sqlite"
    return lambda: Deidentifier(secret, OPTIONS, StudyPatients(file, secret))


@pytest.mark.parametrize("order", list(permutations(ISSUERS)))
def test_a_study_has_one_patient_and_one_distance(
    fresh: Callable[[], Deidentifier], image: Image, order: tuple[bytes, ...]
) -> None:
    found = [made(fresh(), image, issuer) for issuer in order]
    assert len({(one.PatientID, one.PatientName, one.StudyDate) for one in found}) == 1
    assert found[0].StudyDate != "20240311"


def test_patients_keep_the_pseudonyms_that_they_have(
    fresh: Callable[[], Deidentifier], secret: Secret, image: Image
) -> None:
    """Where the objects of a study agree, the pseudonym is what it was without such a file."""
    for number, issuer in enumerate(ISSUERS):
        study = Node(0x0020000D, b"UI", b"1.9.76543.%d" % (100 + number))
        before = made(Deidentifier(secret, OPTIONS), image, issuer, study)
        assert made(fresh(), image, issuer, study).PatientID == before.PatientID
    # And two hospitals' patients of one ID stay two.
    assert len({made(Deidentifier(secret), image, issuer).PatientID for issuer in ISSUERS}) == 3


def test_two_ids_in_a_study_stay_two(fresh: Callable[[], Deidentifier], image: Image) -> None:
    engine = fresh()
    other = Node(0x00100020, b"LO", b"HOSP-4712")
    spaced = Node(0x00100020, b"LO", b"  HOSP-4711 ")
    first = made(engine, image, b"").PatientID
    assert made(engine, image, b"", other).PatientID != first
    assert made(engine, image, b"HOSP-A", spaced).PatientID == first


def test_what_has_no_id_and_what_is_ours_need_no_file(
    fresh: Callable[[], Deidentifier], image: Image, tmp_path: Path
) -> None:
    nobody = Node(0x00100020, b"LO", b"")
    known = made(fresh(), image, b"", nobody)
    made(fresh(), image, b"HOSP-A", Node(0x00100020, b"LO", known.PatientID.encode()))
    assert not (tmp_path / "preread").exists()


def test_nothing_in_the_file_leads_back(
    fresh: Callable[[], Deidentifier], image: Image, tmp_path: Path
) -> None:
    made(fresh(), image, b"HOSP-A")
    files = list((tmp_path / "preread").iterdir())
    assert {file.name for file in files} >= {"patients.sqlite", "patients.sqlite-wal"}
    for file in files:
        assert stat.S_IMODE(file.stat().st_mode) == 0o600
        content = file.read_bytes()
        for word in (b"HOSP", b"4711", b"Doe", b"1.9.76543"):
            assert word not in content


def test_a_file_that_cannot_be_written_refuses(secret: Secret, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"no database" * 100)
    for path in (tmp_path / "file", tmp_path / "file" / "within"):
        patients = StudyPatients(path, secret)
        with pytest.raises(StudyPatientsError, match="whose a study is"):
            patients.patient("1.2.3", "4711", "PR")


def _ask(file: Path, number: int) -> str:
    patients = StudyPatients(file, Secret(bytes(range(32))))
    return ",".join(patients.patient(f"1.2.{study}", "4711", f"P{number}") for study in range(20))


def test_what_was_written_is_there_after_a_kill(secret: Secret, tmp_path: Path) -> None:
    file = tmp_path / "patients.sqlite"
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=_ask_and_die, args=(file,))
    process.start()
    process.join()
    assert process.exitcode == -signal.SIGKILL
    assert StudyPatients(file, secret).patient("1.2.3", "4711", "another") == "first"


def _ask_and_die(file: Path) -> None:
    StudyPatients(file, Secret(bytes(range(32)))).patient("1.2.3", "4711", "first")
    os.kill(os.getpid(), signal.SIGKILL)


def test_who_looks_does_not_wait_for_who_writes(secret: Secret, tmp_path: Path) -> None:
    file = tmp_path / "patients.sqlite"
    patients = StudyPatients(file, secret)
    assert patients.patient("1.2.3", "4711", "first") == "first"
    other = sqlite3.connect(file, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    other.execute("INSERT INTO study_patient VALUES (x'00', 'P')")
    assert StudyPatients(file, secret).patient("1.2.3", "4711", "another") == "first"
    with pytest.raises(StudyPatientsError, match="database is locked"):
        patients.patient("1.2.4", "4711", "first")
    other.close()


def test_processes_that_ask_at_once_hear_the_same(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    with context.Pool(3) as pool:
        answers = pool.starmap(_ask, [(tmp_path / "patients.sqlite", n) for n in range(6)])
    assert len(set(answers)) == 1
