"""The whole way with the ledger on a real PostgreSQL; the journal stays local."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.images import ct_series
from tests.integration.pacs import Pacs, eventually
from tests.integration.test_main_way import assert_each_read_once
from tests.postgres_server import PostgresServer

pytestmark = pytest.mark.postgres


def test_images_are_read_and_received_while_the_ledger_is_away(
    make_pacs: Callable[..., Pacs], tmp_path: Path, postgres_server: PostgresServer
) -> None:
    url = postgres_server.url()
    pacs = make_pacs({"Deidentify": {"Mode": "incoming"}, "Ledger": {"Url": url}}).start()
    pacs.send(ct_series(tmp_path / "a", 3).files)
    assert pacs.wait_until_read()["done"] == 3
    assert not (pacs.own_folder / "ledger.sqlite").exists()
    postgres_server.stop(signal.SIGQUIT)
    pacs.send(ct_series(tmp_path / "b", 3, seed=1).files)
    assert len(pacs.instances()) == 6
    assert pacs.get("/preread/status")["Ledger"] != "reachable"
    answer = pacs.http.get("/preread/jobs")
    assert answer.status_code == 503
    assert "Traceback" not in answer.text
    postgres_server.start()
    assert pacs.wait_until_read()["done"] == 6
    assert_each_read_once(pacs, 6)


def test_a_runner_that_orthanc_did_not_start(
    make_pacs: Callable[..., Pacs], tmp_path: Path, postgres_server: PostgresServer
) -> None:
    """Beside Orthanc the journal is forwarded all the same; the runner may be anywhere."""
    section = {
        "Deidentify": {"Mode": "incoming"},
        "Ledger": {"Url": postgres_server.url()},
        "Runner": {"Start": False},
    }
    pacs = make_pacs(section).start()
    pacs.send(ct_series(tmp_path / "ct", 3).files)
    eventually(lambda: pacs.jobs()["pending"] == 3, 60, "the journal is forwarded")
    command = [sys.executable, "-m", "preread", "runner", "--once"]
    done = subprocess.run(
        [*command, "--config", str(pacs.configuration)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert pacs.jobs()["done"] == 3
    assert_each_read_once(pacs, 3)
