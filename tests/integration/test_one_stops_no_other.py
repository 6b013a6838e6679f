"""One object that costs much, or would kill Orthanc, on a real Orthanc with others waiting."""

from __future__ import annotations

import struct
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset

from preread.elements import read_header
from tests.integration.pacs import Pacs, eventually
from tests.small_ct import ct, written

UID_LIST = 0x00080058
UIDS = 170_000


@pytest.fixture(scope="module")
def pacs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Pacs]:
    """Return a node that quarantines what it can, and has no models to load."""
    node = Pacs(
        tmp_path_factory.mktemp("bounds"),
        {
            "Deidentify": {"Mode": "incoming", "Quarantine": {"Enabled": True}},
            "Models": {"Run": []},
        },
    )
    node.start()
    yield node
    node.end()


def costly() -> bytes:
    """Return an image with a list of UIDs that takes the hook too long, and Orthanc no time."""
    own = "1.2.826.0.1.3680043.10.9999.1"  # Orthanc knows a series by its first instance
    data = written(ct(Modality="MR", SOPInstanceUID=own, SeriesInstanceUID=f"{own}.2"))
    at = data.index(struct.pack("<HH2s", 0x0008, 0x0060, b"CS"))
    uids = b"1.2.3\\" * UIDS
    return (
        data[:at] + struct.pack("<HH2sHI", 0x0008, 0x0058, b"UN", 0, len(uids)) + uids + data[at:]
    )


def nested(depth: int) -> bytes:
    dataset = ct(SOPInstanceUID=f"1.2.826.0.1.3680043.10.9999.{depth}")
    inner = Dataset()
    inner.ScheduledProcedureStepID = "x"
    for _ in range(depth):
        outer = Dataset()
        outer.RequestAttributesSequence = [inner]
        inner = outer
    dataset.update(inner)
    return written(dataset)


def stow(pacs: Pacs, data: bytes) -> httpx.Response:
    mark = uuid.uuid4().hex
    body = f"--{mark}\r\nContent-Type: application/dicom\r\n\r\n".encode()
    body += data + f"\r\n--{mark}--\r\n".encode()
    kind = f'multipart/related; type="application/dicom"; boundary={mark}'
    return pacs.http.post("/dicom-web/studies", content=body, headers={"Content-Type": kind})


def test_what_is_nested_too_deep_is_refused_and_orthanc_lives(pacs: Pacs) -> None:
    for depth in (33, 50, 100):
        assert pacs.upload(nested(depth)).status_code == 400
        assert pacs.answers()
    # Of deeper ones the DICOMweb plugin dies before anybody is asked, with us and without.
    stow(pacs, nested(40))
    assert pacs.answers()
    assert pacs.get("/preread/quarantine") == []
    assert pacs.instances() == []


def test_pixel_data_shorter_than_its_frames_is_not_stored(pacs: Pacs) -> None:
    assert pacs.upload(written(ct(PixelData=bytes(100)))).status_code in (200, 400)
    assert pacs.instances() == []


def test_a_costly_object_comes_back_and_nobody_waits_for_it(pacs: Pacs, tmp_path: Path) -> None:
    path, other = tmp_path / "costly.dcm", tmp_path / "ct.dcm"
    path.write_bytes(costly())
    other.write_bytes(written(ct()))
    slow = threading.Thread(target=pacs.send, args=([path],))
    slow.start()
    longest = 0.0
    while slow.is_alive():
        began = time.monotonic()
        assert pacs.upload(other.read_bytes()).status_code == 200
        longest = max(longest, time.monotonic() - began)
        time.sleep(0.1)
    slow.join()
    assert longest < 20  # it took the hook more than a minute before; machines differ
    asked = {"Level": "Instance", "Query": {"Modality": "MR"}}
    (found,) = eventually(
        lambda: pacs.http.post("/tools/find", json=asked).json(),
        240,
        f"it is stored; the runner says {pacs.runner_log()[-2000:]}",
    )
    stored = read_header(pacs.file(found))
    assert stored.text(0x00120062) == "YES"
    assert bytes(stored.view(UID_LIST)).count(b"\\") == UIDS
    assert b"1.2.3\\" not in bytes(stored.view(UID_LIST))
