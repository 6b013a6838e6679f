"""What the runner tells of itself."""

from __future__ import annotations

import json
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import pytest

from preread.runner.meter import Meter
from preread.runner.status import RunnerStatus


def test_it_is_read_as_it_was_written(tmp_path: Path) -> None:
    told = RunnerStatus(
        engine="openvino",
        models=("a", "b"),
        images_read=7,
        images_failed=1,
        in_hand=3,
        last_error="why",
        last_error_at=datetime.now(UTC),
    )
    told.seconds["Fetch"] = 1.5
    told.write(tmp_path / "runner.json")
    assert RunnerStatus.read(tmp_path / "runner.json") == told
    assert list(tmp_path.iterdir()) == [tmp_path / "runner.json"]


@pytest.mark.parametrize("content", ["", "{", "[]", "{}", '{"Pid": "x"}', "null", "[" * 100_000])
def test_what_is_no_status_is_none(tmp_path: Path, content: str) -> None:
    file = tmp_path / "runner.json"
    assert RunnerStatus.read(file) is None
    file.write_text(content)
    assert RunnerStatus.read(file) is None


def test_orthanc_can_import_it_cheaply() -> None:
    code = "import sys; import preread.runner.status; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not {"torch", "httpx", "numpy", "pydicom", "sqlalchemy", "structlog"} & set(loaded)


def test_the_meter_adds_up(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "runner.json")
    meter.loaded("torch", ["a"])
    for _ in range(2):
        with meter.timed("Infer"):
            meter.read()
    meter.failed("why")
    meter.write(in_hand=4)
    told = json.loads((tmp_path / "runner.json").read_text())
    assert (told["ImagesRead"], told["ImagesFailed"], told["InHand"]) == (2, 1, 4)
    assert told["Seconds"]["Infer"] >= 0
    assert told["LastError"] == "why"
    assert told["LastErrorAt"]


def test_a_disk_that_is_full_does_not_stop_the_meter(tmp_path: Path) -> None:
    meter = Meter(tmp_path / "missing" / "runner.json")
    meter.write()
    assert "runner.json" in meter.status.last_error
