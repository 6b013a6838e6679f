"""Numbers that are beyond doubt are read, whatever wrote them; others are not guessed."""

from __future__ import annotations

import math
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from preread.elements.decimals import decimal_text


@pytest.mark.parametrize(
    ("raw", "most", "expected"),
    [
        (b"0,703125\\0,703125", 2, b"0.703125\\0.703125"),
        (b"-1024,00", 1, b"-1024.00"),
        (b"2,734375", 1, b"2.734375"),
        (b"-179,650\\-250,500\\-42,25", 3, b"-179.650\\-250.500\\-42.25"),
        (b"0,500 \\ 0,500\0", 2, b"0.500\\0.500"),
        (b"1,5E-3", 1, b"1.5E-3"),
        (b",5", 1, b".5"),
        (b"-100\\0,5\\3", 3, b"-100\\0.5\\3"),
        (b"-1024 ", 1, b"-1024"),
        (b"+1.5e2", 1, b"+1.5e2"),
    ],
)
def test_a_decimal_comma_that_can_be_nothing_else(raw: bytes, most: int, expected: bytes) -> None:
    assert decimal_text(raw, b"DS", "<", most=most) == expected


@pytest.mark.parametrize(
    ("raw", "most"),
    [
        (b"1,024", 1),
        (b"-179,650\\-250,500\\-42,250", 3),
        (b"1,1", 2),
        (b"0,7\\0.7", 2),
        (b"1.024,5", 1),
        (b"1,024,5", 1),
        (b"1.#QNAN ", 1),
        (b"-1.#IND", 1),
        (b"NaN", 1),
        (b"inf", 1),
        (b"1\\2", 1),
        (b"--5", 1),
        (b"0x10", 1),
        (b"1_000", 1),
        (b"\xd9\xa1", 1),
        (b"JANE DOE", 1),
        (b"0,7 mm", 1),
        (b"", 1),
        (b"\\", 2),
        (b"1" * 5000, 1),
    ],
)
def test_what_is_in_doubt_is_no_number(raw: bytes, most: int) -> None:
    assert decimal_text(raw, b"DS", "<", most=most) is None


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize(
    ("vr", "code", "number"),
    [
        (b"FD", "d", -1024.0),
        (b"FD", "d", 0.1),
        (b"FL", "f", 0.703125),
        (b"SS", "h", -1024),
        (b"US", "H", 40),
        (b"SL", "i", -(2**31)),
        (b"UL", "I", 2**32 - 1),
        (b"SV", "q", -5),
        (b"UV", "Q", 7),
    ],
)
def test_binary_numbers(order: str, vr: bytes, code: str, number: float) -> None:
    text = decimal_text(struct.pack(order + code, number), vr, order)
    assert text is not None
    assert float(text) == number


@given(st.floats(-1e300, 1e300))
def test_a_double_becomes_the_nearest_text_that_ds_has_room_for(number: float) -> None:
    text = decimal_text(struct.pack("<d", number), b"FD", "<")
    assert text is not None
    assert len(text) <= 16
    assert math.isclose(float(text), number, rel_tol=1e-8)


def test_no_number_and_no_whole_ones() -> None:
    assert decimal_text(struct.pack("<d", math.nan), b"FD", "<") is None
    assert decimal_text(struct.pack("<f", math.inf), b"FL", "<") is None
    assert decimal_text(struct.pack("<d", 1.7976931345e308), b"FD", "<") is None, "not in DS"
    assert decimal_text(b"\0\0\0", b"SS", "<") is None
    assert decimal_text(b"-1024", b"PN", "<") is None
    assert decimal_text(b"-1024", b"OB", "<") is None
    assert decimal_text(b"6,5", b"IS", "<", whole=True) is None
    assert decimal_text(b"6.0", b"DS", "<", whole=True) == b"6"
    assert decimal_text(struct.pack("<d", 6), b"FD", "<", whole=True) == b"6"
    assert decimal_text(struct.pack("<d", 6.5), b"FD", "<", whole=True) is None
    assert decimal_text(struct.pack("<3H", 1, 2, 3), b"US", "<", most=2) is None
