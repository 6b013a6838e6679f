"""Whatever breaks while an image is received: no original is stored, and the sender keeps it."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.faults import PLACES, SCRIPT, Faulty
from tests.integration.images import PLANTED, ct_series
from tests.integration.pacs import Pacs, eventually

Maker = Callable[..., Pacs]
IDLE: dict[str, Any] = {"Deidentify": {"Mode": "incoming"}, "Runner": {"Start": False}}


def everything_stored(pacs: Pacs) -> bytes:
    """Return all bytes below the storage folder: files, index, journal, ledger, logs."""
    return b"".join(f.read_bytes() for f in pacs.storage.rglob("*") if f.is_file())


def assert_no_original(pacs: Pacs) -> None:
    found = everything_stored(pacs) + pacs.log.read_bytes()
    for value in PLANTED:
        assert value.encode() not in found, f"{value} was left behind"


# Every exception takes the same way out of the hook; three places stand for the rarer ones.
OTHERS = [
    (place, error)
    for place in (
        "preread.deidentify:Deidentifier.deidentify",
        "preread.ledger.journal:Journal.arrive",
        "preread.hooks.failures:Failures.add",
    )
    for error in ("SystemExit", "MemoryError")
]


@pytest.fixture(scope="module")
def breakable(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Faulty]:
    """Return one node for all faults: it starts whole, and goes on after each."""
    faulty = Faulty(Pacs(tmp_path_factory.mktemp("faults") / "pacs", IDLE, script=SCRIPT))
    faulty.start()
    yield faulty
    faulty.pacs.end()


@pytest.fixture
def faulty(breakable: Faulty) -> Iterator[Faulty]:
    yield breakable
    breakable.mend()


@pytest.mark.parametrize(
    ("place", "error"), [*((place, "RuntimeError") for place in PLACES), *OTHERS]
)
def test_an_exception_anywhere_in_the_hook(
    faulty: Faulty, tmp_path: Path, place: str, error: str
) -> None:
    pacs = faulty.pacs
    before = set(pacs.instances())
    refused, failures = pacs.get("/preread/status")["Refused"], len(pacs.get("/preread/failures"))
    faulty.break_(place, error)
    series = ct_series(tmp_path / "ct", 2)
    accepted = pacs.send(series.files[:1], check=False)
    answer = pacs.upload(series.files[1].read_bytes())
    stored = [each for each in pacs.instances() if each not in before]
    assert before <= set(pacs.instances())
    if place.endswith("Failures.add"):
        assert (accepted, answer.status_code, len(stored)) == (1, 200, 2)
    elif place.endswith("Journal.stored"):
        # It is de-identified and stored; the row of the receive hook is what finds it later.
        assert (accepted, answer.status_code, len(stored)) == (1, 200, 2)
    else:
        assert (accepted, answer.status_code, stored) == (0, 400, [])
        status = pacs.get("/preread/status")
        assert status["Refused"] == refused + 2
        assert len(pacs.get("/preread/failures")) == failures + 2
    assert_no_original(pacs)


def test_a_refusal_that_cannot_be_told_is_a_refusal_still(make_pacs: Maker, tmp_path: Path) -> None:
    faulty = Faulty(make_pacs(IDLE, script=SCRIPT))
    faulty.break_("preread.hooks.failures:Failures.add")
    pacs = faulty.start()
    broken = tmp_path / "broken.dcm"
    whole = ct_series(tmp_path / "ct", 1).files[0].read_bytes()
    broken.write_bytes(whole[: len(whole) // 2])
    assert pacs.upload(broken.read_bytes()).status_code == 400
    assert pacs.instances() == []
    assert_no_original(pacs)


def test_a_lost_key_stops_the_start(make_pacs: Maker, tmp_path: Path) -> None:
    pacs = make_pacs(IDLE).start()
    series = ct_series(tmp_path / "ct", 1)
    pacs.send(series.files)
    pacs.stop()
    (pacs.own_folder / "secret.key").unlink()
    process = pacs.launch()
    assert process.wait(60) != 0
    log = pacs.log.read_text()
    assert "secret.key" in log
    assert not (pacs.own_folder / "secret.key").exists()


@pytest.mark.parametrize(
    ("section", "key"),
    [
        ({"Deidentify": {"Mode": "sideways"}}, "Preread.Deidentify.Mode"),
        ({"Deidentfy": {}}, "Preread.Deidentfy"),
        ({"Ledger": {"LeaseSeconds": "long"}}, "Preread.Ledger.LeaseSeconds"),
        ({"Deidentify": {"Mode": "off"}}, "Preread.Predictions.Placement"),
        ({"Ledger": {"Url": "postgresql://${PREREAD_NOT_SET}@db/x"}}, "Preread.Ledger.Url"),
    ],
)
def test_a_wrong_setting_stops_the_start_and_is_named(
    make_pacs: Maker, section: dict[str, Any], key: str
) -> None:
    pacs = make_pacs(section)
    assert pacs.launch().wait(60) != 0
    lines = [line for line in pacs.log.read_text().splitlines() if key in line]
    assert len(lines) == 1


def test_in_place_without_overwriting_stops_the_start(make_pacs: Maker) -> None:
    pacs = make_pacs(IDLE, configuration={"OverwriteInstances": False})
    assert pacs.launch().wait(60) != 0
    assert "OverwriteInstances" in pacs.log.read_text()


@pytest.fixture
def small_disk(tmp_path: Path) -> Any:
    """Mount a file system of 12 MB, so that a disk is really full."""
    import os
    import subprocess

    if os.geteuid() != 0:
        pytest.skip("mounting a small file system needs root")
    folder = tmp_path / "disk"
    folder.mkdir()
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=12m", "tmpfs", str(folder)], check=False
    )
    if done.returncode != 0:
        pytest.skip("this machine does not let tests mount a tmpfs")
    yield folder
    subprocess.run(["umount", "-l", str(folder)], check=True)


def test_a_full_disk(make_pacs: Maker, tmp_path: Path, small_disk: Path) -> None:
    storage = {"StorageDirectory": str(small_disk), "IndexDirectory": str(small_disk)}
    pacs = make_pacs(IDLE, configuration=storage)
    pacs.storage = small_disk
    pacs.start()
    series = ct_series(tmp_path / "ct", 40, size=512)
    accepted = sum(pacs.send([file], check=False) for file in series.files)
    assert 0 < accepted < 40
    assert len(pacs.instances()) == accepted
    assert_no_original(pacs)
    for file in small_disk.rglob("*"):
        if file.is_file() and file.stat().st_size > 400_000 and "sqlite" not in file.name:
            file.unlink()  # room again, as an administrator would make it
            break
    assert eventually(pacs.answers, 10)


def test_a_ledger_that_cannot_be_written(make_pacs: Maker, tmp_path: Path) -> None:
    """Images are received while the ledger is away; the journal keeps the work."""
    pacs = make_pacs({"Deidentify": {"Mode": "incoming"}}).start()
    series = ct_series(tmp_path / "ct", 3)
    pacs.wait_until_read()
    ledger = pacs.own_folder / "ledger.sqlite"
    pacs.stop()
    hidden = ledger.with_suffix(".hidden")
    ledger.rename(hidden)
    ledger.mkdir()
    pacs.start()
    pacs.send(series.files)
    assert len(pacs.instances()) == 3
    assert_no_original(pacs)
    pacs.stop()
    ledger.rmdir()
    hidden.rename(ledger)
    pacs.start()
    assert pacs.wait_until_read()["done"] == 3


def refused_start(pacs: Pacs, environment: dict[str, str] | None = None) -> str:
    """Return what Orthanc's log says of a start that comes to nothing."""
    before = pacs.log.stat().st_size
    pacs.launch(environment).wait(60)
    return pacs.log.read_bytes()[before:].decode(errors="replace")


def test_a_lost_folder_makes_no_new_key_while_the_images_are_there(
    make_pacs: Maker, tmp_path: Path
) -> None:
    pacs = make_pacs(IDLE).start()
    files = ct_series(tmp_path / "ct", 4).files
    pacs.send(files[:1])
    pacs.stop()
    marker, kept = pacs.storage / "preread.key-id", tmp_path / "kept"
    fingerprint = marker.read_text().splitlines()[0]
    pacs.own_folder.rename(kept)
    told = refused_start(pacs)
    assert "Put Preread's folder back" in told
    assert f"PREREAD_ACCEPT_NEW_KEY={fingerprint[:8]}" in told
    assert not (pacs.own_folder / "secret.key").exists()
    # The whole of the storage folder may be another one: then Orthanc's database knows.
    shutil.rmtree(pacs.own_folder)
    marker.unlink()
    told = refused_start(pacs)
    assert "Put Preread's folder back" in told
    assert not (pacs.own_folder / "secret.key").exists()
    assert not marker.exists()
    # Put back, all is as it was.
    shutil.rmtree(pacs.own_folder)
    shutil.copytree(kept, pacs.own_folder)
    pacs.start()
    pacs.send(files[1:2])
    assert len(pacs.get("/patients")) == 1
    pacs.stop()
    # Another node's folder is not this one's.
    (pacs.own_folder / "secret.key").unlink()
    (pacs.own_folder / "journal.sqlite").unlink()
    assert "Put Preread's folder back" in refused_start(pacs)
    # Only who says so goes on with another key, and the same word does not count twice.
    accepted = {"PREREAD_ACCEPT_NEW_KEY": fingerprint[:8]}
    pacs.start(accepted)
    assert pacs.send(files[2:3]) == 1
    pacs.stop()
    shutil.rmtree(pacs.own_folder)
    assert "Put Preread's folder back" in refused_start(pacs, accepted)
