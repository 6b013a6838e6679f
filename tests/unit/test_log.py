"""The runner's log: JSON lines, rotated, without a word of a data set."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from preread import log
from preread.errors import SettingsError

TALK = """
import logging, sys, threading, warnings
from pathlib import Path
import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID
from preread import log
from preread.imaging import UnreadableImage
import structlog

log.configure(Path(sys.argv[1]), console=sys.argv[2] == "console")
told = structlog.get_logger("preread.talk")
told.info("ready", models=["a"], seconds=1.5)
try:
    raise ValueError("DOE^JANE")
except ValueError as error:
    told.error("unexpected", exc_info=error)
try:
    raise UnreadableImage("12 bits of 8")
except UnreadableImage:
    told.exception("not read")
warnings.warn("DOE^JANE")
logging.getLogger("pydicom").warning("DOE^JANE")
logging.getLogger("anything").error("DOE^JANE")
dataset = Dataset()
dataset.add_new(0x00080018, "UI", "DOE^JANE")
thread = threading.Thread(target=lambda: int("DOE^JANE"), name="stage")
thread.start()
thread.join()
raise KeyError("DOE^JANE")
"""


def talk(file: Path, where: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", TALK, str(file), where], capture_output=True, text=True, check=False
    )


def test_the_log_is_json_lines_without_a_word_of_a_data_set(tmp_path: Path) -> None:
    file = tmp_path / "folder" / "runner.log"
    done = talk(file, "file only")
    assert (done.stdout, done.stderr) == ("", "")
    assert done.returncode == 1
    assert "DOE" not in file.read_text()
    assert file.stat().st_mode & 0o777 == 0o600
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert [event["event"] for event in events] == [
        "ready",
        "unexpected",
        "not read",
        "uncaught",
        "uncaught",
    ]
    ready, unexpected, not_read, stage, last = events
    assert ready["models"] == ["a"]
    assert ready["timestamp"].endswith("Z")
    assert unexpected["error"] == "ValueError"
    assert unexpected["places"]
    assert not_read["reason"] == "12 bits of 8"
    assert (stage["error"], stage["thread"]) == ("ValueError", "stage")
    assert last["error"] == "KeyError"


def test_a_person_reads_plain_lines(tmp_path: Path) -> None:
    done = talk(tmp_path / "runner.log", "console")
    assert "DOE" not in done.stderr
    assert "ready" in done.stderr
    assert "\x1b" not in done.stderr
    assert "{" not in done.stderr


def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(SettingsError, match=r"Preread\.Runner\.LogFile.*cannot be written"):
        log.configure(tmp_path / "file" / "runner.log", console=False)
