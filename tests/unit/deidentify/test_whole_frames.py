"""No frame is dropped because NumberOfFrames does not count it."""

from __future__ import annotations

import struct

import pytest

from preread.deidentify.pixel_data import Stored
from preread.elements import MalformedFile
from tests.unit.deidentify.conftest import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, Node
from tests.unit.deidentify.conftest import JPEG as BASELINE
from tests.unit.deidentify.test_pixel_data import (
    FRAMES,
    JPEG_FRAME,
    OPAQUE,
    RLE,
    encapsulated,
    native,
    stored,
)

NUMBER = 0x00280008
WRONG = [
    None,
    Node(NUMBER, b"IS", b""),
    Node(NUMBER, b"IS", b"0 "),
    Node(NUMBER, b"IS", b"-1"),
    Node(NUMBER, b"IS", b"many"),
    Node(NUMBER, b"IS", b"2 "),
]
FRAME = bytes(range(12))
OTHER_FRAME = JPEG_FRAME.replace(b"\0\x08\0\x08", b"\0\x04\0\x04")


def given(number: Node | None) -> list[Node]:
    return [] if number is None else [number]


@pytest.mark.parametrize("number", WRONG)
@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED])
def test_native_frames_beyond_the_number_are_refused(number: Node | None, syntax: str) -> None:
    for rest in (b"", b"PLANTED"):
        with pytest.raises(MalformedFile, match="more frames than NumberOfFrames") as caught:
            native(FRAME * 6 + rest, *given(number), shape=(3, 4, 1, 8), syntax=syntax)
        assert caught.value.tag == NUMBER
        assert "PLANTED" not in str(caught.value)


@pytest.mark.parametrize("number", WRONG[:5])
def test_one_native_frame_is_one_whatever_the_number_says(number: Node | None) -> None:
    how = {"shape": (3, 4, 1, 8)}
    assert native(FRAME, *given(number), **how) == FRAME  # type: ignore[arg-type]
    assert native(FRAME + b"PLANTED ", *given(number), **how) == FRAME  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("shape", "more", "one", "held"),
    [
        ((3, 3, 1, 8), None, 9, 18),
        ((3, 3, 1, 16), None, 18, 36),
        ((3, 4, 3, 8), None, 36, 72),
        ((5, 5, 1, 1), None, 4, 8),
        ((16, 16, 1, 1), None, 32, 64),
        ((2, 4, 3, 8), Node(0x00280004, b"CS", b"YBR_FULL_422"), 16, 32),
        ((2, 4, 3, 8), Node(0x00280004, b"CS", b"YBR_FULL_422"), 24, 48),
    ],
)
def test_frames_of_every_layout_are_counted(
    shape: tuple[int, int, int, int], more: Node | None, one: int, held: int
) -> None:
    kept = native(bytes(one), *given(more), shape=shape)
    assert kept[:one] == bytes(one)
    assert len(kept) <= one + 1
    with pytest.raises(MalformedFile, match="more frames than NumberOfFrames"):
        native(bytes(held), *given(more), shape=shape)


@pytest.mark.parametrize("number", [0, 1, 2])
def test_compressed_pictures_beyond_the_number_are_refused(number: int) -> None:
    for frames in ([JPEG_FRAME] * 6, [JPEG_FRAME + b"\0" + JPEG_FRAME * 5, JPEG_FRAME]):
        with pytest.raises(MalformedFile, match="more frames than NumberOfFrames") as caught:
            stored(encapsulated(frames), BASELINE, frames=number)
        assert caught.value.tag == NUMBER
    offsets = struct.pack("<2I", 0, len(JPEG_FRAME) + len(JPEG_FRAME) % 2 + 8)
    if number == 2:
        assert stored(encapsulated([JPEG_FRAME] * 2, offsets), BASELINE)[0] == Stored()


def test_a_picture_of_another_size_behind_a_frame_is_no_frame() -> None:
    planted = JPEG_FRAME + OTHER_FRAME
    assert stored(encapsulated([planted]), BASELINE, frames=1)[1] == encapsulated([JPEG_FRAME])


@pytest.mark.parametrize("syntax", [one for one in OPAQUE if one == RLE])
@pytest.mark.parametrize("number", [-1, 0, 1])
def test_one_fragment_is_one_frame_whatever_the_number_says(syntax: str, number: int) -> None:
    assert stored(encapsulated(FRAMES[:1]), syntax, frames=number)[0] == Stored()
    with pytest.raises(MalformedFile, match="more fragments than frames"):
        stored(encapsulated(FRAMES), syntax, frames=number)
