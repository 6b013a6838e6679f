"""The supervisor against real processes."""

import importlib
import json
import os
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


def make(module: Any, folder: Path, script: str, silence: float = 60) -> Any:
    return module.Supervisor(
        [sys.executable, "-c", script],
        {"Token": "secret"},
        folder,
        folder / "errors.log",
        folder / "status.json",
        silence,
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
    assert watched.state.last_exit_reason == "it gave no reason"
    watched.stop()


def test_a_runner_that_cannot_start_says_why(
    supervisor: Any, orthanc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    (tmp_path / "errors.log").write_text("preread: an older reason\n")
    says = "import sys; sys.exit('JANE DOE\\npreread: the key is missing')"
    watched = make(supervisor, tmp_path, says)
    watched.start()
    eventually(lambda: watched.state.starts >= 2)
    assert watched.state.last_exit_reason == "the key is missing"
    watched.stop()
    told = str(orthanc.called("LogError"))
    assert "the key is missing" in told
    assert "JANE" not in told


def test_a_runner_that_gives_no_sign_of_life_is_replaced(
    supervisor: Any, orthanc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    monkeypatch.setattr(supervisor, "_LOOK_EVERY", 0.02)
    monkeypatch.setattr(supervisor, "_LAST_CHANCE", 0.2)
    beats = (
        "import os, pathlib, signal, time\n"
        "for number in range(5):\n"
        "    pathlib.Path('status.json').write_text(str(number)); time.sleep(0.1)\n"
        "os.kill(os.getpid(), signal.SIGSTOP)"
    )
    watched = make(supervisor, tmp_path, beats, silence=1.5)
    watched.start()
    eventually(lambda: watched.state.starts >= 2)
    assert watched.state.last_exit_code == -9
    assert "no sign of life" in watched.state.last_exit_reason
    watched.stop()
    assert "hangs" in str(orthanc.called("LogError"))


def test_a_runner_may_take_its_time_for_loading(supervisor: Any, tmp_path: Path) -> None:
    now = 0.0
    status = tmp_path / "status.json"
    heartbeat = supervisor.Heartbeat(status, 10, lambda: now)
    now = 99.0
    assert not heartbeat.has_stopped()
    status.write_text("loading")
    assert not heartbeat.has_stopped()
    now = 198.0
    assert not heartbeat.has_stopped()
    os.utime(status, ns=(1, 1))
    assert not heartbeat.has_stopped()
    now = 209.0
    assert heartbeat.has_stopped()


def test_an_interpreter_that_is_not_there_is_told_and_tried_again(
    supervisor: Any, orthanc: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(supervisor, "_FIRST_PAUSE", 0.05)
    watched = supervisor.Supervisor(
        [str(tmp_path / "nothing")],
        {},
        tmp_path,
        tmp_path / "errors.log",
        tmp_path / "status.json",
        60,
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
