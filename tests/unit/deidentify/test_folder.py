"""Whole folders: where results lie, what counts once, what goes on, what a dead process costs."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import os
import shutil
import signal
import sqlite3
import stat
from collections.abc import Callable
from pathlib import Path

import pydicom
import pytest

from preread.deidentify import (
    Deidentified,
    Deidentifier,
    DeidentifyOptions,
    Secret,
    SecretError,
)
from preread.deidentify.folders.errors import FolderError, StorageError, WorkersError
from preread.deidentify.folders.listing import LINK, is_dicom, is_directory
from preread.deidentify.folders.one_file import Engine, EngineDescription, Kind, deidentify_file
from preread.deidentify.folders.pool import DIED, Task, WorkerPool
from preread.deidentify.folders.run import Request, Summary, deidentify_folder
from preread.deidentify.folders.state import FOLDER, FolderState
from preread.elements import Budget

PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"
OTHER_UID = b"1.9.76543.1.2.9"


class Place:
    """A source, a destination and a key."""

    def __init__(self, root: Path) -> None:
        self.source = root / "Müller^Anna"
        self.destination = root / "out"
        self.key_file = root / "key"
        self.source.mkdir()

    def description(self, options: DeidentifyOptions | None = None) -> EngineDescription:
        secret = Secret.load_or_create(self.key_file)
        return EngineDescription(self.key_file, secret.fingerprint, options or DeidentifyOptions())

    def engine(self) -> Deidentifier:
        return Deidentifier(Secret.load_or_create(self.key_file))

    def run(self, options: DeidentifyOptions | None = None, jobs: int = 2) -> Summary:
        request = Request(self.source, self.destination, self.description(options), jobs)
        return deidentify_folder(request)

    def put(self, name: str, data: bytes) -> Path:
        path = self.source / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        return path

    def results(self) -> dict[str, bytes]:
        return results(self.destination)


def results(folder: Path) -> dict[str, bytes]:
    files = (path for path in folder.rglob("*") if path.is_file())
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in files
        if FOLDER not in path.parts
    }


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def with_uid(image: bytes, number: int) -> bytes:
    """Give an image another SOPInstanceUID of the same length."""
    changed = image.replace(b"1.9.76543.1.2.3\0", b"1.9.76543.1.2.%d\0" % (number % 10))
    assert number < 10
    return changed


@pytest.fixture
def images(image: Callable[..., bytes]) -> Callable[[int], bytes]:
    """Write the image of a number below ten."""
    return lambda number: with_uid(image(), number)


def test_files_lie_by_their_new_identifiers_as_the_engine_writes_them(place: Place) -> None:
    names = (
        "CT_small.dcm",
        "MR_small_RLE.dcm",
        "image_dfl.dcm",
        "reportsi.dcm",
        "rtstruct.dcm",
    )
    expected = {}
    for number, name in enumerate(names):
        place.put(f"{'deep/' * number}{name}", (PACKAGED / name).read_bytes())
        done = place.engine().deidentify((PACKAGED / name).read_bytes())
        uids = (done.PatientID, done.StudyInstanceUID, done.SeriesInstanceUID, done.SOPInstanceUID)
        expected["/".join(uids) + ".dcm"] = done.data
    before = results(place.source)

    summary = place.run()

    assert place.results() == expected
    assert (summary.deidentified, summary.not_dicom, summary.failures) == (5, 0, [])
    assert results(place.source) == before


def test_any_name_counts_and_what_is_not_dicom_does_not(
    place: Place, images: Callable[[int], bytes], image: Callable[..., bytes]
) -> None:
    place.put(".hidden", images(1))
    place.put("IM\udcff\n7", images(2))
    place.put("bare", with_uid(image(syntax="1.2.840.10008.1.2"), 3)[132:])  # no preamble
    place.put("notes.dcm", b"The US of Doe^Jane\n" * 20)
    place.put("empty.dcm", b"")
    place.put("picture.png", b"\x89PNG\r\n\x1a\n" + bytes(200))

    summary = place.run()

    assert (summary.deidentified, summary.not_dicom, summary.failures) == (3, 3, [])
    assert len(place.results()) == 3


def test_nothing_of_the_source_is_in_the_destination(
    place: Place, images: Callable[[int], bytes]
) -> None:
    place.put("Doe^Jane/HOSP-4711/19610203.dcm", images(1))
    place.put("Doe^Jane/HOSP-4711/broken.dcm", images(2)[:-2])
    place.run()

    for path in place.destination.rglob("*"):
        for word in (b"Doe", b"4711", b"Anna", b"19610203", b"broken", b"HOSP"):
            assert word not in os.fsencode(path.relative_to(place.destination))
            if path.is_file():
                assert word not in path.read_bytes()


def test_the_destination_is_for_its_owner_alone(
    place: Place, images: Callable[[int], bytes]
) -> None:
    place.put("a", images(1))
    place.run()
    for folder in (place.destination, place.destination / FOLDER):
        assert stat.S_IMODE(folder.stat().st_mode) == 0o700


def test_a_single_file_is_a_source(place: Place, images: Callable[[int], bytes]) -> None:
    place.source = place.put("a", images(1))
    assert place.run().deidentified == 1


def test_links_out_of_the_source_are_told_and_not_followed(
    place: Place, images: Callable[[int], bytes], tmp_path: Path
) -> None:
    inside = place.put("folder/inside", images(1))
    outside = tmp_path / "elsewhere"
    outside.mkdir()
    (outside / "other").write_bytes(images(2))
    (place.source / "file").symlink_to(outside / "other")
    (place.source / "tree").symlink_to(outside)
    (place.source / "again").symlink_to(inside)
    (place.source / "round").symlink_to(place.source)
    (place.source / "loop").symlink_to(place.source / "loop")
    os.mkfifo(place.source / "pipe")

    summary = place.run()

    assert summary.deidentified == 1
    assert summary.failures == [("file", LINK), ("tree", LINK)]


def test_the_same_content_twice_counts_once(place: Place, images: Callable[[int], bytes]) -> None:
    place.put("a", images(1))
    place.put("b/c", images(1))
    summary = place.run()
    assert (summary.deidentified, summary.duplicates, summary.failures) == (2, 1, [])
    assert len(place.results()) == 1
    again = place.run()
    assert (again.deidentified, again.earlier, again.duplicates) == (2, 2, 1)


def test_the_same_uid_with_another_content_fails_and_replaces_nothing(
    place: Place, image: Callable[..., bytes]
) -> None:
    first, second = image(pixels=b"\1\2"), image(pixels=b"\3\4")
    place.put("a", first)
    place.put("b", second)
    for _ in range(2):
        summary = place.run()
        assert summary.deidentified == 1
        ((name, reason),) = summary.failures
        assert name == "b"
        assert "SOPInstanceUID of a, and another content" in reason
        assert list(place.results().values()) == [place.engine().deidentify(first).data]


def test_a_second_run_does_nothing_again(place: Place, images: Callable[[int], bytes]) -> None:
    for number in range(5):
        place.put(str(number), images(number))
    place.run()
    times = {path: path.stat().st_ctime_ns for path in place.destination.rglob("*.dcm")}
    summary = place.run()
    assert (summary.deidentified, summary.earlier) == (5, 5)
    assert {path: path.stat().st_ctime_ns for path in times} == times


def test_what_came_changed_or_was_lost_is_done(
    place: Place, images: Callable[[int], bytes], image: Callable[..., bytes]
) -> None:
    for number in range(3):
        place.put(str(number), images(number))
    place.run()
    place.put("0", images(8))  # another object in the same file
    place.put("1", with_uid(image(pixels=b"\7\7\7\7\7\7"), 1))  # another content of the same object
    place.put("3", images(3))
    gone = place.engine().deidentify(images(2))
    next(place.destination.rglob(f"{gone.SOPInstanceUID}.dcm")).unlink()

    summary = place.run()

    assert (summary.deidentified, summary.earlier, summary.failures) == (4, 0, [])
    inputs = [path.read_bytes() for path in sorted(place.source.iterdir())]
    expected = sorted(place.engine().deidentify(data).data for data in inputs)
    assert sorted(place.results().values()) == expected


def test_what_failed_is_tried_again(place: Place, images: Callable[[int], bytes]) -> None:
    place.put("a", images(1))
    place.put("b", images(2)[:-2])
    assert [name for name, _ in place.run().failures] == ["b"]
    place.put("b", images(2))
    summary = place.run()
    assert (summary.deidentified, summary.earlier, summary.failures) == (2, 1, [])


def test_another_key_or_other_options_are_refused(
    place: Place, images: Callable[[int], bytes], tmp_path: Path
) -> None:
    place.put("a", images(1))
    place.run()
    before = place.results()
    with pytest.raises(FolderError, match="other options"):
        place.run(DeidentifyOptions(dummy_text="none"))
    place.key_file = tmp_path / "another"
    with pytest.raises(FolderError, match="another key"):
        place.run()
    assert place.results() == before


def test_a_foreign_folder_is_refused(place: Place, images: Callable[[int], bytes]) -> None:
    place.put("a", images(1))
    place.destination.mkdir()
    (place.destination / "mine.txt").write_text("mine")
    with pytest.raises(FolderError, match="new or empty"):
        place.run()
    assert list(place.destination.iterdir()) == [place.destination / "mine.txt"]


@pytest.mark.parametrize("inner", ["source", "destination"])
def test_source_and_destination_lie_apart(
    place: Place, images: Callable[[int], bytes], inner: str
) -> None:
    place.put("a", images(1))
    if inner == "destination":
        place.destination = place.source / "out"
    else:
        place.destination = place.source.parent
    with pytest.raises(FolderError, match="in one another"):
        place.run()
    assert sorted(path.name for path in place.source.iterdir()) == ["a"]


def test_a_lost_key_is_told(place: Place, images: Callable[[int], bytes]) -> None:
    place.put("a", images(1))
    description = place.description()
    place.key_file.unlink()
    with pytest.raises(SecretError, match="missing"):
        deidentify_folder(Request(place.source, place.destination, description, 1))


def test_a_destination_that_cannot_be_written_ends_the_run_in_words(
    place: Place, images: Callable[[int], bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    place.put("a", images(1))
    place.run()
    place.put("b", images(2))

    def full(*_arguments: object) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    with monkeypatch.context() as broken:
        broken.setattr(FolderState, "put", full)
        with pytest.raises(StorageError, match="the same command goes on"):
            place.run()
    summary = place.run()
    assert (summary.deidentified, summary.earlier, summary.failures) == (2, 1, [])


@pytest.fixture
def deadly(monkeypatch: pytest.MonkeyPatch) -> None:
    """Kill the process that works on a file named ``deadly``."""
    monkeypatch.setattr("preread.deidentify.folders.pool._work", work_or_die)


def work_or_die(task: Task) -> object:
    """Work as a worker does, and be killed while a certain file is worked on."""
    from preread.deidentify.folders import pool

    if task.source.name == "deadly":
        task.target.touch()
        os.kill(os.getpid(), signal.SIGKILL)
    assert pool._engine is not None
    return deidentify_file(task.source, task.target, pool._engine)


@pytest.mark.usefixtures("deadly")
def test_a_process_that_dies_costs_the_file_it_worked_on(
    place: Place, images: Callable[[int], bytes]
) -> None:
    for number in range(6):
        place.put("deadly" if number == 2 else f"file{number}", images(number))
    summary = place.run()
    assert summary.failures == [("deadly", DIED)]
    assert summary.deidentified == 5
    assert len(place.results()) == 5
    assert not list((place.destination / FOLDER / "unfinished").iterdir())


def test_processes_that_cannot_begin_end_the_run(place: Place, tmp_path: Path) -> None:
    description = EngineDescription(tmp_path / "no key", "0" * 32, DeidentifyOptions())
    with WorkerPool(description, 2) as pool, pytest.raises(WorkersError, match="key file"):
        list(pool.outcomes([Task(place.put("a", b"x"), tmp_path / "target")]))


def test_a_file_that_grows_meanwhile_is_not_stored(
    place: Place, images: Callable[[int], bytes], tmp_path: Path
) -> None:
    source, target = place.put("a", images(1)), tmp_path / "target"
    deidentifier = place.engine()

    class Slow(Deidentifier):
        def deidentify(
            self, data: bytes | memoryview, budget: Budget | None = None
        ) -> Deidentified:
            with source.open("ab") as file:
                file.write(b"more")
            return deidentifier.deidentify(data)

    engine = Engine(Slow(Secret.load_or_create(place.key_file)))
    outcome = deidentify_file(source, target, engine)
    assert outcome.kind is Kind.FAILED
    assert "changed while it was read" in outcome.reason
    assert not target.exists()


def test_an_object_whose_pixels_nobody_can_look_at_is_not_stored(
    place: Place, images: Callable[[int], bytes], tmp_path: Path
) -> None:
    from preread.deidentify.pixels.policy import Look

    source, target = place.put("a", images(1)), tmp_path / "target"
    deidentifier = place.engine()

    class Looking(Deidentifier):
        def deidentify(
            self, data: bytes | memoryview, budget: Budget | None = None
        ) -> Deidentified:
            return dataclasses.replace(deidentifier.deidentify(data), look=Look.TEXT)

    engine = Engine(Looking(Secret.load_or_create(place.key_file)))
    outcome = deidentify_file(source, target, engine)
    assert (outcome.kind, target.exists()) == (Kind.FAILED, False)
    assert "pixels" in outcome.reason


def test_each_file_has_its_audit_line(
    place: Place, images: Callable[[int], bytes], tmp_path: Path
) -> None:
    place.put("a", images(1))
    place.put("b", images(2)[:400])
    audit = tmp_path / "audit.jsonl"
    engine = Engine.build(dataclasses.replace(place.description(), audit=audit))
    for name in ("a", "b"):
        deidentify_file(place.source / name, tmp_path / "target", engine)
    first, second = (json.loads(line) for line in audit.read_text().splitlines())
    assert int(first["EventIdentification"]["EventOutcomeIndicator"]) == 0
    assert int(second["EventIdentification"]["EventOutcomeIndicator"]) == 8
    assert hashlib.sha256(images(1)).hexdigest() in json.dumps(first)


@pytest.mark.shared_data
def test_real_files_of_every_kind(place: Place, shared_dicom: Path) -> None:
    for name in ("variety", "malformed"):
        shutil.copytree(shared_dicom / name, place.source / name)
    summary = place.run()
    files = sum(path.is_file() for path in place.source.rglob("*"))
    counted = summary.deidentified + summary.not_dicom + summary.directories
    assert counted + len(summary.failures) == files
    made = place.results()
    assert len(made) == summary.deidentified - summary.duplicates
    engine, expected = place.engine(), set()
    failed = {name for name, _ in summary.failures}
    for path in place.source.rglob("*"):
        if path.is_file() and str(path.relative_to(place.source)) not in failed:
            data = path.read_bytes()
            if is_dicom(data) and not is_directory(data):
                expected.add(engine.deidentify(data).data)
    assert set(made.values()) == expected
