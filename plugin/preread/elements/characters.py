"""Text in the character sets of DICOM (PS3.3 C.12.1.1.2, PS3.5 section 6.1)."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Final

from pydicom.charset import convert_encodings, decode_bytes

_ESCAPE: Final = b"\x1b"
_DELIMITERS: Final = frozenset(b"\t\n\f\r\\")
_NAME_DELIMITERS: Final = _DELIMITERS | frozenset(b"=^")
"""What ends the reach of an escape sequence (PS3.5 section 6.1.2.5.3)."""

_CODECS: Final = {
    "": "latin-1",  # ASCII by the standard; who writes more means this most often
    "ISO_IR 6": "latin-1",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 203": "iso8859-15",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859-11",
    "ISO_IR 192": "utf-8",
    "GB18030": "gb18030",
    "GBK": "gbk",
}


def plain_text(value: bytes) -> str | None:
    """Return a text that is the same in every character set; None where they must be known."""
    return value.decode("ascii") if value.isascii() and _ESCAPE not in value else None


def decode_text(value: bytes, terms: Sequence[str], *, is_name: bool = False) -> str:
    r"""Return the text that bytes stand for.

    Never fails: bytes that their character set does not have become ``\xNN``, so that different
    bytes give different texts.

    Parameters
    ----------
    value
        As it lies in the file.
    terms
        The values of SpecificCharacterSet (0008,0005).
    is_name
        Whether it is a person's name, whose parts begin anew with the first character set.

    >>> decode_text(b"J\xc3\xa9r\xc3\xb4me", ["ISO_IR 192"])
    'Jérôme'
    """
    plain = plain_text(value)
    if plain is not None:
        return plain
    first = terms[0].replace("ISO 2022 IR", "ISO_IR") if terms else ""
    if _ESCAPE in value and len(terms) > 1:
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error")  # what pydicom would replace or guess
                delimiters = set(_NAME_DELIMITERS if is_name else _DELIMITERS)
                return decode_bytes(value, convert_encodings(list(terms)), delimiters)
        except (Warning, ValueError, LookupError):
            return value.decode("latin-1")
    return value.decode(_CODECS.get(first, "latin-1"), "backslashreplace")


def encode_text(text: str, terms: Sequence[str]) -> bytes:
    r"""Return the bytes of a text in the first of its character sets, blanks for what that lacks.

    Parameters
    ----------
    text
        No more than was decoded: a shortened text.
    terms
        The values of SpecificCharacterSet (0008,0005).

    >>> encode_text("Jérôme", ["ISO_IR 192"])
    b'J\xc3\xa9r\xc3\xb4me'
    """
    first = terms[0].replace("ISO 2022 IR", "ISO_IR") if terms else ""
    codec = _CODECS.get(first, "latin-1")
    try:
        return text.encode(codec)
    except UnicodeEncodeError:
        return b"".join(_encoded(character, codec) for character in text)


def _encoded(character: str, codec: str) -> bytes:
    try:
        return character.encode(codec)
    except UnicodeEncodeError:
        return b" "  # nothing at all would join what it parted
