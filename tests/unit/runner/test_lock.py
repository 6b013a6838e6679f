"""One runner per folder and node."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from preread.runner.lock import RunnerLock, RunnerRunningError

HOLD = """
import sys
from pathlib import Path
from preread.runner.lock import RunnerLock
lock = RunnerLock(Path(sys.argv[1]), "node")
lock.acquire(0)
print("locked", flush=True)
sys.stdin.read()
"""


def test_a_second_runner_is_refused_until_the_first_is_dead(tmp_path: Path) -> None:
    first = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    assert first.stdout is not None
    assert first.stdout.readline() == b"locked\n"
    lock = RunnerLock(tmp_path, "node")
    with pytest.raises(RunnerRunningError, match="another runner"):
        lock.acquire(0)
    other = RunnerLock(tmp_path, "another node")
    other.acquire(0)
    other.release()
    first.kill()
    first.communicate()
    with lock:
        lock.acquire(10)
    with RunnerLock(tmp_path, "node") as again:
        again.acquire(0)


def test_waiting_ends_when_the_runner_is_to_end(tmp_path: Path) -> None:
    stop = threading.Event()
    stop.set()
    with RunnerLock(tmp_path, "node") as lock:
        lock.acquire(0)
        with pytest.raises(RunnerRunningError):
            RunnerLock(tmp_path, "node").acquire(600, stop)


def test_the_owner_stays_the_same_and_differs_between_folders(tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    assert RunnerLock(one, "node").owner == RunnerLock(one, "node").owner
    assert RunnerLock(one, "node").owner != RunnerLock(two, "node").owner


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(RunnerRunningError, match="cannot be opened"):
        RunnerLock(tmp_path / "file", "node").acquire(0)
