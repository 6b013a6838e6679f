"""Originals that Orthanc stores although the receive hook has answered otherwise."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from tests.integration.images import PLANTED, ct_series
from tests.integration.pacs import ROOT, Pacs, eventually

SCRIPT = ROOT / "tests" / "integration" / "forgetful_plugin.py"


def assert_no_original(pacs: Pacs) -> None:
    """Look into all files but Orthanc's index: SQLite leaves deleted rows until it needs room."""
    index = [pacs.storage / name for name in ("index", "index-wal", "index-shm")]
    for file in [pacs.log, *pacs.storage.rglob("*")]:
        if file.is_file() and file not in index:
            content = file.read_bytes()
            assert not [value for value in PLANTED if value.encode() in content], file


def test_what_got_past_the_hook_is_taken_out_and_not_lost(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    switch = tmp_path / "forget"
    preread = {"Deidentify": {"Mode": "incoming"}, "Models": {"Run": ["MobileNetV2-CT-Scan"]}}
    pacs = make_pacs(preread, script=SCRIPT)
    pacs.start({"PREREAD_TEST_FORGET": str(switch)})
    files = ct_series(tmp_path / "ct", 5).files
    pacs.send(files[:1])
    assert pacs.wait_until_read()["done"] == 1
    # By C-STORE, by REST, and again after it was deleted.
    switch.write_text("")
    pacs.send(files[1:2])
    assert pacs.upload(files[2].read_bytes()).status_code == 200
    eventually(lambda: pacs.get("/preread/status")["Escaped"] == 2, what="two were taken out")
    pacs.send(files[1:2])
    eventually(lambda: pacs.get("/preread/status")["Escaped"] == 3, what="three were taken out")
    assert len(pacs.instances()) == 1
    # While the stored hook sees nothing, the runner's comparison does.
    switch.write_text("deaf")
    pacs.send(files[3:4])
    assert len(pacs.instances()) == 2
    eventually(lambda: pacs.get("/preread/status")["Escaped"] == 4, what="the runner's find")
    assert len(pacs.instances()) == 1
    switch.unlink()
    told = [each for each in pacs.get("/preread/failures") if "past" in each["Reason"]]
    assert len(told) == 4
    assert "\npreread_escaped_total 4.0\n" in pacs.http.get("/preread/metrics").text
    assert "stored past de-identification" in pacs.log.read_text()
    assert sum(pacs.jobs().values()) == 1
    assert_no_original(pacs)
    # None is lost: what was kept goes the whole way when it is tried again.
    for entry in pacs.get("/preread/quarantine"):
        answer = pacs.http.post(f"/preread/quarantine/{entry['ID']}/retry")
        assert answer.status_code in (200, 202), answer.text
    eventually(lambda: len(pacs.instances()) == 4, what="all three stored, de-identified")
    assert pacs.get("/preread/status")["Escaped"] == 4
    assert_no_original(pacs)
