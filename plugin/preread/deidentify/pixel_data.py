"""What of a patient may lie within pixel data without being a picture.

Encapsulated JPEG carries application segments and comments; in the bits of a pixel cell that the
pixel does not use lie the overlays of old devices or anything else, as behind the last frame, and
where offset tables are to be. All of it goes without a picture being decoded.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from preread.deidentify.behind_frames import without_rest
from preread.deidentify.fragments import Encapsulated
from preread.deidentify.jpeg_segments import MORE_FRAMES, strip_segments
from preread.deidentify.pixel_module import (
    BITS_ALLOCATED,
    COLUMNS,
    NUMBER_OF_FRAMES,
    ROWS,
    SAMPLES_PER_PIXEL,
    PixelModule,
    number_of,
    pixel_module,
)
from preread.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    Element,
    Header,
    MalformedFile,
    encode_element,
    encode_header,
)
from preread.elements.cells import Cell
from preread.elements.encoding import DEFLATED

_EXTENDED_OFFSET_TABLE: Final = 0x7FE00001
_EXTENDED_OFFSET_TABLE_LENGTHS: Final = 0x7FE00002
_EXTENDED: Final = (_EXTENDED_OFFSET_TABLE, _EXTENDED_OFFSET_TABLE_LENGTHS)
_PIXEL_DATA: Final = 0x7FE00010
_BITS_STORED: Final = 0x00280101
_HIGH_BIT: Final = 0x00280102
_PIXEL_REPRESENTATION: Final = 0x00280103
_OVERLAY_BIT_POSITIONS: Final = range(0x60000102, 0x60200102, 0x20000)
_OVERLAY_DATA: Final = 0x2EFE
"""From an Overlay Bit Position to the Overlay Data of the same group."""
_FLOAT: Final = {0x7FE00008: (b"OF", 4), 0x7FE00009: (b"OD", 8)}
"""Float and Double Float Pixel Data: VR, and bytes of a pixel."""
_SIZES: Final = (ROWS, COLUMNS, SAMPLES_PER_PIXEL, BITS_ALLOCATED)
_STANDARD: Final = "1.2.840.10008."
_PAPYRUS: Final = "1.2.840.10008.1.20"
_NATIVE: Final = frozenset((IMPLICIT, EXPLICIT, DEFLATED, BIG_ENDIAN, _PAPYRUS))
"""The transfer syntaxes of the standard, retired ones too, whose pixels have a defined length."""
_VRS: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"UN", b""))
_CELLS: Final = {
    (is_little, bits): np.dtype(f"{'<' if is_little else '>'}u{bits // 8}")
    for is_little in (True, False)
    for bits in (8, 16, 32, 64)
}
"""Unsigned integers, by byte order and Bits Allocated."""
_LONGEST_TABLE: Final = 2**23  # bytes of the offsets of a million frames


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
        If it is not stored as its transfer syntax says, or encapsulated JPEG cannot be walked
        over: what is in it nobody knows. If it has more frames than NumberOfFrames says, of which
        none may be dropped.
    """
    element, module = header.all_elements[-1], pixel_module(header)
    if header.has_pixel_data and not element.undefined:
        _check_whole(header, module)
    if element.tag != _PIXEL_DATA:
        return Stored(written=_without_tables(header) | _float_pixels(header, module))
    if element.undefined:
        return _stripped(header, element, module)
    if _is_encapsulated(header.TransferSyntaxUID) and element.value != element.value_end:
        reason = "encapsulated pixel data must have an undefined length (PS3.5 A.4)"
        raise MalformedFile(element.start, element.tag, reason)
    return _native(header, element, module)


def _is_encapsulated(transfer_syntax: str) -> bool:
    """Tell whether pixels must be encapsulated; of private syntaxes nobody can."""
    return transfer_syntax.startswith(_STANDARD) and transfer_syntax not in _NATIVE


def _without_tables(header: Header) -> dict[int, bytes]:
    """Remove Extended Offset Tables, for there is nothing that they could point at."""
    return {tag: b"" for tag in _EXTENDED if tag in header}


def _stripped(header: Header, element: Element, module: PixelModule) -> Stored:
    if header.encoding.implicit or not header.encoding.little:
        reason = "encapsulated pixel data need Explicit VR Little Endian (PS3.5 A.4)"
        raise MalformedFile(element.start, element.tag, reason)
    if element.vr not in (b"OB", b"OW", b"UN"):
        raise MalformedFile(element.start, element.tag, "expected the VR of pixel data, OB")
    offsets, lengths = (_longs(header.raw(tag)) for tag in _EXTENDED)
    pixels = Encapsulated.of(header.data, element, header.ends)
    stripped = strip_segments(
        pixels,
        header.TransferSyntaxUID,
        extended_offsets=offsets,
        extended_lengths=lengths,
        number_of_frames=module.frames,
    )
    frame_length = _frame_length(header, module)
    stripped = without_rest(pixels, header.TransferSyntaxUID, frame_length) or stripped
    if stripped is None:
        return Stored(written={} if offsets else _without_tables(header))
    written = _without_tables(header)
    for tag, values in zip(_EXTENDED, (stripped.offsets, stripped.lengths), strict=True):
        if values is not None:
            packed = struct.pack(f"<{len(values)}Q", *values)
            written[tag] = encode_element(tag, b"OV", packed, header.encoding)
    return Stored(tuple(stripped.parts), written, stripped.removed)


def _frame_length(header: Header, module: PixelModule) -> int:
    """Return how many bytes a frame takes that is not compressed; 0 if nobody can tell."""
    if module.has_half_colours(header):
        return 0
    return (module.pixels * module.samples * module.bits + 7) // 8


def _float_pixels(header: Header, module: PixelModule) -> dict[int, bytes]:
    """Cut what lies behind the last frame of (Double) Float Pixel Data (PS3.3 C.7.6.24, C.7.6.25).

    Raises
    ------
    MalformedFile
        If it is another frame.
    """
    found: dict[int, bytes] = {}
    for tag, (vr, size) in _FLOAT.items():
        if tag not in header:
            continue
        value = header.view(tag)
        frame = module.pixels * size
        longest = frame * module.frames
        if not frame or len(value) <= longest:
            continue
        if len(value) >= longest + frame:
            raise MalformedFile(0, NUMBER_OF_FRAMES, MORE_FRAMES)
        found[tag] = encode_element(tag, vr, bytes(value[:longest]), header.encoding)
    return found


def _longs(raw: bytes) -> list[int] | None:
    """Return the values of an Extended Offset Table, None if it is none."""
    if not raw or len(raw) % 8 or len(raw) > _LONGEST_TABLE:
        return None
    return list(struct.unpack(f"<{len(raw) // 8}Q", raw))


def _native(header: Header, element: Element, module: PixelModule) -> Stored:
    """Cut what lies behind the last frame, and clear the bits that are no pixel's."""
    written = _without_tables(header) | _float_pixels(header, module)
    if element.vr not in _VRS:
        return Stored(written=written)  # it does not stay
    length = element.value_end - element.value
    size = _native_size(header, module, length)
    view = memoryview(header.data)
    value = view[element.value : element.value + size]
    cleared = _cleared(header, module, element, value)
    if size == length and cleared is None:
        return Stored(written=written)
    beginning: bytes | memoryview = view[element.start : element.value]
    if size != length:
        beginning = encode_header(element.tag, element.vr, size, header.encoding)
    pieces = (value,) if cleared is None else cleared
    return Stored((beginning, *pieces), written)


def _native_size(header: Header, module: PixelModule, length: int) -> int:
    """Return how many bytes of native pixel data are frames and padding, all if nobody can tell.

    PS3.5 section 8.1.1, PS3.3 C.7.6.3.1.2 for colours of which half are left out. Raises
    MalformedFile where a whole frame or more lies behind those that are counted.
    """
    rows, columns, samples, bits, frames = module
    if not module.is_sized:
        _check_none_is_zero(header, length)
        return length
    frame = rows * columns * samples * bits  # in bits
    sizes = [(frame * frames + 7) // 8]
    if bits == 1:
        # Some writers begin each frame with a byte of its own.
        sizes.append((frame + 7) // 8 * frames)
    elif module.has_half_colours(header):
        frame = rows * (columns + columns % 2) * 2 * bits
        sizes.insert(0, frame // 8 * frames)
    if length in map(_even, sizes) or length <= sizes[0]:
        return length
    if (length - sizes[0]) * 8 >= frame:
        raise MalformedFile(header.all_elements[-1].start, NUMBER_OF_FRAMES, MORE_FRAMES)
    return _even(sizes[0])


def _check_none_is_zero(header: Header, length: int) -> None:
    """Refuse pixel data of frames that have no pixels: all of them lie behind the last frame."""
    for tag in _SIZES:
        if length and header.raw(tag) and number_of(header, tag) == 0:
            raise MalformedFile(0, tag, "it is 0, and yet there are pixel data")


def _check_whole(header: Header, module: PixelModule) -> None:
    """Refuse native pixel data that end within a frame: previews read beyond them.

    As little is asked for as any way to store pixels needs: single bits without a gap between
    frames, colours of which half are left out, no padding.
    """
    samples = 2 if module.has_half_colours(header) else module.samples
    least = (module.pixels * samples * module.bits * module.frames + 7) // 8
    if header.pixel_data_length < least:
        raise MalformedFile(0, _PIXEL_DATA, "the pixel data are shorter than its frames")


def _even(size: int) -> int:
    return size + size % 2


def _cleared(
    header: Header, module: PixelModule, element: Element, value: memoryview
) -> list[bytes | memoryview] | None:
    """Return native pixel data without the bits that are no pixel's; None if there are none."""
    cell = _cell(header, module.bits, element)
    if cell is None:
        return None
    is_little = element.vr == b"OB" or header.encoding.little
    kind = _CELLS[is_little, cell.allocated]
    whole = len(value) // kind.itemsize * kind.itemsize
    cells = np.frombuffer(value[:whole], kind)
    if not cell.has_more(cells):
        return None
    return [*cell.cleared(cells), bytes(len(value) - whole)]


def _cell(header: Header, bits: int, element: Element) -> Cell | None:
    """Return how the bits of a pixel cell are shared out, None if all are the pixel's.

    Also None where BitsAllocated, BitsStored and HighBit do not fit each other: such pixels cannot
    be read. With an overlay among the bits (PS3.3 C.9.2) it raises MalformedFile.
    """
    stored = number_of(header, _BITS_STORED) or bits
    high = number_of(header, _HIGH_BIT)
    high = stored - 1 if high is None else high
    if bits not in (8, 16, 32, 64):
        return None
    if stored >= bits or high >= bits or high < stored - 1:
        own = range(high - stored + 1, high + 1)
        if any(position not in own for position in _embedded(header)):
            raise MalformedFile(
                element.start, _OVERLAY_BIT_POSITIONS[0], "overlay bits within a pixel's"
            )
        if stored >= bits or high >= bits:
            return None
    signed = number_of(header, _PIXEL_REPRESENTATION) == 1
    return Cell(bits, stored, max(high, stored - 1), signed)


def _embedded(header: Header) -> list[int]:
    """Return the bits in which overlays lie that have no data of their own."""
    found = []
    for tag in _OVERLAY_BIT_POSITIONS:
        if tag in header and not header.raw(tag + _OVERLAY_DATA):
            number = number_of(header, tag)
            if number is not None:
                found.append(number)
    return found
