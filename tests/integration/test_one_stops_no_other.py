"""One object that costs much, or would kill Orthanc, on a real Orthanc with others waiting."""

from __future__ import annotations

import struct
import threading
import time
import uuid
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path

import httpx
import pytest
from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file

from preread.elements import read_header
from tests.integration.pacs import Pacs, eventually

PER_FRAME_GROUPS = 0x52009230
FRAMES = 30_000


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
    node.stop()


def ct(**changes: object) -> Dataset:
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def element(tag: int, vr: bytes, value: bytes) -> bytes:
    value += b" " * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr)
    if vr == b"SQ":
        return head + struct.pack("<HI", 0, len(value)) + value
    return head + struct.pack("<H", len(value)) + value


def sequence(tag: int, *items: bytes) -> bytes:
    made = b"".join(struct.pack("<HHI", 0xFFFE, 0xE000, len(item)) + item for item in items)
    return element(tag, b"SQ", made)


def functional_groups(number: int) -> bytes:
    """Return what an enhanced MR says of one frame."""
    content = element(0x00189074, b"DT", b"20240311092233.25")
    content += element(0x00209057, b"UL", struct.pack("<I", number % 40 + 1))
    groups = sequence(0x00189114, element(0x00189082, b"FD", struct.pack("<d", 30.0)))
    groups += sequence(0x00189112, element(0x00180080, b"DS", b"2000"))
    groups += sequence(0x00189119, element(0x00180083, b"DS", b"1"))
    groups += sequence(0x00189103, element(0x00189077, b"CS", b"NONE"))
    groups += sequence(0x00189115, element(0x00189014, b"CS", b"NO"))
    groups += sequence(0x00189006, element(0x00189065, b"CS", b"NO"))
    groups += sequence(0x00209111, content)
    groups += sequence(0x00209113, element(0x00200032, b"DS", b"0\\0\\%d" % (3 * number)))
    groups += sequence(0x00209116, element(0x00200037, b"DS", b"1\\0\\0\\0\\1\\0"))
    groups += sequence(0x00289110, element(0x00280030, b"DS", b"3\\3"))
    return groups + sequence(0x00289132, element(0x00281050, b"DS", b"500"))


def enhanced(frames: int) -> bytes:
    """Return an enhanced MR whose functional groups take the hook too long."""
    dataset = ct(
        SOPClassUID="1.2.840.10008.5.1.4.1.1.4.1",
        SOPInstanceUID="1.2.826.0.1.3680043.10.9999.65535",
        Modality="MR",
        Rows=1,
        Columns=2,
        BitsAllocated=8,
        BitsStored=8,
        HighBit=7,
        PixelRepresentation=0,
        NumberOfFrames=frames,
        PixelData=bytes(2 * frames),
    )
    dataset.file_meta.MediaStorageSOPClassUID = dataset.SOPClassUID
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    for keyword in ("RescaleSlope", "RescaleIntercept", "DataSetTrailingPadding"):
        if keyword in dataset:
            delattr(dataset, keyword)
    data = written(dataset)
    at = data.index(struct.pack("<HH2s", 0x7FE0, 0x0010, b"OW"))
    groups = sequence(PER_FRAME_GROUPS, *(functional_groups(each) for each in range(frames)))
    return data[:at] + groups + data[at:]


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
    path, other = tmp_path / "mr.dcm", tmp_path / "ct.dcm"
    path.write_bytes(enhanced(FRAMES))
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
        f"the MR is stored; the runner says {pacs.runner_log()[-2000:]}",
    )
    stored = read_header(pacs.file(found))
    assert stored.text(0x00120062) == "YES"
    assert stored.number(0x00280008) == FRAMES
    assert stored.view(PER_FRAME_GROUPS)
