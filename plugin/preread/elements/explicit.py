"""A file of another encoding as Explicit VR Little Endian, its values unchanged.

Viewers get the values of private elements over WADO-RS only from Explicit VR (implicit sources
come as bulk data).
"""

from __future__ import annotations

import struct
from typing import Final

from preread.elements.dictionary import dictionary_vr
from preread.elements.encoding import (
    EXPLICIT,
    LONG_VRS,
    Encoding,
    FileMeta,
    encoding_of,
    inflated,
    read_file_meta,
)
from preread.elements.errors import MalformedFile
from preread.elements.scan import DEEPEST, Element, Ends, items, scan

_LITTLE: Final = Encoding(implicit=False, little=True)
_PIXEL_REPRESENTATION: Final = 0x00280103
_BITS_ALLOCATED: Final = 0x00280100
_PIXEL_DATA: Final = 0x7FE00010
_UNDEFINED: Final = 0xFFFFFFFF
_ITEM: Final = b"\xfe\xff\x00\xe0"
_ITEM_END: Final = b"\xfe\xff\x0d\xe0\0\0\0\0"
_SEQUENCE_END: Final = b"\xfe\xff\xdd\xe0\0\0\0\0"
_LONGEST_SHORT: Final = 0xFFFF
# PS3.5 Table 6.2-1: bytes of one value, for what must be turned round from big endian.
_WIDTH: Final = {
    b"US": 2, b"SS": 2, b"OW": 2, b"AT": 2, b"UL": 4, b"SL": 4, b"FL": 4, b"OF": 4, b"OL": 4,
    b"FD": 8, b"OD": 8, b"OV": 8, b"SV": 8, b"UV": 8,
}  # fmt: skip


class _Sign:
    """What ambiguous VRs depend on: the nearest PixelRepresentation and BitsAllocated."""

    __slots__ = ("bits", "signed")

    def __init__(self, *, signed: bool = False, bits: int = 16) -> None:
        self.signed = signed
        self.bits = bits


def explicit_little_endian(data: bytes | memoryview) -> bytes:
    """Return a file as Explicit VR Little Endian.

    A file that is so already, or encapsulated, is returned as it is. Values keep their bytes but
    for the byte order of a big endian source; a deflated data set is inflated.

    Raises
    ------
    preread.elements.MalformedFile
        If it cannot be walked over.
    """
    meta = read_file_meta(data)
    encoding = meta.encoding
    if not encoding.implicit and encoding.little and not encoding.deflated and meta.has_preamble:
        return bytes(data)
    source, start = data, meta.dataset_start
    if encoding.deflated:
        source, start = inflated(data, start), 0
        encoding = encoding_of(EXPLICIT)
    view = memoryview(source)
    parts: list[bytes | memoryview] = [b"\0" * 128, b"DICM", _file_meta(data, meta)]
    if encoding.implicit or not encoding.little:
        parts += _Writer(view, encoding).level(start, len(view), _Sign(), 0)
    else:
        parts.append(view[start:])
    return b"".join(parts)


def _file_meta(data: bytes | memoryview, meta: FileMeta) -> bytes:
    """Return the file meta information with the new transfer syntax."""
    kept: dict[int, bytes] = {}
    start = 132 if meta.has_preamble else 0
    for element in scan(data, start, meta.dataset_start, _LITTLE):
        if element.tag not in (0x00020000, 0x00020010):
            kept[element.tag] = bytes(data[element.start : element.end])
    kept.setdefault(0x00020001, _element(0x00020001, b"OB", b"\0\1"))
    kept[0x00020010] = _element(0x00020010, b"UI", (EXPLICIT + "\0").encode())
    body = b"".join(kept[tag] for tag in sorted(kept))
    return _element(0x00020000, b"UL", struct.pack("<I", len(body))) + body


def _head(tag: int, vr: bytes, length: int) -> bytes:
    if vr in LONG_VRS:
        return struct.pack("<HH2sHI", tag >> 16, tag & 0xFFFF, vr, 0, length)
    return struct.pack("<HH2sH", tag >> 16, tag & 0xFFFF, vr, length)


def _element(tag: int, vr: bytes, value: bytes) -> bytes:
    return _head(tag, vr, len(value)) + value


class _Writer:
    """Writes the elements of one file anew."""

    def __init__(self, data: memoryview, encoding: Encoding) -> None:
        self._data = data
        self._encoding = encoding
        self._ends = Ends()

    def level(self, start: int, end: int, outer: _Sign, depth: int) -> list[bytes | memoryview]:
        """Return the elements of a data set or item."""
        elements = list(scan(self._data, start, end, self._encoding, depth=depth, ends=self._ends))
        sign = self._sign(elements, outer)
        parts: list[bytes | memoryview] = []
        for element in elements:
            if element.tag & 0xFFFF == 0:
                continue  # group lengths no longer hold
            vr = self._vr(element, sign)
            parts += self._one(element, vr, sign, depth)
        return parts

    def _sign(self, elements: list[Element], outer: _Sign) -> _Sign:
        sign = _Sign(signed=outer.signed, bits=outer.bits)
        for element in elements:
            if element.value_end - element.value >= 2:
                if element.tag == _PIXEL_REPRESENTATION:
                    sign.signed = self._short(element) == 1
                elif element.tag == _BITS_ALLOCATED:
                    sign.bits = self._short(element)
        return sign

    def _short(self, element: Element) -> int:
        code = self._encoding.order + "H"
        return int(struct.unpack_from(code, self._data, element.value)[0])

    def _vr(self, element: Element, sign: _Sign) -> bytes:
        if not self._encoding.implicit:
            return element.vr
        group, number = element.tag >> 16, element.tag & 0xFFFF
        if group & 1:
            return b"LO" if 0x10 <= number <= 0xFF else b"UN"
        vr = dictionary_vr(element.tag)
        if b" or " in vr:
            vr = self._settled(element, vr, sign)
        if not vr or vr == b"NONE":
            vr = b"SQ" if element.undefined else b"UN"
        if vr not in LONG_VRS and element.value_end - element.value > _LONGEST_SHORT:
            return b"UN"  # PS3.5 section 6.2.2 note 4: too long for its own VR
        return vr

    @staticmethod
    def _settled(element: Element, vr: bytes, sign: _Sign) -> bytes:
        """Decide between the VRs of PS3.5 Annex A.1, as the data set says."""
        if vr == b"OB or OW":
            small = element.tag == _PIXEL_DATA and (element.undefined or sign.bits <= 8)
            return b"OB" if small else b"OW"
        if b"OW" in vr:
            return b"OW" if element.value_end - element.value > 2 * 3 else b"US"
        return b"SS" if sign.signed else b"US"

    def _one(
        self, element: Element, vr: bytes, sign: _Sign, depth: int
    ) -> list[bytes | memoryview]:
        if vr == b"SQ":
            return self._sequence(element, sign, depth)
        value = self._data[element.value : element.value_end]
        if element.undefined:  # encapsulated, or UN of undefined length: implicit inside
            return [_head(element.tag, vr, _UNDEFINED), value, _SEQUENCE_END]
        if not self._encoding.little:
            value = self._turned(value, vr)
        return [_head(element.tag, vr, len(value)), value]

    def _sequence(self, element: Element, sign: _Sign, depth: int) -> list[bytes | memoryview]:
        if depth >= DEEPEST:
            raise MalformedFile(element.start, element.tag, f"nested deeper than {DEEPEST} levels")
        parts: list[bytes | memoryview] = [_head(element.tag, b"SQ", _UNDEFINED)]
        found = items(
            self._data,
            element.value,
            element.value_end,
            self._encoding,
            depth=depth + 1,
            ends=self._ends,
        )
        for _, start, end in found:
            parts.append(_ITEM + struct.pack("<I", _UNDEFINED))
            parts += self.level(start, end, sign, depth + 1)
            parts.append(_ITEM_END)
        parts.append(_SEQUENCE_END)
        return parts

    @staticmethod
    def _turned(value: memoryview, vr: bytes) -> memoryview:
        """Return the value of a big endian source in little endian order."""
        width = _WIDTH.get(vr, 1)
        if width == 1 or len(value) % width:
            return value
        turned = bytearray(len(value))
        for offset in range(width):
            turned[offset::width] = value[width - 1 - offset :: width]
        return memoryview(turned)
