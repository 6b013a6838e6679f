"""What may go from a compressed frame without its pixels changing: metadata beside the picture.

JPEG (ISO/IEC 10918-1 Annex B) and JPEG-LS (ISO/IEC 14495-1 Annex C) are walked segment by segment
(tables that no scan asks for go too), JPEG 2000 and HTJ2K (ISO/IEC 15444-1 Annex A, 15444-15) by
their marker segments, the boxes of a file around a codestream (ISO/IEC 15444-1 Annex I, 18181-2) by
their lengths. Entropy-coded data are searched for the next marker by a regular expression and never
copied.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from preread.deidentify.jpeg_tables import OddSegment, Tables
from preread.elements import Budget, unlimited
from preread.errors import PrereadError

Frame = bytes | memoryview


_MOST_SEGMENTS: Final = 1_000_000
"""Of one frame: JPEG 2000 may have 65,535 tiles."""
_OF_A_SEGMENT: Final = 6  # what it costs, in units of a budget
_MOST_BOXES: Final = 1000


class Edit(NamedTuple):
    """A range of a frame and what stands there afterwards, mostly nothing."""

    start: int
    end: int
    replacement: bytes = b""


@dataclass(slots=True)
class Walk:
    """What was found on the way through a frame.

    Attributes
    ----------
    edits
        Ranges that change, in order, without overlap, all before `end`.
    end
        Offset behind the picture's last byte; what follows is padding, or does not belong there.
    removed
        How many segments or boxes went or became shorter.
    size
        The bytes of the header that state bits, rows, columns and components; empty for JPEG XL.
    segments
        How many segments and tile-parts there are.
    budget
        What the walk may cost.
    """

    edits: list[Edit] = field(default_factory=list)
    end: int = 0
    removed: int = 0
    size: bytes = b""
    segments: int = 0
    budget: Budget = field(default_factory=unlimited)

    def is_followed_by_its_like(self, rest: Frame) -> bool:
        """Tell whether another picture of this size begins in what lies behind this one.

        One of another size is a preview, which devices attach; one of the same is a frame.
        """
        start = len(rest) - len(bytes(rest).lstrip(b"\0"))
        beginning = bytes(rest[start : start + 8])
        if not self.size or not beginning.startswith(BEGINNINGS):
            return False
        try:
            return walk(rest[start:], self.budget).size == self.size
        except BrokenFrame:
            return False  # not a whole one

    def step(self, at: int) -> None:
        """Count a segment.

        Raises
        ------
        BrokenFrame
            If there are more than any picture has.
        """
        self.segments += 1
        self.budget.spend(_OF_A_SEGMENT)
        if self.segments > _MOST_SEGMENTS:
            raise BrokenFrame(at, "more segments than any picture has")


class BrokenFrame(PrereadError):
    """A frame cannot be walked over.

    Attributes
    ----------
    offset
        Where in the frame.
    reason
        What was expected there.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  "
_JXL: Final = b"\0\0\0\x0cJXL "
NAKED_JPEG_XL: Final = b"\xff\x0a"
BEGINNINGS: Final = (_SOI, _SOC_SIZ, _JP2, _JXL)
"""What a frame begins with that can be walked over."""

_FILL: Final = re.compile(rb"\xff+")
_NEXT_JPEG: Final = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
_NEXT_JPEG_LS: Final = re.compile(rb"\xff[\x80-\xcf\xd8-\xfe]")
"""The next marker behind a scan: data there have a 0 byte, or a 0 bit, stuffed behind each FF."""

_EOI, _SOS, _COM, _SOF55 = 0xD9, 0xDA, 0xFE, 0xF7
_NEXT_MARKER: Final = {_SOF55: _NEXT_JPEG_LS}
_APP: Final = range(0xE0, 0xF0)
_DECODING: Final = frozenset({*range(0xC0, 0xD0), *range(0xDA, 0xE0), 0xF7, 0xF8}) - {0xC8}
"""Frames, tables, scans, intervals, JPEG-LS parameters: all that a decoder is told."""

_SIZED: Final = frozenset({*range(0xC0, 0xD0), _SOF55}) - {0xC4, 0xC8, 0xCC}
"""Frame headers: precision, lines, samples and components follow the length (B.2.2, C.2.2)."""

_JFIF: Final = 0xE0
_COLOUR_TRANSFORM: Final = 0xE8
_ADOBE: Final = 0xEE


def walk(frame: Frame, budget: Budget | None = None) -> Walk:
    """Find what can be taken out of a frame.

    Parameters
    ----------
    frame
        One compressed picture, with or without padding behind it.
    budget
        What the walk may cost; None for no bound.

    Raises
    ------
    BrokenFrame
        If it is of no known kind, damaged or cut off.
    preread.elements.OverBudget
        If it takes longer than it may.
    """
    found = Walk(budget=budget or unlimited())
    beginning = bytes(frame[:8])
    if beginning.startswith(_SOI):
        return _walk_jpeg(frame, found)
    if beginning.startswith(_SOC_SIZ):
        return _walk_jpeg2000(frame, 0, found)
    if beginning == _JP2:
        return _walk_jp2(frame, found)
    if beginning == _JXL:
        return _walk_jxl(frame)
    if beginning.startswith(NAKED_JPEG_XL):
        return Walk(end=len(frame))
    raise BrokenFrame(0, "expected the beginning of a JPEG, JPEG-LS, JPEG 2000 or JPEG XL picture")


def _walk_jpeg(frame: Frame, found: Walk) -> Walk:
    size, at = len(frame), 2
    next_marker, in_header, tables = _NEXT_JPEG, True, Tables()
    while True:
        fill = _FILL.match(frame, at)
        if fill is None or fill.end() == size:
            raise BrokenFrame(at, "expected a marker of JPEG")
        found.step(at)
        marker_at = fill.end() - 1
        marker = frame[marker_at + 1]
        if marker == _EOI:
            found.end = marker_at + 2
            _without_unused(frame, found, tables)
            return found
        end = marker_at + 2 + _length(frame, marker_at + 2)
        if marker in _APP or marker == _COM:
            edit = _metadata(frame, marker, Edit(at, end), marker_at + 4, in_header=in_header)
            if edit is not None:
                found.edits.append(edit)
                found.removed += 1
        elif marker not in _DECODING:
            raise BrokenFrame(marker_at, "expected a marker of JPEG or JPEG-LS")
        else:
            _read_tables(tables, frame, marker, Edit(at, end), marker_at + 4)
        if marker in _SIZED:
            found.size = bytes(frame[marker_at + 4 : marker_at + 10])
            next_marker = _NEXT_MARKER.get(marker, _NEXT_JPEG)
        elif marker == _SOS:
            in_header = False
            behind = next_marker.search(frame, end)
            if behind is None:
                raise BrokenFrame(end, "the frame is cut off: it has no end marker")
            end = behind.start()
        at = end


def _read_tables(tables: Tables, frame: Frame, marker: int, whole: Edit, payload_at: int) -> None:
    try:
        tables.read(frame, marker, whole.start, payload_at, whole.end)
    except OddSegment:
        raise BrokenFrame(
            whole.start, "a segment of JPEG of another length than its kind"
        ) from None


def _without_unused(frame: Frame, found: Walk, tables: Tables) -> None:
    unused = tables.unused(frame)
    if unused:
        found.edits = sorted([*found.edits, *(Edit(*each) for each in unused)])
        found.removed += len(unused)


def _length(frame: Frame, at: int) -> int:
    """Read the length of a segment, itself included, that lies within the frame."""
    length = int.from_bytes(frame[at : at + 2], "big")
    if at + 2 > len(frame) or length < 2 or at + length > len(frame):
        raise BrokenFrame(at, "a segment is longer than its frame")
    return length


def _metadata(
    frame: Frame, marker: int, whole: Edit, payload_at: int, *, in_header: bool
) -> Edit | None:
    """Return what is to become of an application segment or a comment, None if it may stay."""
    payload = frame[payload_at : whole.end]
    kept = _kept(marker, payload) if in_header else None
    if kept is None:
        return whole
    if kept == payload:
        return None
    header = bytes((0xFF, marker)) + (len(kept) + 2).to_bytes(2, "big")
    return whole._replace(replacement=header + kept)


def _kept(marker: int, payload: Frame) -> bytes | None:
    """Return what decoders use of an application segment, None for nothing.

    JFIF and Adobe say whether three components are YCbCr, 'mrfx' how JPEG-LS mixed them. SPIFF
    repeats what the frame header says, and its directory holds text.
    """
    beginning = bytes(payload[:14])
    if marker == _JFIF and beginning.startswith(b"JFIF\0") and len(beginning) == 14:
        return beginning[:12] + b"\0\0"  # no thumbnail
    if marker == _ADOBE and beginning.startswith(b"Adobe") and len(beginning) >= 12:
        return beginning[:12]
    if marker == _COLOUR_TRANSFORM and beginning.startswith(b"mrfx") and len(beginning) >= 5:
        return beginning[:5]
    return None


_COM_2000, _TLM, _SOT, _SOD = 0x64, 0x55, 0x90, 0x93
_DECODING_2000: Final = frozenset(
    {
        *range(0x50, 0x54),  # CAP, SIZ, COD, COC
        *range(0x55, 0x62),  # TLM to PPT, with PRF, CPF, QPD, QPC
        0x63,  # CRG
        *range(0x65, 0x6A),  # protection and security: parts 8 and 11
        *range(0x70, 0x7A),  # part 2
    }
)


def _walk_jpeg2000(frame: Frame, start: int, found: Walk) -> Walk:
    # From Xsiz to the bits of the first component (A.5.1).
    found.size, size = bytes(frame[start + 8 : start + 43]), len(frame)
    lengths: list[int] = []
    at, _ = _header(frame, start + 2, _SOT, found, lengths)
    shorter: list[int] = []
    while True:
        found.step(at)
        if at + 12 > size or frame[at + 2 : at + 4] != b"\0\x0a":
            raise BrokenFrame(at, "expected the header of a tile-part")
        tile_part = int.from_bytes(frame[at + 6 : at + 10], "big")
        before = len(found.edits)
        data, gone = _header(frame, at + 12, _SOD, found, None)
        end = at + tile_part if tile_part else _end_of_codestream(frame, data)
        if end < data + 2 or end > size:
            raise BrokenFrame(at, "the length of a tile-part does not fit")
        if gone and tile_part:
            length = (tile_part - gone).to_bytes(4, "big")
            found.edits.insert(before, Edit(at + 6, at + 10, length))
        shorter.append(gone)
        at = end
        marker = bytes(frame[at : at + 2])
        if marker != b"\xff\x90":
            break
    found.end = at + 2 if marker == b"\xff\xd9" else at
    if marker != b"\xff\xd9" and not is_padding(frame[at:]):
        raise BrokenFrame(at, "expected a tile-part or the end of the codestream")
    if any(shorter):
        found.edits = sorted([*_tile_part_lengths(frame, lengths, shorter), *found.edits])
    return found


def _header(
    frame: Frame, at: int, until: int, found: Walk, lengths: list[int] | None
) -> tuple[int, int]:
    """Walk over a main or tile-part header; return where it ends and what goes of it, in bytes."""
    gone, size = 0, len(frame)
    while True:
        found.step(at)
        if at + 2 > size or frame[at] != 0xFF:
            raise BrokenFrame(at, "expected a marker of JPEG 2000")
        marker = frame[at + 1]
        if marker == until:
            return at, gone
        end = at + 2 + _length(frame, at + 2)
        if marker == _COM_2000:
            found.edits.append(Edit(at, end))
            found.removed += 1
            gone += end - at
        elif marker not in _DECODING_2000:
            raise BrokenFrame(at, "expected a marker of JPEG 2000")
        elif marker == _TLM and lengths is not None:
            lengths.append(at)
        at = end


def _end_of_codestream(frame: Frame, at: int) -> int:
    """Find the end of the last tile-part, which may leave its length out (A.4.2)."""
    found = _END_OF_CODESTREAM.search(frame, at)
    if found is None:
        raise BrokenFrame(at, "the frame is cut off: it has no end marker")
    return found.start()


_END_OF_CODESTREAM: Final = re.compile(rb"\xff\xd9")


def _tile_part_lengths(frame: Frame, lengths: list[int], shorter: list[int]) -> list[Edit]:
    """Put the TLM segments (A.7.1) right, which repeat the lengths of all tile-parts."""
    edits: list[Edit] = []
    remaining, entries = iter(shorter), len(shorter)
    for at in sorted(lengths, key=lambda at: frame[at + 4]):
        form, end = frame[at + 5], at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
        index, width = form >> 4 & 3, 4 if form >> 6 & 1 else 2
        for entry in range(at + 6, end, index + width):
            entries -= 1
            if entries < 0:
                raise BrokenFrame(at, "the table of tile-part lengths does not fit")
            value = int.from_bytes(frame[entry + index : entry + index + width], "big")
            less = next(remaining, 0)
            if value < less or entry + index + width > end:
                raise BrokenFrame(at, "the table of tile-part lengths does not fit")
            if less:
                new = (value - less).to_bytes(width, "big")
                edits.append(Edit(entry + index, entry + index + width, new))
    return edits


def _boxes(frame: Frame) -> list[tuple[bytes, int, int, int]]:
    """List the boxes of a file: type, start, start of the content, end (15444-1 I.4)."""
    boxes: list[tuple[bytes, int, int, int]] = []
    at, size = 0, len(frame)
    while at < size and not is_padding(frame[at:]):
        length, content = int.from_bytes(frame[at : at + 4], "big"), at + 8
        if length == 1:
            length, content = int.from_bytes(frame[at + 8 : at + 16], "big"), at + 16
        elif length == 0:
            length = size - at
        end = at + length
        if content > size or end < content or end > size:
            raise BrokenFrame(at, "a box is longer than its frame")
        if len(boxes) == _MOST_BOXES:
            raise BrokenFrame(at, "more boxes than any picture has")
        boxes.append((bytes(frame[at + 4 : at + 8]), at, content, end))
        at = end
    return boxes


def _walk_jp2(frame: Frame, found: Walk) -> Walk:
    """Leave only the codestream, which is all that DICOM allows (PS3.5 A.4.4)."""
    boxes = _boxes(frame)
    contents = [content for name, _, content, _ in boxes if name == b"jp2c"]
    if not contents or frame[contents[0] : contents[0] + 4] != _SOC_SIZ:
        raise BrokenFrame(0, "a JP2 file without a codestream")
    for name, _, content, end in boxes:
        # Their pixels are not those of the codestream alone.
        if name == b"jp2h" and b"pclr" in bytes(frame[content:end]):
            raise BrokenFrame(
                content, "a JP2 file with a palette; DICOM allows the codestream only"
            )
    inside = _walk_jpeg2000(frame, contents[0], found)
    return Walk(
        edits=[Edit(0, contents[0]), *inside.edits],
        end=inside.end,
        removed=inside.removed + len(boxes) - 1,
        size=inside.size,
    )


_JXL_DECODING: Final = frozenset((b"JXL ", b"ftyp", b"jxll", b"jxli", b"jxlc", b"jxlp"))
"""Without what a JPEG is made from again (jbrd): it holds the JPEG's metadata."""


def _walk_jxl(frame: Frame) -> Walk:
    boxes = _boxes(frame)
    found = Walk(end=max(end for _, _, _, end in boxes))
    for name, start, _, end in boxes:
        if name not in _JXL_DECODING:
            found.edits.append(Edit(start, end))
            found.removed += 1
    return found


def is_padding(trailing: Frame) -> bool:
    r"""Tell whether nothing is said behind a picture's end: all 0 or all FF, or nothing at all.

    >>> is_padding(b"\0"), is_padding(b"\xff"), is_padding(b"JANE")
    (True, True, False)
    """
    return _PADDING.fullmatch(trailing) is not None


_PADDING: Final = re.compile(rb"\x00*|\xff*")
