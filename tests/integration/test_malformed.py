"""What is answered over REST for malformed files agrees with what became of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.pacs import ROOT, Pacs
from tests.integration.stow import of_a_long_patient, part, repeating

Maker = Callable[..., Pacs]
MALFORMED = ROOT.parent / "shared" / "data" / "dicom" / "malformed"
NO_RUNNER: dict[str, Any] = {"Runner": {"Start": False}}


def made() -> list[bytes]:
    """Return files that Orthanc's parser and ours read differently, and others that are refused."""
    whole = part().data
    return [
        whole + b"behind the pixel data",
        whole[:-3000],
        of_a_long_patient().data,
        repeating().data,
        part(lambda dataset: delattr(dataset, "StudyInstanceUID")).data,
        part(lambda dataset: delattr(dataset, "SOPInstanceUID")).data,
        part(lambda dataset: delattr(dataset, "PatientID")).data,
        whole,
    ]


def of_an_odd_meta() -> bytes:
    """Return a file that Orthanc reads and we do not: its meta has no length, and an unknown VR."""
    whole = part().data
    meta = (whole[:132] + whole[144:]).replace(b"\x02\x00\x03\x00UI", b"\x02\x00\x03\x0099", 1)
    assert meta != whole
    return meta


def found(folder: Path) -> list[bytes]:
    """Return the files of a corpus that lies beside the project, if it does."""
    return [file.read_bytes() for file in sorted(folder.rglob("*.dcm"))]


def kept(pacs: Pacs) -> Counter[str]:
    """Return what there is of each kind, by id."""
    there = Counter(f"instance {each}" for each in pacs.instances())
    there.update(f"kept {each['ID']}" for each in pacs.get("/preread/quarantine"))
    return there


@pytest.mark.timeout(600)
@pytest.mark.parametrize("quarantine", [False, True])
def test_rest_says_what_became_of_an_object(make_pacs: Maker, quarantine: bool) -> None:
    section = {"Mode": "incoming", "Quarantine": {"Enabled": quarantine}}
    pacs = make_pacs({"Deidentify": section, **NO_RUNNER}).start()
    taken = 0
    for data in made() + (found(MALFORMED) if quarantine else []):
        before = kept(pacs)
        answer = pacs.upload(data)
        new = kept(pacs) - before
        if answer.status_code == 200:
            taken += 1
            # What bears the UIDs of an earlier one, or is in the quarantine, stays one.
            assert len(new) <= 1
            assert answer.json()["Status"] in ("Success", "FilteredOut")
        else:
            assert not new, (answer.text, new)
    assert taken >= 2 + quarantine
    for entry in pacs.get("/preread/quarantine"):
        assert pacs.http.post(f"/preread/quarantine/{entry['ID']}/retry").status_code == 202


@pytest.mark.timeout(600)
def test_beside_an_archive_what_is_stored_is_read_or_told(make_pacs: Maker) -> None:
    pacs = make_pacs({"Deidentify": {"Mode": "copy"}, **NO_RUNNER}).start()
    for data in [of_an_odd_meta(), *found(MALFORMED / "cat07_file_meta")]:
        before = set(pacs.instances())
        waiting, told = pacs.get("/preread/status")["Journal"], pacs.get("/preread/failures")
        pacs.upload(data)
        for _ in set(pacs.instances()) - before:
            now = pacs.get("/preread/status")["Journal"]
            is_read = now["Waiting"] > waiting["Waiting"]
            assert is_read or len(pacs.get("/preread/failures")) > len(told)
    assert "stored as it came" in pacs.get("/preread/failures", limit=1000)[-1]["Reason"]
