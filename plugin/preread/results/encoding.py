"""Values and elements in Explicit VR Little Endian, as bytes."""

from __future__ import annotations

import struct
import unicodedata
import warnings
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from pydicom.charset import convert_encodings, decode_bytes
from pydicom.valuerep import TEXT_VR_DELIMS

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

# Repertoires in which a byte below 0x80 always is the ASCII character (PS3.3 C.12.1.1.2). The
# others (GB18030, GBK, code extensions) are read, not written: they may need escape sequences, or
# have a backslash as the second byte of a character.
_WRITTEN: Final = {
    "ISO_IR 100": "iso8859_1",
    "ISO_IR 101": "iso8859_2",
    "ISO_IR 109": "iso8859_3",
    "ISO_IR 110": "iso8859_4",
    "ISO_IR 126": "iso8859_7",
    "ISO_IR 127": "iso8859_6",
    "ISO_IR 138": "iso8859_8",
    "ISO_IR 144": "iso8859_5",
    "ISO_IR 148": "iso8859_9",
    "ISO_IR 166": "iso8859_11",
    "ISO_IR 192": "utf_8",
}
_LONG_LENGTH: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)


@dataclass(frozen=True, slots=True)
class Characters:
    """The characters that a data set can hold: its Specific Character Set (0008,0005).

    Attributes
    ----------
    terms
        The values of the attribute; none stands for the default repertoire, which is ASCII.

    Examples
    --------
    >>> Characters(("ISO_IR 192",)).representable("Größe 中")
    'Größe 中'
    >>> Characters(("ISO_IR 100",)).representable("Größe 中")
    'Größe U+4E2D'
    >>> Characters().representable("Größe")
    'Grosse'
    """

    terms: tuple[str, ...] = ()

    def representable(self, text: str) -> str:
        r"""Give the nearest text that this character set can hold.

        A backslash, which separates values, becomes a slash; white space, also several in a row,
        one space. A character that is not in the set loses its accent or is spelled in ASCII
        letters (NFKD and the German sharp s); if that does not help it is written as ``U+4E2D``.
        """
        text = " ".join(text.replace("\\", "/").split())
        if text.isascii() and text.isprintable():
            return text
        return "".join(
            character if self._has(character) else _ascii(character) for character in text
        )

    def encode(self, text: str, longest: int | None = None) -> bytes:
        """Encode the representable form of a text, cut to so many characters."""
        return self.representable(text)[:longest].rstrip().encode(self._codec)

    def decode(self, value: bytes) -> str:
        """Decode a value; what the character set does not explain is replaced, never raised."""
        if value.isascii() and b"\x1b" not in value:
            return value.decode("ascii")
        with warnings.catch_warnings():
            # pydicom warns of unknown terms and falls back; a reader of results has no say in it.
            warnings.simplefilter("ignore")
            try:
                return decode_bytes(value, convert_encodings(list(self.terms)), TEXT_VR_DELIMS)
            except (LookupError, ValueError):
                return value.decode("ascii", "replace")

    @property
    def _codec(self) -> str:
        return _WRITTEN.get(self.terms[0].strip(), "ascii") if len(self.terms) == 1 else "ascii"

    def _has(self, character: str) -> bool:
        if character.isascii() or not character.isprintable():
            return character.isprintable()
        try:
            character.encode(self._codec)
        except UnicodeEncodeError:
            return False
        return True


def _ascii(character: str) -> str:
    folded = unicodedata.normalize("NFKD", character).replace("ß", "ss")
    kept = "".join(part for part in folded if not unicodedata.combining(part))
    # Only letters, digits and the like: some characters are made of a space or a backslash.
    is_plain = kept.isascii() and kept.isprintable() and kept and not set(kept) & set(" \\")
    return kept if is_plain else f"U+{ord(character):04X}"


def element(tag: int, vr: str, value: bytes) -> bytes:
    """Encode one element, its value padded to an even length.

    Parameters
    ----------
    tag
        ``0xGGGGEEEE``.
    vr
        Value representation. UI and the O* are padded with zero, text with a space.
    value
        The encoded value, without padding.

    Raises
    ------
    ValueError
        If the value is too long for its VR.
    """
    code = vr.encode("ascii")
    if len(value) % 2:
        value += b"\0" if vr == "UI" or vr.startswith("O") else b" "
    head = struct.pack("<HH", tag >> 16, tag & 0xFFFF) + code
    if code in _LONG_LENGTH:
        return head + struct.pack("<HI", 0, len(value)) + value
    if len(value) > 0xFFFF:
        raise ValueError(f"({tag >> 16:04x},{tag & 0xFFFF:04x}): {len(value)} bytes are too many")
    return head + struct.pack("<H", len(value)) + value


def item(elements: Iterable[bytes | memoryview]) -> bytes:
    """Encode one item of a sequence, with a defined length, from its encoded elements in order."""
    content = b"".join(elements)
    return struct.pack("<HHI", 0xFFFE, 0xE000, len(content)) + content


def sequence(tag: int, items: Sequence[bytes]) -> bytes:
    """Encode a sequence, with a defined length, from encoded items."""
    return element(tag, "SQ", b"".join(items))


def coded(value: str, scheme: str, meaning: str) -> bytes:
    """Encode a coded concept, in ASCII, as an item (PS3.3 section 8.8)."""
    return item(
        (
            element(0x00080100, "SH", value.encode("ascii")),
            element(0x00080102, "SH", scheme.encode("ascii")),
            element(0x00080104, "LO", meaning.encode("ascii")),
        )
    )


def code(tag: int, value: str, scheme: str, meaning: str) -> bytes:
    """Encode a code sequence of one coded concept, in ASCII."""
    return sequence(tag, [coded(value, scheme, meaning)])
