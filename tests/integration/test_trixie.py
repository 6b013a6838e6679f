"""Preread on Debian 13's Orthanc: it receives, de-identifies, and a runner reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.images import PLANTED, ct_series
from tests.integration.trixie import TrixiePacs

pytestmark = [pytest.mark.trixie, pytest.mark.slow, pytest.mark.timeout(900)]


def test_images_are_received_and_read(
    make_trixie_pacs: Callable[..., TrixiePacs], tmp_path: Path
) -> None:
    one_model = {"Models": {"Run": ["MobileNetV2-CT-Scan"]}}
    pacs = make_trixie_pacs({"Deidentify": {"Mode": "incoming"}, **one_model})
    pacs.start()
    assert pacs.get("/system")["Version"].startswith("1.12")
    pacs.send(ct_series(tmp_path / "ct", 2).files)
    stored = b"".join(pacs.file(each) for each in pacs.instances())
    assert len(pacs.instances()) == 2
    assert not [value for value in PLANTED if value.encode() in stored]
    pacs.start_runner()
    pacs.wait_until_read()
    jobs = pacs.get("/preread/jobs")
    assert {job["State"] for job in jobs} <= {"done", "unread"}
    assert len(jobs) == 2
