"""``preread deidentify`` as a person meets it: real processes, real kills, real memory."""

from __future__ import annotations

import json
import os
import pty
import signal
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pydicom
import pytest

from preread.deidentify import Deidentifier, DeidentifyOptions, Secret
from preread.deidentify.folders.state import FOLDER
from preread.deidentify.options import Option

PACKAGED = Path(pydicom.__file__).parent / "data" / "test_files"
COMMAND = [sys.executable, "-m", "preread", "deidentify"]
MEBIBYTE = 2**20


def preread(*arguments: object, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, arguments)],
        cwd=folder, capture_output=True, text=True, check=False,
    )  # fmt: skip


def results(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file() and FOLDER not in path.parts
    }


@pytest.fixture
def source(tmp_path: Path, image: Callable[..., bytes]) -> Path:
    folder = tmp_path / "Doe^Jane"
    folder.mkdir()
    (folder / "ct").write_bytes((PACKAGED / "CT_small.dcm").read_bytes())
    (folder / "own.dcm").write_bytes(image())
    (folder / "notes.txt").write_text("not DICOM at all")
    return folder


def test_all_done(source: Path, tmp_path: Path) -> None:
    out, key, report = tmp_path / "out", tmp_path / "key", tmp_path / "report.json"
    done = preread(source, out, "--key", key, "--new-key", "--report", report, "--jobs", 2)

    assert done.returncode == 0, done.stderr
    assert done.stdout == "2 de-identified, 1 skipped (not DICOM), 0 failed\n"
    assert f"{key}: a new key" in done.stderr
    assert "\x1b" not in done.stderr  # no bar where nobody watches
    assert stat.S_IMODE(key.stat().st_mode) == stat.S_IMODE(report.stat().st_mode) == 0o600
    told = json.loads(report.read_text())
    assert told.pop("Seconds") > 0
    assert told == {
        "Deidentified": 2, "Earlier": 0, "Duplicates": 0, "NotDicom": 1, "Directories": 0,
        "Lost": [], "Failed": [],
    }  # fmt: skip
    engine = Deidentifier(Secret.load_or_create(key))
    expected = [engine.deidentify((source / name).read_bytes()).data for name in ("ct", "own.dcm")]
    assert sorted(results(out).values()) == sorted(expected)

    again = preread(source, out, "--key", key)
    assert again.stdout == "2 de-identified (2 earlier), 1 skipped (not DICOM), 0 failed\n"
    assert again.stderr == ""


def test_what_failed_is_listed(source: Path, tmp_path: Path, image: Callable[..., bytes]) -> None:
    (source / "cut\x1b[2J.dcm").write_bytes(image()[:-2])
    report = tmp_path / "report.json"
    key = tmp_path / "key"
    done = preread(source, tmp_path / "out", "--key", key, "--new-key", "--report", report)
    assert done.returncode == 1
    assert done.stdout == "2 de-identified, 1 skipped (not DICOM), 1 failed\n"
    (line,) = [line for line in done.stderr.splitlines() if "a new key" not in line]
    assert line.startswith("cut\\x1b[2J.dcm: cannot be de-identified (7FE0,0010): at byte ")
    (failure,) = json.loads(report.read_text())["Failed"]
    assert f"{failure['File']}: {failure['Reason']}" == line


def test_key_and_settings_come_from_the_configuration(source: Path, tmp_path: Path) -> None:
    settings = {"DummyText": "gone", "Options": ["RetainInstitutionIdentity"]}
    configuration = {
        "StorageDirectory": "storage",
        "Preread": {
            "Deidentify": {"Mode": "incoming", **settings},
            "Predictions": {"Placement": "derived"},
        },
    }
    (tmp_path / "orthanc.json").write_text(json.dumps(configuration))
    done = preread(source, "out", "--option", "RetainUIDs", "--new-key", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    secret = Secret.load_or_create(tmp_path / "storage" / "preread" / "secret.key", None)
    options = frozenset((Option.RETAIN_INSTITUTION_IDENTITY, Option.RETAIN_UIDS))
    engine = Deidentifier(secret, DeidentifyOptions(dummy_text="gone", options=options))
    expected = engine.deidentify((source / "ct").read_bytes())
    original = pydicom.dcmread(source / "ct")
    assert expected.SOPInstanceUID == original.SOPInstanceUID
    made = results(tmp_path / "out")
    place = f"{expected.PatientID}/{original.StudyInstanceUID}/{original.SeriesInstanceUID}"
    assert made[f"{place}/{original.SOPInstanceUID}.dcm"] == expected.data


def test_a_mistyped_key_makes_no_new_one(source: Path, tmp_path: Path) -> None:
    Secret.load_or_create(tmp_path / "key")
    done = preread(source, "out", "--key", "kee", folder=tmp_path)
    assert done.returncode == 2
    assert "kee: there is no such key file" in done.stderr
    assert "--new-key" in done.stderr
    assert not (tmp_path / "kee").exists()
    assert not (tmp_path / "out").exists()


def test_a_configuration_without_a_key_makes_no_new_one(source: Path, tmp_path: Path) -> None:
    (tmp_path / "orthanc.json").write_text('{"StorageDirectory": "storage"}')
    done = preread(source, "out", folder=tmp_path)
    assert done.returncode == 2
    assert "secret.key: there is no such key file" in done.stderr
    assert not (tmp_path / "storage").exists()


@pytest.mark.parametrize("names", [[], ["notes.txt"]])
def test_a_folder_without_dicom_is_said(tmp_path: Path, names: list[str]) -> None:
    source = tmp_path / "source"
    source.mkdir()
    for name in names:
        (source / name).write_text("not DICOM at all")
    report = tmp_path / "report.json"
    key = tmp_path / "key"
    done = preread(source, tmp_path / "out", "--key", key, "--new-key", "--report", report)
    assert done.returncode == 1
    assert f"{source}: no DICOM file was found" in done.stderr
    assert json.loads(report.read_text())["NotDicom"] == len(names)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["missing", "out", "--key", "key"], "missing"),
        (["Doe^Jane", "Doe^Jane/out", "--key", "key"], "in one another"),
        (["Doe^Jane", "out"], "--key"),
        (["Doe^Jane", "out", "--key", "out/key"], "the key must not lie in DST"),
        (["Doe^Jane", "out", "--key", "key", "--report", "out/r"], "the report must not lie in"),
        (["Doe^Jane", "out", "--key", "key", "--option", "Retain"], "RetainUIDs"),
        (["Doe^Jane", "out", "--key", "key", "--jobs", "-1"], "jobs"),
        (["Doe^Jane", "used", "--key", "key"], "new or empty"),
        (
            ["Doe^Jane", "out", "--key", "key", "--option", "RetainLongitudinalFullDates",
             "--option", "RetainLongitudinalModifiedDates"],
            "exclude each other",
        ),
    ],
)  # fmt: skip
def test_wrong_use(source: Path, tmp_path: Path, arguments: list[str], words: str) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "mine").write_text("")
    Secret.load_or_create(tmp_path / "key")
    done = preread(*arguments, folder=tmp_path)
    assert done.returncode == 2, done.stderr
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()
    assert not (source / "out").exists()


def test_another_key_or_a_lost_one_is_refused(source: Path, tmp_path: Path) -> None:
    out, key = tmp_path / "out", tmp_path / "key"
    assert preread(source, out, "--key", key, "--new-key").returncode == 0
    before = results(out)
    other = tmp_path / "other"
    Secret.load_or_create(other)
    done = preread(source, out, "--key", other)
    assert done.returncode != 0
    assert "not the key that was used so far" in done.stderr
    key.unlink()
    lost = preread(source, out, "--key", key, "--new-key")
    assert lost.returncode != 0
    assert "the key file is missing" in lost.stderr
    assert not key.exists()
    assert results(out) == before


def test_a_terminal_sees_a_bar(source: Path, tmp_path: Path) -> None:
    reader, writer = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, source, tmp_path / "out", "--key", tmp_path / "key", "--new-key"],
        stderr=writer, stdout=subprocess.PIPE, env={**os.environ, "TERM": "xterm"},
    ) as process:  # fmt: skip
        os.close(writer)
        seen = b""
        try:
            while part := os.read(reader, 4096):
                seen += part
        except OSError:  # the other end is closed
            pass
        assert process.stdout is not None
        assert process.stdout.read() == b"2 de-identified, 1 skipped (not DICOM), 0 failed\n"
    os.close(reader)
    assert b"de-identifying" in seen
    assert b"3/3" in seen


@pytest.fixture
def interruptible() -> Iterator[None]:
    """Have processes heed Ctrl-C, though these tests may run in a background that does not."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.usefixtures("interruptible")
@pytest.mark.parametrize("how", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_run_that_is_ended_goes_on(
    tmp_path: Path, image: Callable[..., bytes], how: signal.Signals
) -> None:
    source, out, key = tmp_path / "source", tmp_path / "out", tmp_path / "key"
    source.mkdir()
    count = 500  # so many that it is far from done when the first have been seen
    for number in range(count):
        data = image(pixels=number.to_bytes(4, "big") * 200)
        uid = b"1.9.76543.1.2.3\0"
        assert data.count(uid) == 1
        other = b"1.9.76543.%05d\0" % (10_000 + number)
        (source / str(number)).write_bytes(data.replace(uid, other))
    whole = tmp_path / "whole"
    assert preread(source, whole, "--key", key, "--new-key", "--jobs", 2).returncode == 0

    with subprocess.Popen(
        [*COMMAND, str(source), str(out), "--key", str(key), "--jobs", "2"],
        stderr=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        deadline = time.monotonic() + 60
        while sum(1 for _ in out.rglob("*.dcm")) < 20:
            assert process.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.005)
        children = children_of(process.pid)
        process.send_signal(how)
        process.wait()
    assert process.returncode == (130 if how is signal.SIGINT else -how)
    assert children
    wait_for_end(children)
    done = {path: path.stat().st_mtime_ns for path in out.rglob("*.dcm")}
    assert 20 <= len(done) < count

    again = preread(source, out, "--key", key, "--jobs", 2)
    assert again.returncode == 0, again.stderr
    earlier = int(again.stdout.split("(")[1].split(" earlier")[0])
    # Of the files in place the last one may not have been noted.
    assert len(done) - 1 <= earlier <= len(done)
    same = sum(path.stat().st_mtime_ns == when for path, when in done.items())
    assert same >= len(done) - 1
    assert results(out) == results(whole)
    assert not list((out / FOLDER / "unfinished").iterdir())


def children_of(pid: int) -> list[int]:
    """List the processes that de-identify for a process."""
    children = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(child) for child in children]


def wait_for_end(pids: list[int]) -> None:
    """Wait until processes are gone that nobody ended."""
    deadline = time.monotonic() + 10
    while any(is_running(pid) for pid in pids):
        assert time.monotonic() < deadline, "processes outlive the one that started them"
        time.sleep(0.02)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def peak_of(source: Path, out: Path, key: Path) -> float:
    """Return the largest memory, in MiB, of all processes that de-identify a folder."""
    code = (
        "import resource, subprocess, sys; "
        "subprocess.run(sys.argv[1:], check=True, stdout=subprocess.DEVNULL); "
        "print(resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss)"
    )
    command = [*COMMAND, str(source), str(out), "--key", str(key), "--new-key", "--jobs", "1"]
    done = subprocess.run(
        [sys.executable, "-c", code, *command], capture_output=True, text=True, check=True
    )
    return int(done.stdout) / 1024


@pytest.mark.slow
def test_memory_does_not_grow_with_pixel_data(tmp_path: Path, image: Callable[..., bytes]) -> None:
    small, large = tmp_path / "small", tmp_path / "large"
    for folder in (small, large):
        folder.mkdir()
    (small / "image").write_bytes(image())
    size = 500 * MEBIBYTE
    data = image(pixels=b"")
    assert data.endswith(b"\0\0\0\0")  # the length of the pixel data
    with (large / "image").open("wb") as file:
        file.write(data[:-4] + size.to_bytes(4, "little"))
        for number in range(500):
            file.write(number.to_bytes(2, "little") * (MEBIBYTE // 2))
    key = tmp_path / "key"
    base = peak_of(small, tmp_path / "out-small", key)
    peak = peak_of(large, tmp_path / "out-large", key)
    (result,) = (tmp_path / "out-large").rglob("*.dcm")
    assert result.stat().st_size > size
    with result.open("rb") as made, (large / "image").open("rb") as given:
        made.seek(-size, os.SEEK_END)
        given.seek(-size, os.SEEK_END)
        while part := given.read(MEBIBYTE):
            assert made.read(MEBIBYTE) == part
    assert peak - base < 64
