"""Enhanced images have as many items as frames, times their functional groups."""

from __future__ import annotations

import struct

from preread.deidentify import Deidentifier
from preread.elements import check_nesting, read_header
from tests.small_ct import ct, written

PER_FRAME_GROUPS = 0x52009230
FRAMES = 30_000
DATE = b"20240311092233.25"


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
    content = element(0x00189074, b"DT", DATE)
    content += element(0x00209057, b"UL", struct.pack("<I", number % 40 + 1))
    groups = b""
    groups += sequence(0x00189006, element(0x00189065, b"CS", b"NO"))
    groups += sequence(0x00189103, element(0x00189077, b"CS", b"NONE"))
    groups += sequence(0x00189112, element(0x00180080, b"DS", b"2000"))
    groups += sequence(0x00189114, element(0x00189082, b"FD", struct.pack("<d", 30.0)))
    groups += sequence(0x00189115, element(0x00189014, b"CS", b"NO"))
    groups += sequence(0x00189119, element(0x00180083, b"DS", b"1"))
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
        Columns=1,
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


def test_three_hundred_thousand_items_are_no_reason_to_refuse(deidentifier: Deidentifier) -> None:
    data = enhanced(FRAMES)
    header = read_header(data)
    check_nesting(header)
    done = deidentifier.deidentify(data)
    groups = bytes(read_header(done.data).view(PER_FRAME_GROUPS))
    assert groups.count(struct.pack("<HH2s", 0x0020, 0x9057, b"UL")) == FRAMES
    assert DATE not in groups
    # What comes again in each frame comes out the same in each.
    assert groups.count(element(0x00200037, b"DS", b"1\\0\\0\\0\\1\\0")) == FRAMES
    last = functional_groups(FRAMES - 1)
    kept = last.replace(element(0x00189074, b"DT", DATE), b"")
    assert groups.endswith(kept[-100:])
