"""Numbers written as text (PS3.5 section 6.2, DS and IS), and others that stand in their place.

Programs write numbers as their locale does, with a decimal comma, or under a VR that is not the
attribute's. What they meant is often beyond doubt; where it is not, there is no number.
"""

from __future__ import annotations

import re
import struct
from math import isfinite
from typing import Final

_TEXTS: Final = frozenset(
    (b"", b"CS", b"DS", b"IS", b"LO", b"LT", b"SH", b"ST", b"UC", b"UN", b"UT")
)
_BINARY: Final = {
    b"FD": "d", b"FL": "f", b"SL": "i", b"SS": "h", b"SV": "q", b"UL": "I", b"US": "H", b"UV": "Q",
}  # fmt: skip
_LONGEST_NUMBER: Final = 16  # characters of DS
LONGEST: Final = 4096
"""Bytes of a value that is looked into: matrices have 16 numbers, windows a few."""

_POINT: Final = re.compile(rb"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?")
_COMMA: Final = re.compile(rb"[+-]?(?:\d+,\d*|,\d+)(?:[eE][+-]?\d+)?")
_GROUPED: Final = re.compile(rb"[+-]?[1-9]\d{0,2},\d{3}")
"""What could be thousands as well: 1,024."""
_WHOLE: Final = re.compile(rb"([+-]?\d+)(?:\.0*)?")


def decimal_text(
    raw: bytes, vr: bytes, order: str, *, most: int = 0, whole: bool = False
) -> bytes | None:
    r"""Return numbers as DS or IS has them, if there is no doubt about them.

    Parameters
    ----------
    raw
        The value as it stands there.
    vr
        As it is written; empty in implicit VR.
    order
        The byte order as `struct` writes it.
    most
        How many values the attribute has; 0 for as many as one likes. Of fewer values with a
        comma nobody can say whether it parts two of them.
    whole
        Whether they must be whole numbers, as in IS.

    Returns
    -------
    bytes or None
        Not padded. None for what is no number, not finite, or could be two different ones.

    >>> decimal_text(b"0,703125\\0,703125", b"DS", "<", most=2)
    b'0.703125\\0.703125'
    >>> decimal_text(b"1,024", b"DS", "<") is None, decimal_text(b"1.#QNAN ", b"DS", "<") is None
    (True, True)
    >>> decimal_text(b"\x00\xfc", b"SS", "<")
    b'-1024'
    """
    if len(raw) > LONGEST:
        return None
    if vr in _BINARY:
        values = _of_binary(raw, vr, order)
    elif vr in _TEXTS:
        values = _of_text(raw, most)
    else:
        return None
    if values is None or not values or (most and len(values) > most):
        return None
    if whole:
        matches = [_WHOLE.fullmatch(value) for value in values]
        if not all(matches):
            return None
        values = [match[1] for match in matches if match is not None]
    return b"\\".join(values)


def _of_text(raw: bytes, most: int) -> list[bytes] | None:
    values = [value.strip(b" \0") for value in raw.split(b"\\")]
    if all(map(_POINT.fullmatch, values)):
        return values
    with_comma = [value for value in values if b"," in value]
    are_numbers = all(map(_COMMA.fullmatch, with_comma)) and all(
        b"." not in value and _POINT.fullmatch(value) for value in values if b"," not in value
    )
    if not are_numbers or (most and len(values) != most):
        return None
    if all(map(_GROUPED.fullmatch, with_comma)):
        return None
    return [value.replace(b",", b".") for value in values]


def _of_binary(raw: bytes, vr: bytes, order: str) -> list[bytes] | None:
    code = _BINARY[vr]
    if len(raw) % struct.calcsize(code):
        return None
    numbers = [number for (number,) in struct.iter_unpack(order + code, raw)]
    if not all(map(isfinite, numbers)):
        return None
    if vr not in (b"FD", b"FL"):
        return [b"%d" % number for number in numbers]
    texts = [_shortest(number, code) for number in numbers]
    return texts if all(isfinite(float(text)) for text in texts) else None


def _shortest(number: float, code: str) -> bytes:
    """Return the shortest text that gives the same number back, or the best that DS has room for.

    What was written with 32 bits is no closer to one with 64.
    """
    best = ""
    for digits in range(1, 18):
        text = format(number, f".{digits}g")
        if len(text) > _LONGEST_NUMBER:
            break
        best = text
        if struct.pack(code, float(text)) == struct.pack(code, number):
            break
    return best.encode("ascii")
