"""Tables that no scan asks for go from a JPEG, and the picture stays what it was."""

from __future__ import annotations

import struct
import subprocess
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from pydicom.data import get_testdata_file

from preread.elements import MalformedFile, read_header
from tests.unit.deidentify.jpeg_planting import PLANTED, encapsulated, segment
from tests.unit.deidentify.test_jpeg_segments import (
    BASELINE,
    JPEG_LS,
    decoded,
    frames_in,
    joined,
    picture,
    strip,
)

LOSSLESS = "1.2.840.10008.1.2.4.70"
FILLER = (PLANTED * 16)[:64]
QUANTIZATION = b"\3" + FILLER
HUFFMAN = b"\x13" + bytes([0] * 7 + [16] + [0] * 8) + FILLER[:16]
REPLACED = b"\0" + FILLER
MIXED = (
    segment(0xDB, QUANTIZATION),
    segment(0xDB, QUANTIZATION + b"\2" + FILLER),
    segment(0xC4, HUFFMAN),
    segment(0xDB, REPLACED),  # defined once more before it is asked for
    segment(0xDB, b"\x12" + FILLER * 2),
    b"\xff\xff" + segment(0xC4, HUFFMAN + HUFFMAN),
)


def at_scan(frame: bytes) -> int:
    at = 2
    while frame[at + 1] != 0xDA:
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return at


@pytest.mark.parametrize("how", [{}, {"progressive": True}, {"subsampling": 0}])
def test_tables_that_no_scan_asks_for_go(how: dict[str, Any]) -> None:
    frame = picture(**how)
    scan = at_scan(frame)
    behind = segment(0xDB, QUANTIZATION) + segment(0xC4, HUFFMAN)
    for planted in (
        frame[:2] + b"".join(MIXED) + frame[2:],
        frame[:scan] + MIXED[0] + MIXED[2] + frame[scan:],
        frame[:-2] + behind + frame[-2:],
    ):
        np.testing.assert_array_equal(decoded(planted), decoded(frame))
        (found,) = frames_in(joined(strip(encapsulated([planted])[0])), 1)
        assert found.rstrip(b"\0") == frame
    assert strip(encapsulated([frame])[0]) is None


def test_of_a_segment_with_several_tables_those_stay_that_are_asked_for() -> None:
    frame = picture()
    at = frame.index(b"\xff\xdb")
    end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    both = segment(0xDB, QUANTIZATION + frame[at + 4 : end] + b"\2" + FILLER)
    (found,) = frames_in(joined(strip(encapsulated([frame[:at] + both + frame[end:]])[0])), 1)
    assert found.rstrip(b"\0") == frame


@pytest.mark.parametrize(
    ("syntax", "segments"),
    [
        (LOSSLESS, (*MIXED, segment(0xC4, b"\x10" + HUFFMAN[1:]))),
        (
            JPEG_LS,
            (
                segment(0xF8, b"\2\5\1" + PLANTED),
                segment(0xF8, b"\3\5\1" + PLANTED),
                segment(0xDB, QUANTIZATION),
            ),
        ),
    ],
)
def test_a_lossless_picture_asks_for_few(
    tmp_path: Path, syntax: str, segments: tuple[bytes, ...]
) -> None:
    source = Path(str(get_testdata_file("MR_small_jpeg_ls_lossless.dcm")))
    if syntax == LOSSLESS:
        made, source = tmp_path / "lossless.dcm", Path(str(get_testdata_file("CT_small.dcm")))
        subprocess.run(["dcmcjpeg", "+e1", source, made], check=True, timeout=60)
        source = made
    data = source.read_bytes()
    element = read_header(data).all_elements[-1]
    (frame,) = frames_in(data[element.start : element.end], 1)
    pixels, _ = encapsulated([frame[:2] + b"".join(segments) + frame[2:]])
    new = joined(strip(pixels, syntax))
    assert PLANTED not in new
    before = pydicom.dcmread(source).pixel_array
    after = pydicom.dcmread(BytesIO(data[: element.start] + new)).pixel_array
    np.testing.assert_array_equal(after, before)


@pytest.mark.parametrize(
    "odd",
    [
        segment(0xDD, b"\0\0" + PLANTED),
        segment(0xDC, b"\0\0" + PLANTED),
        segment(0xDF, b"\0" + PLANTED),
        segment(0xCC, b"\0\1" * 30),
        segment(0xDB, b"\3" + FILLER[:10]),
        segment(0xC4, HUFFMAN[:20]),
        segment(0xF8, b"\1" + PLANTED),
        segment(0xF8, b"\7" + PLANTED),
        segment(0xF8, b""),
        segment(0xC0, b"\x08" + struct.pack(">HH", 8, 8) + b"\1\1\x11\0" + PLANTED),
        segment(0xC0, b""),
        segment(0xDA, b"\1\1\0\0\x3f\0" + PLANTED),
        segment(0xDA, b""),
    ],
)
def test_a_segment_with_room_behind_it_is_refused(odd: bytes) -> None:
    frame = picture()
    with pytest.raises(MalformedFile, match="another length than its kind"):
        strip(encapsulated([frame[:2] + odd + frame[2:]])[0], BASELINE)
