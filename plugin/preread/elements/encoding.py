"""How the elements of a file are written: file meta, transfer syntax, inflation.

PS3.5 Annex A (transfer syntaxes), PS3.10 section 7.1 (file meta information).
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from preread.elements.budget import Budget, InflatesTooFar
from preread.elements.errors import MalformedFile

IMPLICIT: Final = "1.2.840.10008.1.2"
EXPLICIT: Final = "1.2.840.10008.1.2.1"
DEFLATED: Final = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN: Final = "1.2.840.10008.1.2.2"

_ALWAYS_INFLATED: Final = 2**28
_MOST_GROWTH: Final = 64
_MOST_OF_META: Final = 1000
_META_ELEMENT: Final = struct.Struct("<HH2sH").unpack_from
_PIECE: Final = 2**20
_MOUTHFUL: Final = 2**16
_UNITS_OF_A_PIECE: Final = 4_000

LONG_VRS: Final = frozenset(
    (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
)
"""VRs whose length takes four bytes after two reserved ones (PS3.5 Table 7.1-1)."""

VRS: Final = LONG_VRS | frozenset(
    (
        b"AE", b"AS", b"AT", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT",
        b"PN", b"SH", b"SL", b"SS", b"ST", b"TM", b"UI", b"UL", b"US",
    )
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class Encoding:
    """How a data set is written.

    Attributes
    ----------
    implicit
        Whether the VRs are left out.
    little
        Whether the least significant byte comes first.
    deflated
        Whether the data set is deflated as a whole.
    """

    implicit: bool
    little: bool
    deflated: bool = False

    @property
    def order(self) -> str:
        """The byte order as `struct` writes it."""
        return "<" if self.little else ">"


_ENCODINGS: Final = {
    IMPLICIT: Encoding(implicit=True, little=True),
    BIG_ENDIAN: Encoding(implicit=False, little=False),
    DEFLATED: Encoding(implicit=False, little=True, deflated=True),
}
_ANY_OTHER: Final = Encoding(implicit=False, little=True)


def encoding_of(transfer_syntax: str) -> Encoding:
    """Return how the elements of a transfer syntax are written.

    Every syntax but four is Explicit VR Little Endian with encapsulated pixel data (PS3.5 A.4).
    """
    return _ENCODINGS.get(transfer_syntax, _ANY_OTHER)


@dataclass(frozen=True, slots=True)
class FileMeta:
    """What the beginning of a file tells.

    Attributes
    ----------
    TransferSyntaxUID, MediaStorageSOPClassUID, MediaStorageSOPInstanceUID
        Empty where absent.
    dataset_start
        Offset of the first element of the data set.
    has_preamble
        Whether 128 bytes and ``DICM`` come first.
    """

    TransferSyntaxUID: str
    MediaStorageSOPClassUID: str
    MediaStorageSOPInstanceUID: str
    dataset_start: int
    has_preamble: bool = True

    @property
    def encoding(self) -> Encoding:
        """How the data set is written."""
        return encoding_of(self.TransferSyntaxUID)


def read_file_meta(data: bytes | memoryview) -> FileMeta:
    """Read the file meta information; it is always Explicit VR Little Endian.

    A file without preamble or without meta information is taken for what its first element looks
    like.

    Raises
    ------
    MalformedFile
        If it is no DICOM file, or the meta information is cut off.
    """
    has_preamble = bytes(data[128:132]) == b"DICM"
    position = 132 if has_preamble else 0
    found: dict[int, str] = {}
    seen = 0
    while position + 8 <= len(data):
        seen += 1
        if seen > _MOST_OF_META:
            raise MalformedFile(position, None, "the file meta has more elements than there are")
        group, element, vr, length = _META_ELEMENT(data, position)
        if group != 2:
            break
        value = position + 8
        if vr not in VRS:
            raise MalformedFile(position, 0x20000 | element, "the file meta has no VR")
        if vr in LONG_VRS:
            if position + 12 > len(data):
                raise MalformedFile(position, 0x20000 | element, "cut off in the file meta")
            (length,), value = struct.unpack_from("<I", data, position + 8), position + 12
        if value + length > len(data):
            raise MalformedFile(position, 0x20000 | element, "longer than the file")
        if vr == b"UI":
            found[element] = bytes(data[value : value + length]).decode("ascii", "replace")
        position = value + length
    texts = {element: text.rstrip("\0 ").lstrip() for element, text in found.items()}
    syntax = texts.get(0x0010, "")
    if not syntax:
        syntax = _sniffed(data, position, has_preamble)
    return FileMeta(syntax, texts.get(0x0002, ""), texts.get(0x0003, ""), position, has_preamble)


def _sniffed(data: bytes | memoryview, position: int, has_preamble: bool) -> str:
    """Tell the transfer syntax of a data set from its first element."""
    if position + 8 > len(data):
        raise MalformedFile(position, None, "this is no DICOM file: it ends before its data set")
    group = struct.unpack_from("<H", data, position)[0]
    if bytes(data[position + 4 : position + 6]) in VRS:
        return EXPLICIT if group < 0x100 else BIG_ENDIAN
    length = struct.unpack_from("<I", data, position + 4)[0]
    plausible = group in (0x0004, 0x0008) and position + 8 + length <= len(data)
    if not plausible and not has_preamble:
        raise MalformedFile(0, None, "this is no DICOM file: no DICM mark, no first element")
    return IMPLICIT


def inflated(
    data: bytes | memoryview,
    start: int,
    limit: int | None = None,
    *,
    budget: Budget | None = None,
) -> bytes:
    """Return the data set of a deflated file.

    Parameters
    ----------
    data
        The file.
    start
        Where its data set begins.
    limit
        The most bytes that it may grow to. By default 256 MiB, or 64 times what it is: images do
        not deflate better, what fills a memory on purpose does.
    budget
        What it may cost; None for no bound.

    Raises
    ------
    MalformedFile
        If it is not deflated data, is cut off, or grows beyond `limit`.
    OverBudget
        If it takes longer than its budget lets it; `InflatesTooFar` if it grows larger.
    """
    if limit is None:
        limit = max(_ALWAYS_INFLATED, _MOST_GROWTH * (len(data) - start))
    most = limit if budget is None or budget.inflated is None else min(limit, budget.inflated)
    engine = zlib.decompressobj(-zlib.MAX_WBITS)
    pieces: list[bytes] = []
    size = 0
    for piece in _pieces(engine, memoryview(data)[start:], start):
        pieces.append(piece)
        size += len(piece)
        if size > limit:
            raise MalformedFile(start, None, f"the data set inflates to more than {limit} bytes")
        if size > most:
            raise InflatesTooFar(f"the data set inflates to more than {most} bytes")
        if budget is not None:
            budget.spend(_UNITS_OF_A_PIECE)
    return b"".join(pieces)


def _pieces(engine: zlib._Decompress, deflated: memoryview, start: int) -> Iterator[bytes]:
    """Give what comes out piece by piece, none larger than a mebibyte."""
    try:
        for position in range(0, len(deflated), _MOUTHFUL):
            rest: bytes | memoryview = deflated[position : position + _MOUTHFUL]
            while len(rest) and not engine.eof:
                yield engine.decompress(rest, _PIECE)
                rest = engine.unconsumed_tail
        while not engine.eof:
            piece = engine.decompress(b"", _PIECE)
            if not piece:
                raise MalformedFile(start, None, "the deflated data set is cut off")
            yield piece
    except zlib.error:
        raise MalformedFile(start, None, "the deflated data set cannot be inflated") from None
