"""An image is not stored without its pixels: those in private attributes would be removed."""

from __future__ import annotations

import pytest

from preread.deidentify import DeidentificationError, Deidentifier, DeidentifyOptions, Secret
from preread.deidentify.options import Option
from preread.elements import read_header
from tests.unit.deidentify.conftest import BIG_ENDIAN, EXPLICIT, IMPLICIT, Node, Written, identified

CREATOR = Node(0x07A10010, b"LO", b"ELSCINT1")
PIXELS = bytes(range(200))
PIXEL_DATA = 0x7FE00010


def image(*more: Node, syntax: str = EXPLICIT, columns: int = 16) -> bytes:
    """Write an image of 16 x 16 pixels that has no pixel data but those in `more`."""
    order = "big" if syntax == BIG_ENDIAN else "little"
    size = [
        Node(tag, b"US", value.to_bytes(2, order))  # type: ignore[arg-type]
        for tag, value in ((0x00280010, 16), (0x00280011, columns))
    ]
    nodes = [node for node in identified(*size) if node.tag != PIXEL_DATA]
    return Written(sorted([*nodes, *more], key=lambda node: node.tag), syntax).bytes()


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize("vr", [b"OB", b"OW", b"UN"])
@pytest.mark.parametrize("empty", [False, True])
def test_pixels_in_a_private_attribute_are_not_removed_in_silence(
    deidentifier: Deidentifier, syntax: str, vr: bytes, empty: bool
) -> None:
    private = [CREATOR, Node(0x07A1100A, vr, PIXELS)]
    standard = [Node(PIXEL_DATA, b"OW")] if empty else []
    with pytest.raises(DeidentificationError, match="Rows and Columns") as caught:
        deidentifier.deidentify(image(*private, *standard, syntax=syntax))
    assert caught.value.tag == 0x07A1100A


@pytest.mark.parametrize(
    "where",
    [
        Node(0x07A1100A, b"SQ", items=[[Node(0x00091001, b"OB", PIXELS)]]),
        Node(0x7FE11010, b"OB", PIXELS),
        Node(0x7F000010, b"OW", PIXELS),
        Node(0x00287FE0, b"UR", b"http://pacs/jpip?target=1 "),
        Node(PIXEL_DATA, b"UT", PIXELS),
        Node(0x7FE00008, b"LO", PIXELS[:60]),
    ],
)
def test_wherever_they_stand(deidentifier: Deidentifier, where: Node) -> None:
    with pytest.raises(DeidentificationError, match="Rows and Columns") as caught:
        deidentifier.deidentify(image(where))
    assert caught.value.tag == where.tag


def test_behind_empty_pixel_data_they_would_not_be_seen(deidentifier: Deidentifier) -> None:
    behind = Node(0x7FE11010, b"OB", PIXELS)
    with pytest.raises(DeidentificationError, match="Rows and Columns"):
        deidentifier.deidentify(image(Node(PIXEL_DATA, b"OW"), behind))


def test_what_has_pixels_or_none_at_all_passes(deidentifier: Deidentifier) -> None:
    private = [CREATOR, Node(0x07A1100A, b"OB", PIXELS)]
    for made in (
        image(*private, Node(PIXEL_DATA, b"OW", bytes(16 * 16 * 2))),
        image(*private, Node(0x7FE00008, b"OF", bytes(16 * 16 * 4))),
        image(*private, Node(0x56000020, b"OF", bytes(64))),
        image(*private, columns=0),
        image(CREATOR, Node(0x07A11010, b"LO", b"tamar"), Node(0x07A11011, b"UL", bytes(4))),
        image(),
    ):
        stored = read_header(deidentifier.deidentify(made).data)
        assert 0x07A1100A not in stored


def test_safe_private_pixels_stay(secret: Secret) -> None:
    options = DeidentifyOptions(
        options=frozenset((Option.RETAIN_SAFE_PRIVATE,)),
        safe_private={"ELSCINT1": ("07A1,xx0A OB",)},
    )
    private = [CREATOR, Node(0x07A1100A, b"OB", PIXELS)]
    stored = read_header(Deidentifier(secret, options).deidentify(image(*private)).data)
    assert stored.raw(0x07A1100A) == PIXELS
