"""JPEG 2000 and HTJ2K (ISO/IEC 15444-1 Annex A, 15444-15) by their marker segments."""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.frame_walk import (
    BrokenFrame,
    Edit,
    Frame,
    Walk,
    is_padding,
    segment_length,
)

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


def walk_jpeg2000(frame: Frame, start: int, found: Walk) -> Walk:
    """Find what can be taken out of a codestream.

    Parameters
    ----------
    frame
        What the codestream lies in.
    start
        Where it begins, with SOC and SIZ.
    found
        Where it is put.

    Raises
    ------
    BrokenFrame
        If it is damaged or cut off.
    """
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
        end = at + 2 + segment_length(frame, at + 2)
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
