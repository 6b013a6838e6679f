"""Values that are valid for their VR, like no other, and never there by chance."""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

FIRST: Final = 400_000
"""Numbers begin here: as six digits, they are no time of day."""
LAST: Final = 999_999

_EPOCH: Final = 1501
_GAP: Final = 11  # years
_DAYS: Final = 28
_DATES: Final = (2299 - _EPOCH) // _GAP * _DAYS


@dataclass(frozen=True)
class Canary:
    """A planted value.

    Attributes
    ----------
    number
        Its own, within a file.
    raw
        The value as it was written.
    tokens
        Numbers, dates and UIDs as they would stand between other characters.
    forms
        Bytes that are looked for as they are.
    category
        What kind of place it was planted in, such as "nested 3".
    path
        The sequences around it, and its own tag; empty outside of a data set.
    """

    number: int
    raw: bytes
    tokens: tuple[bytes, ...]
    forms: tuple[bytes, ...]
    category: str
    path: tuple[int, ...]

    @property
    def place(self) -> str:
        """Where it was planted, for messages."""
        return "/".join(f"{tag:08X}" for tag in self.path) or self.category


@dataclass(frozen=True)
class Script:
    """A character set with what is written in it.

    Attributes
    ----------
    name
        For messages.
    terms
        Value of SpecificCharacterSet.
    letters
        Eight characters of it: the digits that a number is written with.
    encode
        Writes a text, with the escape sequences that the character set wants.
    """

    name: str
    terms: bytes
    letters: str
    encode: Callable[[str], bytes]

    def text(self, number: int) -> str:
        """Return a number of this script, seven characters."""
        return "".join(self.letters[number >> 3 * place & 7] for place in range(7))


class Mint:
    """Makes the values of one file.

    Parameters
    ----------
    first
        The number of its first value; those of files that are searched together must differ.
    """

    def __init__(self, first: int = FIRST) -> None:
        self._number = first
        self._dates = self._ages = 0
        self.made: list[Canary] = []

    def make(
        self, vr: bytes, category: str, path: Sequence[int], script: Script | None = None
    ) -> bytes:
        """Return a value for a VR, and remember it."""
        number = self._number
        self._number += 1
        assert number <= LAST, "too many values for one file"
        if script is not None and vr in TEXTS:
            raw, text = self._written(vr, script, number)
            found: tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]] = (raw, (), _forms(raw, text))
        else:
            found = self._plain(vr, number)
        raw, tokens, forms = found
        self.made.append(Canary(number, raw, tokens, forms, category, tuple(path)))
        return raw

    def note(self, category: str) -> bytes:
        """Return a text for a place that is no element."""
        return self.make(b"LO", category, ())

    @staticmethod
    def _written(vr: bytes, script: Script, number: int) -> tuple[bytes, str]:
        text = script.text(number)
        return script.encode(text) + (b"^A" if vr == b"PN" else b""), text

    def _plain(self, vr: bytes, number: int) -> tuple[bytes, tuple[bytes, ...], tuple[bytes, ...]]:
        """Return value, tokens and forms."""
        word = b"KQ%06dX" % number
        own = b"%06d" % number
        year, rest = self._date() if vr in _DATED else (0, b"")
        if vr in _TOKENS:
            value = {
                b"AS": self._age() if vr == b"AS" else b"",
                b"DA": b"%04d%s" % (year, rest),
                b"DS": b"77%06d.5" % number,
                b"DT": b"%04d%s1122%02d.%06d" % (year, rest, number % 60, number),
                b"IS": b"77%06d" % number,
                b"TM": b"%02d%02d%02d.%06d" % (number % 24, number % 59, number % 60, number),
                b"UI": b"1.9.76543.1%06d" % number,
            }[vr]
            return value, (value,), ()
        if vr in _BINARY:
            code, kept, wanted = _BINARY[vr]
            # Bits all over it, so that no tag and no length is by chance the same.
            bits = number * 0x9E3779B97F4A7C15 & kept | wanted
            return (
                struct.pack("<" + code, bits),
                (),
                tuple(struct.pack(order + code, bits) for order in "<>"),
            )
        if vr == b"UR":
            return b"http://kq%06dx.test" % number, (own,), ()
        if vr == b"PN":
            return word + b"^Jane", (own,), ()
        return word, (own,), ()

    def _age(self) -> bytes:
        number, unit = self._ages % 900, b"YMWD"[self._ages // 900 :][:1]
        self._ages += 1
        assert unit, "too many ages for one file"
        return b"%03d%s" % (number + 100, unit)

    def _date(self) -> tuple[int, bytes]:
        """Return year, month and day.

        Less than 30 days or more than ten years from every other of the file, so that no date
        that was moved is by chance what another one was.
        """
        assert self._dates < _DATES, "too many dates for one file"
        year, day = _EPOCH + _GAP * (self._dates // _DAYS), self._dates % _DAYS + 1
        self._dates += 1
        return year, b"06%02d" % day


TEXTS: Final = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UT"))
_TOKENS: Final = frozenset((b"AS", b"DA", b"DS", b"DT", b"IS", b"TM", b"UI"))
_DATED: Final = frozenset((b"DA", b"DT"))
# How they are packed, which bits are the number's, and which make it a number of usual size.
_BINARY: Final = {
    b"FD": ("Q", 0xFFFFFFFFFFFFFF, 0x41 << 56),
    b"FL": ("I", 0xFFFFFF, 0x41 << 24),
    b"SL": ("I", 0xFFFFFF, 0x5B << 24),
    b"UL": ("I", 0xFFFFFFFF, 0),
}


def _forms(raw: bytes, text: str) -> tuple[bytes, ...]:
    """Return how a text looks without escape sequences, and in other encodings."""
    bare = raw.removesuffix(b"^A")
    for escape in ESCAPES:
        bare = bare.replace(escape, b"")
    others = ("utf-8", "utf-16-le", "utf-16-be", "gb18030")
    return tuple(dict.fromkeys((bare, *(text.encode(codec) for codec in others))))


ESCAPES: Final = (b"\x1b$B", b"\x1b(B", b"\x1b(J", b"\x1b$(D", b"\x1b$)C", b"\x1b$)A", b"\x1b)I")
"""Escape sequences of PS3.3 C.12.1.1.2 that are written here."""
