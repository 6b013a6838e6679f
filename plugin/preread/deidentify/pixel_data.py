"""What of a patient may lie within pixel data without being a picture.

Encapsulated JPEG carries application segments and comments; overlays of old devices lie in the
bits of a pixel cell that the pixel does not use. Both go without a picture being decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Final

from preread.deidentify.jpeg_segments import strip_segments
from preread.elements import Element, Header, MalformedFile, encode_element

_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
_PIXEL_DATA: Final = 0x7FE00010
_NUMBER_OF_FRAMES: Final = 0x00280008
_BITS_ALLOCATED: Final = 0x00280100
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_OVERLAY_BIT_POSITION: Final = 0x60000102
_OVERLAY_DATA: Final = 0x60003000
_CHUNK: Final = 2**20  # bytes that are masked at once


@dataclass(frozen=True, slots=True)
class Stored:
    """What becomes of the pixel data.

    Attributes
    ----------
    element
        The whole element in pieces; None if it stays as it is.
    written
        Other attributes that follow from it, encoded, by tag.
    removed
        How many segments went.
    """

    element: tuple[bytes | memoryview, ...] | None = None
    written: Mapping[int, bytes] = field(default_factory=dict)
    removed: int = 0


def stored_pixels(header: Header) -> Stored:
    """Return what becomes of the pixel data of a file.

    Raises
    ------
    MalformedFile
        If encapsulated JPEG cannot be walked over: what is in it nobody knows.
    """
    element = header.all_elements[-1]
    if element.tag != _PIXEL_DATA:
        return Stored()
    if element.undefined:
        return _stripped(header, element)
    return _masked(header, element)


def _stripped(header: Header, element: Element) -> Stored:
    offsets = _longs(header.raw(_EXTENDED_OFFSET_TABLE))
    stripped = strip_segments(
        header.data,
        element,
        header.TransferSyntaxUID,
        extended_offsets=offsets or None,
        number_of_frames=header.number(_NUMBER_OF_FRAMES) or 1,
    )
    if stripped is None:
        return Stored()
    written = {}
    for tag, values in (
        (_EXTENDED_OFFSET_TABLE, stripped.offsets),
        (_EXTENDED_OFFSET_TABLE_LENGTHS, stripped.lengths),
    ):
        if values is not None and tag in header:
            packed = struct.pack(f"<{len(values)}Q", *values)
            written[tag] = encode_element(tag, b"OV", packed, header.encoding)
    return Stored(tuple(stripped.parts), written, stripped.removed)


def _longs(raw: bytes) -> list[int]:
    return list(struct.unpack(f"<{len(raw) // 8}Q", raw[: len(raw) // 8 * 8]))


def _masked(header: Header, element: Element) -> Stored:
    """Clear the bits outside a pixel's own where overlays say that they lie there (PS3.3 C.9.2)."""
    bits = header.number(_BITS_ALLOCATED) or 0
    stored = header.number(_BITS_STORED) or bits
    high = header.number(_HIGH_BIT)
    high = stored - 1 if high is None else high
    if bits not in (8, 16, 32) or not _has_embedded(header, range(high - stored + 1, high + 1)):
        return Stored()
    if stored >= bits or high >= bits or high - stored < -1:
        raise MalformedFile(element.start, _OVERLAY_BIT_POSITION, "overlay bits within a pixel's")
    cell = ((1 << stored) - 1) << (high - stored + 1)
    width = bits // 8
    if element.vr == b"OB" or header.encoding.little:
        mask = cell.to_bytes(width, "little")
    else:
        mask = cell.to_bytes(width, "big")
    view = memoryview(header.data)
    return Stored((view[element.start : element.value], *_cleared(view, element, mask)))


def _cleared(view: memoryview, element: Element, mask: bytes) -> Iterable[bytes]:
    whole = mask * (_CHUNK // len(mask))
    for start in range(element.value, element.value_end, _CHUNK):
        piece = view[start : min(start + _CHUNK, element.value_end)]
        size = len(piece)
        number = int.from_bytes(piece, "little") & int.from_bytes(whole[:size], "little")
        yield number.to_bytes(size, "little")


def _has_embedded(header: Header, own: range) -> bool:
    for group in range(0, 0x20, 2):
        position = _OVERLAY_BIT_POSITION | group << 16
        if position not in header or (_OVERLAY_DATA | group << 16) in header:
            continue
        number = header.number(position)
        if number is not None and number not in own:
            return True
    return False
