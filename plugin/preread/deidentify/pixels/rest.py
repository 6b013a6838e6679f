"""Bytes behind the end of frames, where decoding alone tells the end.

RLE (PS3.5 Annex G): each segment is read up to its last byte, without its values being kept. What
else can be decoded, such as deflated frames (PS3.5 A.4.13), counts as having such bytes, so that it
is written anew.
"""

from __future__ import annotations

import struct
from typing import Final

from pydicom.uid import RLELossless

from preread.deidentify.behind_frames import UNCOMPRESSED
from preread.deidentify.jpeg_segments import ends_by_itself
from preread.deidentify.pixels.picture import Picture
from preread.imaging.layout import Layout

_HEADER: Final = 64
_SEGMENTS: Final = struct.Struct("<16L")
_REPEATED: Final = 128
"""A control byte above it says how often the next byte comes, one below how many bytes follow."""


def has_rest(picture: Picture) -> bool:
    """Tell whether there is anything behind the frames of an encapsulated image, but for padding.

    Parameters
    ----------
    picture
        The image; what is native ends where its frames do.
    """
    if ends_by_itself(picture.syntax) or picture.syntax == UNCOMPRESSED:
        return False
    if picture.syntax != RLELossless:
        return picture.source.is_encapsulated
    return any(_is_longer_frame(frame, picture.layout) for frame in picture.encoded())


def _is_longer_frame(frame: bytes, layout: Layout) -> bool:
    """Tell whether a frame of RLE holds more than the segments that its pixels need."""
    expected = layout.SamplesPerPixel * max(1, layout.BitsAllocated // 8)
    if len(frame) < _HEADER:
        return True
    count, *offsets = _SEGMENTS.unpack_from(frame)
    used, unused = offsets[:expected], offsets[expected:]
    if count != expected or used[0] != _HEADER or any(unused):
        return True
    ends = [*used[1:], len(frame)]
    size = layout.Rows * layout.Columns
    return any(
        end > len(frame) or _is_longer(frame, start, end, size)
        for start, end in zip(used, ends, strict=True)
    )


def _is_longer(frame: bytes, start: int, end: int, size: int) -> bool:
    """Tell whether a segment goes on behind the last of its bytes (PS3.5 G.3.2)."""
    at, made = start, 0
    while made < size and at < end:
        control = frame[at]
        if control < _REPEATED:
            made += control + 1
            at += control + 2
        elif control > _REPEATED:
            made += 257 - control
            at += 2
        else:
            at += 1
    return made != size or at > end or any(frame[at:end])
