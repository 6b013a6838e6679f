"""A number that cannot be read is repaired, or keeps its image out of reading."""

from __future__ import annotations

import struct
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread

from preread.deidentify import DeidentificationError, Deidentifier
from preread.deidentify.pixels.cleaning import PixelCleaner, PixelOptions
from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.seal import PixelSeal
from preread.elements import read_header
from preread.imaging import UnreadableImage, open_image
from tests.unit.deidentify.conftest import BIG_ENDIAN, EXPLICIT, IMPLICIT, Node, Written, identified

INTERCEPT, SLOPE = 0x00281052, 0x00281053
METHOD = 0x00120063
SLICE = np.arange(16.0)


def us(value: int, syntax: str) -> bytes:
    return value.to_bytes(2, "big" if syntax == BIG_ENDIAN else "little")


def ct(*more: Node, syntax: str = EXPLICIT) -> bytes:
    """Write a CT of 4 x 4 pixels with values from 0 to 15, 1024 below zero."""
    numbers = {
        0x00280002: 1,
        0x00280010: 4,
        0x00280011: 4,
        0x00280100: 16,
        0x00280101: 16,
        0x00280102: 15,
        0x00280103: 0,
    }
    given = {node.tag for node in more}
    nodes = [
        Node(0x00280004, b"CS", b"MONOCHROME2 "),
        *(Node(tag, b"US", us(value, syntax)) for tag, value in numbers.items()),
        Node(INTERCEPT, b"DS", b"-1024"),
        Node(SLOPE, b"DS", b"1"),
    ]
    kept = [node for node in nodes if node.tag not in given]
    pixels = SLICE.astype(">u2" if syntax == BIG_ENDIAN else "<u2").tobytes()
    return Written(identified(*kept, *more, pixels=pixels), syntax).bytes()


def read(data: bytes) -> list[float]:
    (frame,) = open_image(data, max_bytes=2**20).frames
    return frame.pixels.ravel().tolist()


def within(sequence: int, *nodes: Node) -> Node:
    return Node(sequence, b"SQ", items=[list(nodes)])


@pytest.mark.parametrize(
    ("node", "factor", "offset"),
    [
        (Node(INTERCEPT, b"DS", b"-1024,00"), 1, -1024),
        (Node(SLOPE, b"DS", b"2,734375"), 2.734375, -1024),
        (Node(INTERCEPT, b"LO", b"-1024.00"), 1, -1024),
        (Node(INTERCEPT, b"IS", b"-1023.5"), 1, -1023.5),
        (Node(INTERCEPT, b"FD", struct.pack("<d", -1024)), 1, -1024),
        (Node(INTERCEPT, b"FL", struct.pack("<f", -1023.5)), 1, -1023.5),
        (Node(INTERCEPT, b"SS", struct.pack("<h", -1024)), 1, -1024),
        (Node(INTERCEPT, b"UN", b"-1024,5"), 1, -1024.5),
    ],
)
def test_what_is_beyond_doubt_is_repaired(
    deidentifier: Deidentifier, node: Node, factor: float, offset: float
) -> None:
    data = ct(node)
    right = (SLICE * factor + offset).tolist()
    assert read(data) == right, "the original, in the other modes"
    done = deidentifier.deidentify(data)
    assert read(done.data) == right
    assert dcmread(BytesIO(done.data))[node.tag].VR == "DS"
    assert done.lost == ()
    assert b"Preread lost" not in done.data


@pytest.mark.parametrize("syntax", [IMPLICIT, BIG_ENDIAN])
def test_in_every_encoding_and_within_sequences(deidentifier: Deidentifier, syntax: str) -> None:
    spacing = Node(0x00280030, b"DS", b"0,703125\\0,703125")
    shared = within(0x52009229, within(0x00289110, spacing))
    done = deidentifier.deidentify(ct(spacing, shared, syntax=syntax))
    made = dcmread(BytesIO(done.data))
    inside = made.SharedFunctionalGroupsSequence[0].PixelMeasuresSequence[0]
    assert made.PixelSpacing == inside.PixelSpacing == [0.703125, 0.703125]
    assert done.lost == ()


LOST = {
    "no number": Node(SLOPE, b"DS", b"1.#QNAN "),
    "thousands or not": Node(INTERCEPT, b"DS", b"-1,024"),
    "a name": Node(INTERCEPT, b"DS", b"CANARYZQX JANE"),
    "a name for a number": Node(INTERCEPT, b"PN", b"-1024"),
    "not finite": Node(INTERCEPT, b"FD", struct.pack("<d", float("nan"))),
    "spacing": Node(0x00280030, b"DS", b"0,7,0,7 "),
    "position": Node(0x00200032, b"DS", b"-1.#IND\\0\\0"),
    "orientation": Node(0x00200037, b"LO", b"axial "),
    "thickness": Node(0x00180050, b"DS", b"NaN "),
    "window": Node(0x00281050, b"DS", b"NaN "),
    "sign": Node(0x00280103, b"LO", b"signed"),
    "table": Node(0x00283000, b"LO", b"linear"),
    "functional groups": Node(0x52009229, b"OB", b"\0\0"),
    "modality": Node(0x00080060, b"CS", b"CANARYZQX JANE"),
}


@pytest.mark.parametrize("what", LOST)
def test_what_is_in_doubt_keeps_the_image_out_of_reading(
    deidentifier: Deidentifier, what: str
) -> None:
    node = LOST[what]
    done = deidentifier.deidentify(ct(node))
    assert b"CANARYZQX" not in done.data
    assert node.tag not in read_header(done.data) or what == "modality"
    name = dcmread(BytesIO(ct(node)), force=True).get_item(node.tag).tag
    with pytest.raises(UnreadableImage, match=f"{name.group:04X},{name.element:04X}"):
        read(done.data)
    again = deidentifier.deidentify(done.data)
    assert again.data == done.data


# Of an original nobody asks for its Modality, nor under which VR a number stands.
ORIGINALS = ("no number", "not finite", "spacing", "position", "orientation", "thickness", "window")


@pytest.mark.parametrize("what", [*ORIGINALS, "a name", "sign", "table"])
def test_an_original_is_not_read_with_a_default_either(what: str) -> None:
    with pytest.raises(UnreadableImage):
        read(ct(LOST[what]))


def test_a_loss_within_a_frames_own_group_counts(deidentifier: Deidentifier) -> None:
    frame = within(0x52009230, within(0x00289145, Node(SLOPE, b"DS", b"1.#INF ")))
    with pytest.raises(UnreadableImage, match="RescaleSlope"):
        read(ct(frame))
    with pytest.raises(UnreadableImage, match="RescaleSlope"):
        read(deidentifier.deidentify(ct(frame)).data)


def test_what_no_reading_asks_for_costs_only_itself(deidentifier: Deidentifier) -> None:
    done = deidentifier.deidentify(ct(Node(0x00180060, b"DS", b"120 kV")))
    assert done.lost
    assert read(done.data) == (SLICE - 1024.0).tolist()


def test_an_empty_value_is_none() -> None:
    assert read(ct(Node(INTERCEPT, b"DS"), Node(SLOPE, b"DS"), Node(0x00281050, b"DS")))[0] == 0


def test_the_mark_survives_a_look_at_the_pixels(deidentifier: Deidentifier) -> None:
    class Blind:
        def boxes(self, values: Any, /, *, again: bool = False) -> list[Any]:
            return []

    key = bytes(range(32))
    done = deidentifier.deidentify(ct(LOST["no number"]))
    cleaned = PixelCleaner(key, PixelOptions(), Blind()).clean(done.data, Look.TEXT).data
    assert PixelSeal(key).holds(read_header(cleaned))
    again = deidentifier.deidentify(cleaned).data
    assert "Preread lost 00281053" in read_header(again).text(METHOD)
    with pytest.raises(DeidentificationError, match="RescaleSlope"):
        PixelCleaner(key, PixelOptions(), Blind()).clean(done.data, Look.FACE)


def test_a_strangers_text_is_no_mark(deidentifier: Deidentifier) -> None:
    planted = Node(
        METHOD, b"LO", b"Preread lost 00100010\\Preread lost JANE\\Preread lost 002810521"
    )
    done = deidentifier.deidentify(ct(planted))
    assert b"Preread lost" not in done.data
