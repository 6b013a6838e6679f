"""JPEG (ISO/IEC 10918-1 Annex B) and JPEG-LS (ISO/IEC 14495-1 Annex C), segment by segment.

Tables that no scan asks for go too. Entropy-coded data are searched for the next marker by a
regular expression and never copied.
"""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.frame_walk import BrokenFrame, Edit, Frame, Walk, segment_length
from preread.deidentify.jpeg_tables import OddSegment, Tables

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


def walk_jpeg(frame: Frame, found: Walk) -> Walk:
    """Find what can be taken out of a picture that begins with SOI.

    Parameters
    ----------
    frame
        The picture.
    found
        Where it is put.

    Raises
    ------
    BrokenFrame
        If it is damaged or cut off.
    """
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
        end = marker_at + 2 + segment_length(frame, marker_at + 2)
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
