"""STOW-RS on Orthanc 1.10.1, whose DICOMweb leaves out what follows a refused part."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests.integration.faults import SCRIPT, Faulty
from tests.integration.images import real_ct
from tests.integration.pacs import Pacs, eventually
from tests.integration.stow import (
    arrangements,
    nested,
    of_a_long_patient,
    of_no_known_class,
    part,
    repeating,
    stow,
)
from tests.integration.trixie import ON_TRIXIE

pytestmark = pytest.mark.skipif(ON_TRIXIE, reason="of DICOMweb 1.7; test_trixie.py has 1.20")

Maker = Callable[..., Pacs]
NO_RUNNER: dict[str, Any] = {"Runner": {"Start": False}}


def started(pacs: Pacs, environment: dict[str, str] | None = None) -> Pacs:
    """Start it, and wait until it has confirmed its key and asked for the version of DICOMweb."""
    pacs.start(environment)
    eventually(lambda: "DICOMweb 1.7 leaves out" in pacs.log.read_text())
    return pacs


def entries(pacs: Pacs, state: str) -> int:
    """Return how many objects are kept outside Orthanc in a state."""
    return sum(entry["State"] == state for entry in pacs.get("/preread/quarantine"))


@pytest.mark.parametrize("quarantine", [False, True])
def test_no_part_of_a_stow_request_is_lost(make_pacs: Maker, quarantine: bool) -> None:
    section = {"Mode": "incoming", "Quarantine": {"Enabled": quarantine}}
    pacs = started(make_pacs({"Deidentify": section, **NO_RUNNER}))
    kept = 0
    for make in (repeating, of_no_known_class):
        for bad_ones in arrangements(make):
            parts = [each or part() for each in bad_ones]
            before = len(pacs.instances())
            told = stow(pacs, parts)
            kept += 1
            assert len(pacs.instances()) == before + bad_ones.count(None), make
            # A part that is kept elsewhere is listed as stored: this DICOMweb knows no other way.
            assert told.status == 200
            assert told.stored == [each.uid for each in parts]
            assert entries(pacs, "quarantined") == kept
    assert len(pacs.get("/preread/failures")) == kept
    # The same part again is not a second entry.
    again = repeating()
    for _ in range(3):
        stow(pacs, [again, part()])
    assert entries(pacs, "quarantined") == kept + 1
    # Orthanc itself fails for this one; it is not lost, though what follows it is left out.
    stow(pacs, [part(), of_a_long_patient()])
    assert entries(pacs, "quarantined") == kept + 2
    # What would overflow Orthanc's stack is refused, and what came before it stays.
    before = len(pacs.instances())
    told = stow(pacs, [part(), nested()])
    assert (len(told.stored), len(pacs.instances())) == (1, before + 1)
    assert "nested" in pacs.get("/preread/failures")[0]["Reason"]


def test_a_part_that_fails_for_no_fault_of_its_own_is_stored_later(make_pacs: Maker) -> None:
    faulty = Faulty(make_pacs({"Deidentify": {"Mode": "incoming"}, **NO_RUNNER}, script=SCRIPT))
    faulty.break_("preread.ledger.journal:Journal.arrive")
    pacs = started(faulty.pacs, faulty.environment)
    parts = [part(), part()]
    stow(pacs, parts)
    assert entries(pacs, "waiting") == 2
    assert pacs.http.get(f"/preread/instances/{parts[0].uid}").status_code == 404
    assert pacs.instances() == []
    pacs.stop()
    whole = make_pacs({"Deidentify": {"Mode": "incoming"}, "Models": {"Run": []}})
    whole.start()
    eventually(lambda: len(whole.instances()) == 2, 120, "both are stored")
    eventually(lambda: entries(whole, "waiting") == 0)
    # Their sender knows them by other UIDs than those that they are stored under.
    ids = [whole.get(f"/preread/instances/{each.uid}")["ID"] for each in parts]
    assert sorted(ids) == sorted(whole.instances())
    study = str(real_ct().StudyInstanceUID)
    assert [whole.get(f"/preread/studies/{study}")["ID"]] == whole.get("/studies")
