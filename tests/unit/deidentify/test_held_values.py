"""A value that stays is one that its VR allows; a name in its place goes."""

from __future__ import annotations

import struct
from collections.abc import Callable
from io import BytesIO

import pytest
from pydicom import dcmread

from preread.deidentify import Deidentifier
from preread.deidentify.options import DeidentifyOptions, Option
from preread.deidentify.secret import Secret
from preread.deidentify.vrs import PLAIN
from tests.unit.deidentify.conftest import BIG_ENDIAN, EXPLICIT, IMPLICIT, Node

CANARY = b"CANARYZQX JANE"
Image = Callable[..., bytes]

WRONG = {
    "Modality": Node(0x00080060, b"CS", b"X JANE DOE"),
    "ImageType": Node(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\Canaryzqx Jane"),
    "a long code": Node(0x00185100, b"CS", b"CANARYZQX JANE DOE 1970"),
    "two codes for one": Node(0x00185100, b"CS", b"HFS\\CANARYZQX"),
    "a UID": Node(0x00081150, b"UI", CANARY),
    "a short FD": Node(0x00189073, b"FD", CANARY),
    "many FD": Node(0x00189073, b"FD", struct.pack("<d", 1) + (CANARY + b"  ") * 2),
    "FL": Node(0x00186034, b"FL", CANARY + b"  "),
    "US": Node(0x00280002, b"US", b"\1\0" + CANARY),
    "UL": Node(0x00189098, b"FD", CANARY),
    "AT": Node(0x00280009, b"AT", b"\x18\0\x63\x10" + CANARY),
    "US or SS": Node(0x00280106, b"US", b"\0\0" + CANARY),
    "another number": Node(0x00280002, b"UL", b"\1\0\0\0" + CANARY + b"  "),
    "UN": Node(0x00280002, b"UN", b"\1\0" + CANARY),
}


def wrapped(node: Node) -> Node:
    """Put an element into an item of a sequence that stays."""
    return Node(0x00089215, b"SQ", items=[[node]])


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("nested", [False, True])
@pytest.mark.parametrize("what", WRONG)
def test_a_value_that_is_none_of_its_vr_goes(
    deidentifier: Deidentifier, image: Image, what: str, nested: bool, syntax: str
) -> None:
    node = WRONG[what]
    done = deidentifier.deidentify(image(wrapped(node) if nested else node, syntax=syntax))
    assert b"CANARYZQX" not in done.data.upper()
    assert b"JANE" not in done.data.upper()
    made = dcmread(BytesIO(done.data))
    there = made.DerivationCodeSequence[0] if nested else made
    assert node.tag not in there
    assert any(tag == node.tag and "value" in reason for tag, reason in done.lost)


@pytest.mark.parametrize(
    "node",
    [
        Node(0x00080060, b"CS", b"SEG "),
        Node(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL\\CT_SOM5 SPI"),
        Node(0x00180015, b"CS", b"Abdomen "),
        Node(0x00180015, b"CS", b"L-SPINE"),
        Node(0x00080005, b"CS", b"\\ISO 2022 IR 87"),
        Node(0x00080005, b"CS", b"ISO-IR 100"),
        Node(0x00081150, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        Node(0x00189073, b"FD", struct.pack("<d", 1.5)),
        Node(0x00189089, b"FD", struct.pack("<3d", 1, 0, 0)),
        Node(0x00280106, b"SS", b"\0\x80"),
        Node(0x00280002, b"UL", b"\1\0\0\0"),
        Node(0x00185100, b"CS", b""),
        Node(0x00281101, b"US", struct.pack("<3H", 256, 0, 16)),
        Node(0x00280009, b"AT", b"\x18\0\x63\x10"),
    ],
)
def test_a_value_of_its_vr_stays(deidentifier: Deidentifier, image: Image, node: Node) -> None:
    made = dcmread(BytesIO(deidentifier.deidentify(image(node)).data))
    value = node.value + b"\0" * (len(node.value) % 2)
    assert made.get_item(node.tag).value == value or made[node.tag].VR == "CS"
    assert node.tag in made


def test_every_plain_attribute_takes_an_empty_value() -> None:
    for plain in PLAIN.values():
        assert 0 in plain.lengths
        assert plain.check is None or plain.check(b"", 0, 0)


@pytest.mark.parametrize(
    ("options", "expected"),
    [((), "**.**"), ((Option.CLEAN_DESCRIPTORS,), "CT of the thorax")],
)
def test_a_text_value_outside_a_report_is_free_text(
    secret: Secret, image: Image, options: tuple[Option, ...], expected: str
) -> None:
    text = Node(0x0040A160, b"UT", b"CT of the thorax Mrs Canaryzqx 4711")
    data = image(text, Node(0x00400440, b"SQ", items=[[text]]))
    chosen = DeidentifyOptions(options=frozenset(options))
    made = dcmread(BytesIO(Deidentifier(secret, chosen).deidentify(data).data))
    assert made.TextValue == expected
    assert made.ProtocolContextSequence[0].TextValue == expected
