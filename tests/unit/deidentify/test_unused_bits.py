"""Nothing survives in the bits of native pixel cells that are no pixel's."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np
import pytest

from tests.unit.deidentify.conftest import BIG_ENDIAN, EXPLICIT, IMPLICIT, Node
from tests.unit.deidentify.test_pixel_data import native, order_of


def bits(stored: int, high: int, *, signed: bool = False, syntax: str = EXPLICIT) -> list[Node]:
    values = {0x00280101: stored, 0x00280102: high, 0x00280103: int(signed)}
    return [Node(tag, b"US", n.to_bytes(2, order_of(syntax))) for tag, n in values.items()]


@pytest.mark.parametrize("syntax", [EXPLICIT, IMPLICIT, BIG_ENDIAN])
@pytest.mark.parametrize(("width", "code"), [(8, "B"), (16, "H"), (32, "I"), (64, "Q")])
@pytest.mark.parametrize("above", [0, 1])
def test_text_above_or_below_the_pixels_bits_goes(
    syntax: str, width: int, code: str, above: int
) -> None:
    stored = width - 3
    own = [0, 1, (1 << stored) - 1, 5, 9, (1 << stored) - 2]
    text = [7, 0, 5, 1, 0, 2]
    shift, other = (0, stored) if above else (3, 0)
    form = f"{'>' if syntax == BIG_ENDIAN else '<'}6{code}"
    vr = b"OB" if width == 8 else b"OW"
    clean = struct.pack(form, *(n << shift for n in own))
    planted = struct.pack(form, *(n << shift | t << other for n, t in zip(own, text, strict=True)))
    how: dict[str, Any] = {"shape": (2, 3, 1, width), "syntax": syntax, "vr": vr}
    more = bits(stored, stored - 1 if above else width - 1, syntax=syntax)
    assert native(planted, *more, **how) == clean
    assert native(clean, *more, **how) == clean


def signed(*values: int) -> bytes:
    return struct.pack("<6h", *values)


def test_a_repeated_sign_stays_and_nothing_else_does() -> None:
    values = (-2048, -1, 0, 1, 2047, -1000)
    repeated, zeros = signed(*values), struct.pack("<6H", *(n & 0xFFF for n in values))
    more, how = bits(12, 11, signed=True), {"shape": (2, 3, 1, 16)}
    for clean in (repeated, zeros):
        assert native(clean, *more, **how) == clean  # type: ignore[arg-type]
    # Text by the sign alone: a program that reads whole cells shows it.
    mixed = zeros[:6] + repeated[6:]
    assert native(mixed, *more, **how) == repeated  # type: ignore[arg-type]
    planted = np.frombuffer(repeated, "<u2") ^ np.array([0x1000, 0, 0x4000, 0, 0, 0x8000], "<u2")
    assert native(planted.tobytes(), *more, **how) == repeated  # type: ignore[arg-type]
    unsigned = bits(12, 11)
    assert native(repeated, *unsigned, **how) == zeros  # type: ignore[arg-type]


def test_all_samples_and_frames_are_cleared() -> None:
    frames = Node(0x00280008, b"IS", b"3 ")
    shape = (64, 64, 3, 8)
    planted = bytes(3 * 64 * 64 * 3 - 1) + b"\x83"
    assert native(planted, frames, *bits(7, 6), shape=shape, vr=b"OB") == planted[:-1] + b"\3"


@pytest.mark.parametrize(("stored", "high"), [(8, 7), (9, 8), (0, 0), (7, 8), (7, 300)])
def test_bits_that_do_not_fit_each_other_change_nothing(stored: int, high: int) -> None:
    pixels = bytes(range(226, 256))
    assert native(pixels, *bits(stored, high), vr=b"OB") == pixels


def test_a_high_bit_below_the_stored_ones_is_not_believed() -> None:
    assert native(b"\xff" * 30, *bits(7, 2), vr=b"OB") == b"\x7f" * 30
