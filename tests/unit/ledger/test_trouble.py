"""Full disks, files that cannot be written, servers that are not there."""

from __future__ import annotations

import os
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from preread.findings.prediction import Prediction
from preread.ledger.errors import JournalError, LedgerError
from preread.ledger.forwarder import Forwarder
from preread.ledger.job import JobState
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger

_NOBODY = 65534


def _child(*arguments: object) -> tuple[int, list[str]]:
    done = subprocess.run(
        [sys.executable, str(Path(__file__).with_name("child.py")), *map(str, arguments)],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.splitlines()


def test_a_journal_that_cannot_grow_refuses_and_loses_nothing(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        pass
    code, lines = _child("fill", path, 1, 1_500_000)
    stored = {line.split()[1] for line in lines if line.startswith("stored")}
    assert code == 3
    assert lines[-1].startswith("error JournalError journal ")
    assert "no room" in lines[-1]
    assert len(stored) > 20
    with Journal(path) as journal:
        events = journal.events_after(0, 100_000)
        assert stored == {event.arrival.SOPInstanceUID for event in events if event.arrival}
    code, lines = _child("fill", path, 2, 9_000_000)
    assert sum(line.startswith("stored") for line in lines) > 20, "there is room again"


def test_a_ledger_that_cannot_grow_leaves_the_events_in_the_journal(
    tmp_path: Path, arrival_of: Any
) -> None:
    url = f"sqlite:///{tmp_path}/ledger.sqlite"
    SqlLedger(url).close()
    with Journal(tmp_path / "journal.sqlite") as journal:
        for number in range(1500):
            journal.arrive(arrival_of(number))
            journal.stored(arrival_of(number).instance)
        code, lines = _child("apply", journal.path, url, 1_600_000)
        assert code == 3
        assert lines[-1].startswith("error LedgerError ledger sqlite:///")
        assert arrival_of().SOPInstanceUID not in lines[-1]
        ledger = SqlLedger(url)
        moved = ledger.counts()[JobState.PENDING]
        assert moved < 1500
        assert len(journal.events_after(ledger.cursor(journal.uuid) or 0, 5000)) == 1500 - moved
        forwarder = Forwarder(journal, ledger)
        while forwarder.step():
            pass
        assert ledger.counts()[JobState.PENDING] == 1500
        ledger.close()


@pytest.fixture
def small_disk() -> Iterator[Path]:
    """A file system of two megabytes, one of them taken by the file `ballast`."""
    folder = Path(tempfile.mkdtemp(prefix="preread-disk-"))
    mounted = shutil.which("mount") is not None and (
        subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)],
            capture_output=True,
            check=False,
        ).returncode
        == 0
    )
    try:
        if not mounted:
            pytest.skip("mounting a small file system needs root's privileges")
        (folder / "ballast").write_bytes(bytes(1 << 20))
        yield folder
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=True)
        folder.rmdir()


def test_a_full_disk_is_reported_and_ends_when_there_is_room(
    small_disk: Path, arrival_of: Any
) -> None:
    stored: list[str] = []
    with Journal(small_disk / "journal.sqlite") as journal:

        def store_until_full() -> None:
            for number in range(len(stored), 100_000):
                journal.arrive(arrival_of(number))
                journal.stored(arrival_of(number).instance)
                stored.append(arrival_of(number).instance)

        for _ in range(2):
            with pytest.raises(JournalError, match="the disk is full"):
                store_until_full()
        assert [event.instance for event in journal.events_after(0, 100_000)] == stored
        (small_disk / "ballast").unlink()
        before = len(stored)
        with pytest.raises(JournalError, match="the disk is full"):
            store_until_full()
        assert len(stored) > before
    with Journal(small_disk / "journal.sqlite") as journal:
        assert [event.instance for event in journal.events_after(0, 100_000)] == stored


def test_a_full_disk_leaves_a_job_as_it_was(
    small_disk: Path, arrival_of: Any, tmp_path: Path, prediction: Prediction
) -> None:
    ledger = SqlLedger(f"sqlite:///{small_disk}/ledger.sqlite")
    with Journal(tmp_path / "journal.sqlite") as journal:
        for number in range(5):
            journal.arrive(arrival_of(number))
            journal.stored(arrival_of(number).instance)
        Forwarder(journal, ledger).step()
    jobs = ledger.reserve("me", 5, 60)
    free = shutil.disk_usage(small_disk).free
    (small_disk / "more").write_bytes(bytes(free))
    acknowledged: list[bool] = []

    def acknowledge_all() -> None:
        acknowledged.extend(ledger.acknowledge(job, [prediction] * 200) for job in jobs)

    with pytest.raises(LedgerError, match="make room on the disk"):
        acknowledge_all()
    assert ledger.counts()[JobState.RUNNING] == len(jobs) - sum(acknowledged) > 0
    (small_disk / "more").unlink()
    (small_disk / "ballast").unlink()
    assert ledger.acknowledge(jobs[-1], [prediction])
    ledger.close()


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that every user may enter, unlike pytest's own."""
    folder = Path(tempfile.mkdtemp(prefix="preread-open-"))
    folder.chmod(0o755)
    try:
        yield folder
    finally:
        folder.chmod(0o755)
        shutil.rmtree(folder)


@contextmanager
def _nobody() -> Iterator[None]:
    """Be a user to whom permissions apply."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(0)


def _protect(folder: Path) -> None:
    for file in folder.iterdir():
        file.chmod(0o444)
    folder.chmod(0o555)


def test_a_read_only_journal_is_a_clear_error(open_folder: Path) -> None:
    Journal(open_folder / "journal.sqlite").close()
    _protect(open_folder)
    with _nobody(), pytest.raises(JournalError, match="check the permissions"):
        Journal(open_folder / "journal.sqlite")


def test_a_folder_that_cannot_be_written_is_a_clear_error(open_folder: Path) -> None:
    _protect(open_folder)
    with _nobody(), pytest.raises(JournalError, match="cannot be made"):
        Journal(open_folder / "journal.sqlite")
    with _nobody(), pytest.raises(LedgerError, match="cannot be made"):
        SqlLedger(f"sqlite:///{open_folder}/ledger.sqlite")


def test_a_read_only_ledger_is_a_clear_error(open_folder: Path) -> None:
    url = f"sqlite:///{open_folder}/ledger.sqlite"
    SqlLedger(url).close()
    _protect(open_folder)
    with _nobody(), pytest.raises(LedgerError, match="check the permissions"):
        SqlLedger(url).reserve("me", 1, 60)


def test_a_ledger_that_is_no_database_is_a_clear_error(tmp_path: Path) -> None:
    (tmp_path / "ledger.sqlite").write_bytes(b"something else" * 1000)
    with pytest.raises(LedgerError, match="restore the file"):
        SqlLedger(f"sqlite:///{tmp_path}/ledger.sqlite")
    with pytest.raises(LedgerError, match="not a file"):
        SqlLedger(f"sqlite:///{tmp_path}")


def test_a_ledger_that_another_process_holds_is_waited_for_a_bounded_time(tmp_path: Path) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.sqlite", busy_timeout=0.05)
    other = sqlite3.connect(tmp_path / "ledger.sqlite", isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(LedgerError, match="another process holds it"):
        ledger.reserve("me", 1, 60)
    assert ledger.counts()[JobState.PENDING] == 0
    other.execute("ROLLBACK")
    other.close()
    assert ledger.reserve("me", 1, 60) == []
    ledger.close()


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("mysql://user:secret@host/db", "mysql is not supported"),
        ("postgresql+asyncpg://user:secret@host/db", "asyncpg is not supported"),
        ("ledger.sqlite", "not a database URL"),
        ("sqlite://", "needs a file"),
        ("sqlite:///:memory:", "needs a file"),
        ("postgresql://user:secret@127.0.0.1:1/db", "cannot be reached"),
    ],
)
def test_a_url_that_cannot_be_used_is_a_clear_error(url: str, message: str) -> None:
    with pytest.raises(LedgerError, match=message) as caught:
        SqlLedger(url)
    assert "secret" not in str(caught.value)


@pytest.mark.postgres
def test_a_server_that_crashes_is_found_again(
    postgres_server: Any, journal: Journal, arrival_of: Any, prediction: Prediction
) -> None:
    ledger = SqlLedger(postgres_server.url())
    forwarder = Forwarder(journal, ledger)
    for number in range(2):
        journal.arrive(arrival_of(number))
        journal.stored(arrival_of(number).instance)
    forwarder.step()
    done, held = ledger.reserve("me", 2, 600)
    assert ledger.acknowledge(done, [prediction])
    postgres_server.stop(signal.SIGQUIT)
    try:
        with pytest.raises(LedgerError):
            ledger.acknowledge(held, [prediction])
    finally:
        postgres_server.start()
    assert ledger.counts()[JobState.DONE] == 1
    assert ledger.acknowledge(held, [prediction])
    ledger.close()
