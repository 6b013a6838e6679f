"""Preread on Debian 13's Orthanc: it receives, de-identifies, and a runner reads."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.integration.images import PLANTED, ct_series
from tests.integration.pacs import eventually
from tests.integration.stow import (
    arrangements,
    nested,
    of_a_long_patient,
    of_no_known_class,
    part,
    repeating,
    stow,
)
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


@pytest.fixture
def receiving(make_trixie_pacs: Callable[..., TrixiePacs]) -> Callable[[bool], TrixiePacs]:
    """Return what starts a node, with a quarantine or without."""

    def start(quarantine: bool) -> TrixiePacs:
        section = {"Mode": "incoming", "Quarantine": {"Enabled": quarantine}}
        pacs = make_trixie_pacs({"Deidentify": section}, name=f"quarantine-{quarantine}")
        pacs.start()
        # Until it has confirmed its key and knows the version of DICOMweb.
        eventually(lambda: pacs.upload(part().data).status_code == 200)
        eventually(lambda: quarantine or stow(pacs, [repeating()]).failed)
        return pacs

    return start


@pytest.mark.parametrize("quarantine", [False, True])
def test_every_part_of_a_stow_request_is_stored_or_told_as_failed(
    receiving: Callable[[bool], TrixiePacs], quarantine: bool
) -> None:
    pacs = receiving(quarantine)
    taken = {repeating, of_no_known_class} if quarantine else set()
    at_first = pacs.get("/preread/status")["Quarantined"]
    for make in (repeating, of_no_known_class, nested, of_a_long_patient):
        for bad_ones in arrangements(make):
            parts = [each or part() for each in bad_ones]
            good = [each.uid for each, bad in zip(parts, bad_ones, strict=True) if bad is None]
            bad = [each.uid for each, bad in zip(parts, bad_ones, strict=True) if bad is not None]
            before = len(pacs.instances())
            told = stow(pacs, parts)
            assert len(pacs.instances()) == before + len(good), make
            if make in taken:
                assert (told.status, told.failed) == (200, {})
                assert sorted(told.stored) == sorted(good + bad)
            else:
                # 400 where nothing was stored; PS3.18 10.5.3 has 409 beside it.
                assert told.status == (202 if good else 400)
                assert told.stored == good
                assert list(told.failed) == bad
                assert all(reason > 0 for reason in told.failed.values())
    assert pacs.get("/preread/status")["Quarantined"] == at_first + 4 * len(taken)
    assert all(refusal["Reason"] for refusal in pacs.get("/preread/failures"))
