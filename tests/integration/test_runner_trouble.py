"""A runner that hangs or cannot start: Orthanc sees it, says it, and goes on by itself."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.integration.images import ct_series
from tests.integration.pacs import Pacs, eventually


def test_a_hung_runner_is_replaced_and_one_that_cannot_start_says_why(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_pacs(
        {
            "Deidentify": {"Mode": "incoming"},
            "Models": {"Run": ["MobileNetV2-CT-Scan"]},
            "Runner": {"SilenceSeconds": 10},
        }
    ).start()

    def runner() -> dict[str, Any]:
        found: dict[str, Any] = pacs.get("/preread/status")["Runner"]
        return found

    def reads() -> bool:
        told = runner()
        return bool(told["Pid"] and (told["Status"] or {}).get("Pid") == told["Pid"]) and bool(
            told["Status"]["Engine"]
        )

    eventually(reads, 120, "the first runner")
    hung = pacs.runner_pid()
    os.kill(hung, signal.SIGSTOP)
    pacs.send(ct_series(tmp_path / "ct", 2).files)
    eventually(lambda: pacs.runner_pid() not in (0, hung), 120, "another runner")
    assert "no sign of life" in runner()["LastExitReason"]
    assert "the runner hangs" in pacs.log.read_text()
    assert sum(pacs.wait_until_read().values()) == 2
    # A ledger that cannot be opened: status, log and metrics say so.
    ledger = pacs.own_folder / "ledger.sqlite"
    for file in pacs.own_folder.glob("ledger.sqlite*"):
        file.unlink()
    ledger.mkdir()
    os.kill(pacs.runner_pid(), signal.SIGKILL)
    eventually(lambda: "not a file" in runner()["LastExitReason"], 120, "the reason")
    assert runner()["LastExitCode"] == 1
    assert f"{ledger}: not a file" in pacs.log.read_text()
    metrics = pacs.http.get("/preread/metrics")
    assert metrics.status_code == 200
    assert "\npreread_journal_up 1.0\n" in metrics.text
    assert "preread_refused_total" in metrics.text
