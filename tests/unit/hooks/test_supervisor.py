"""The supervisor against real processes."""

import importlib
import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def supervisor(orthanc: ModuleType) -> Any:
    return importlib.import_module("preread.hooks.supervisor")


def eventually(condition: Callable[[], object], seconds: float = 20) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "did not happen in time"
        time.sleep(0.02)


def make(module: Any, folder: Path, script: str) -> Any:
    return module.Supervisor(
        [sys.executable, "-c", script], {"Token": "secret"}, folder, folder / "errors.log"
    )


ECHO = """
import signal, sys, pathlib
signal.signal(signal.SIGTERM, signal.SIG_IGN)  # which comes soon after the end of the lifeline
pathlib.Path("greeting").write_text(sys.stdin.readline())
sys.stdin.read()
pathlib.Path("ended").touch()
"""


def test_the_runner_gets_its_greeting_and_ends_with_its_lifeline(
    supervisor: Any, tmp_path: Path
) -> None:
    watched = make(supervisor, tmp_path, ECHO)
    watched.start()
    eventually(lambda: (tmp_path / "greeting").exists() and (tmp_path / "greeting").read_text())
    assert json.loads((tmp_path / "greeting").read_text()) == {"Token": "secret"}
    pid = watched.state.pid
    assert b"secret" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert b"secret" not in Path(f"/proc/{pid}/environ").read_bytes()
    watched.stop()
    assert (tmp_path / "ended").exists()
    assert watched.state.pid is None


def test_a_runner_that_ends_is_started_again_with_growing_pauses(
    supervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    watched = make(supervisor, tmp_path, "import sys; sys.exit(3)")
    watched.start()
    eventually(lambda: watched.state.starts >= 3)
    assert watched.state.last_exit_code == 3
    watched.stop()


def test_an_interpreter_that_is_not_there_is_told_and_tried_again(
    supervisor: Any, orthanc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    watched = supervisor.Supervisor(
        [str(tmp_path / "nothing")], {}, tmp_path, tmp_path / "errors.log"
    )
    watched.start()
    eventually(lambda: len(orthanc.called("LogError")) >= 2)
    assert "cannot be started" in str(orthanc.called("LogError")[0])
    watched.stop()


def test_a_runner_that_will_not_end_is_ended(
    supervisor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_PATIENCE", 0.2)
    script = (
        "import signal, time, pathlib; signal.signal(signal.SIGTERM, signal.SIG_IGN); "
        "pathlib.Path('up').touch(); time.sleep(600)"
    )
    watched = make(supervisor, tmp_path, script)
    watched.start()
    eventually((tmp_path / "up").exists)
    watched.stop()
    eventually(lambda: watched.state.pid is None)
