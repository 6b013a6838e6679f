"""A DICOM file's image attributes, and where in its bytes the pixels lie."""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from pydicom.datadict import keyword_for_tag, tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.filereader import read_dataset
from pydicom.tag import BaseTag
from pydicom.uid import (
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
)

from preread.imaging.attributes import value_of
from preread.imaging.errors import UnreadableImage
from preread.lost_values import GEOMETRY, PIXEL_ATTRIBUTES

_PIXELS = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_ITEM = b"\xfe\xff\x00\xe0"
_UNCOMPRESSED = (ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian)
_UNDEFINED = 0xFFFFFFFF
_MOST_ITEMS = 1_000_000
"""Items of sequences in a file: pydicom makes an object of about a kilobyte of each."""

# Only these are read: whatever else a file holds costs neither time nor memory.
_WANTED = [
    tag_for_keyword(keyword)
    for keyword in (
        *PIXEL_ATTRIBUTES,
        *GEOMETRY,
        "DeidentificationMethod",
        "ExtendedOffsetTable",
        "ExtendedOffsetTableLengths",
    )
]


@dataclass(frozen=True, slots=True, eq=False)
class Source:
    """A file taken apart as far as its image needs it.

    Attributes
    ----------
    data
        The file's bytes; those of a deflated file are inflated.
    dataset
        The attributes that say what the pixels mean, and no others.
    transfer_syntax
        A UID; that of an inflated file is Explicit VR Little Endian.
    sop_class
        SOPClassUID, or else the file meta information's.
    keyword
        PixelData, FloatPixelData, DoubleFloatPixelData, or "" where there are no pixels.
    pixel_vr
        The pixels' VR.
    pixel_start, pixel_end
        The pixels' value in `data`.
    is_encapsulated
        Whether it is a sequence of fragments.
    """

    data: bytes
    dataset: Dataset
    transfer_syntax: str
    sop_class: str
    keyword: str
    pixel_vr: str
    pixel_start: int
    pixel_end: int
    is_encapsulated: bool

    @property
    def pixels(self) -> memoryview:
        """The pixels' value, not copied."""
        return memoryview(self.data)[self.pixel_start : self.pixel_end]

    @property
    def little(self) -> bool:
        """Whether the file's byte order is little endian."""
        return self.transfer_syntax != ExplicitVRBigEndian

    @property
    def extended_offsets(self) -> tuple[bytes, bytes] | None:
        """The Extended Offset Table and its lengths (PS3.3 C.7.6.3.1.8), if both are there."""
        offsets = value_of(self.dataset, "ExtendedOffsetTable")
        lengths = value_of(self.dataset, "ExtendedOffsetTableLengths")
        if isinstance(offsets, bytes) and isinstance(lengths, bytes):
            return offsets, lengths
        return None


def read_source(data: bytes, *, max_bytes: int) -> Source:
    """Read what an image's pixels need, from a file with or without preamble and file meta.

    Parameters
    ----------
    data
        The whole file.
    max_bytes
        How far a deflated file may inflate.

    Raises
    ------
    UnreadableImage
        If the bytes are no DICOM file.
    """
    stream = BytesIO(data)
    stream.seek(132 if data[128:132] == b"DICM" else 0)
    meta = _parsed(stream, implicit=False, little=True, until=lambda tag: tag >> 16 != 2)
    syntax = _syntax_of(meta, data[stream.tell() : stream.tell() + 6])
    if syntax == DeflatedExplicitVRLittleEndian:
        data = _inflated(data[stream.tell() :], max_bytes)
        stream, syntax = BytesIO(data), ExplicitVRLittleEndian
    if data.count(_ITEM) > _MOST_ITEMS:
        raise UnreadableImage(f"the file has over {_MOST_ITEMS} items of sequences")
    dataset = _parsed(
        stream,
        implicit=syntax == ImplicitVRLittleEndian,
        little=syntax != ExplicitVRBigEndian,
        until=lambda tag: tag in _PIXELS,
    )
    sop_class = value_of(dataset, "SOPClassUID") or value_of(meta, "MediaStorageSOPClassUID") or ""
    keyword, vr, start, end, undefined = _pixels_at(data, stream.tell(), syntax)
    # Some writers give the fragments' length as a whole.
    fragments = data[start : start + 4] == _ITEM and syntax not in _UNCOMPRESSED
    return Source(
        data=data,
        dataset=dataset,
        transfer_syntax=syntax,
        sop_class=str(sop_class),
        keyword=keyword,
        pixel_vr=vr,
        pixel_start=start,
        pixel_end=end,
        is_encapsulated=undefined or fragments,
    )


def _parsed(
    stream: BytesIO, *, implicit: bool, little: bool, until: Callable[[int], bool]
) -> Dataset:
    """Parse elements until one that `until` knows, and leave the stream at it."""

    def stop(tag: BaseTag, _vr: str | None, _length: int) -> bool:
        return until(int(tag))

    is_meta = until(_PIXELS[0]) and until(0x00080016)
    tags: Any = None if is_meta else _WANTED
    try:
        return read_dataset(stream, implicit, little, stop_when=stop, specific_tags=tags)
    except RecursionError:
        raise UnreadableImage("the file nests sequences too deep to be read") from None
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever the bytes provoke
        raise UnreadableImage(
            f"no DICOM file, or a broken one: its elements cannot be told apart "
            f"({type(error).__name__} near byte {stream.tell()})"
        ) from None


def _syntax_of(meta: Dataset, start: bytes) -> str:
    syntax = value_of(meta, "TransferSyntaxUID")
    if syntax is None:
        # Without file meta the first element shows: explicit VR has two capitals there.
        explicit = len(start) == 6 and all(65 <= byte <= 90 for byte in start[4:6])
        if not explicit:
            return str(ImplicitVRLittleEndian)
        return str(ExplicitVRBigEndian if start[0] == 0 and start[1] else ExplicitVRLittleEndian)
    return str(syntax).strip(" \0")


def _inflated(data: bytes, max_bytes: int) -> bytes:
    inflater = zlib.decompressobj(-zlib.MAX_WBITS)
    try:
        inflated = inflater.decompress(data, max_bytes + 1)
    except zlib.error:
        raise UnreadableImage("the data set is not what deflate makes: it is damaged") from None
    if len(inflated) > max_bytes:
        raise UnreadableImage(
            f"the deflated data set is larger than {max_bytes} bytes; raise "
            "Preread.Runner.MaxImageMegabytes if that is meant"
        )
    if not inflater.eof:
        raise UnreadableImage("the deflated data set has no end: the file is truncated")
    return inflated


def _pixels_at(data: bytes, at: int, syntax: str) -> tuple[str, str, int, int, bool]:
    """Read the header of the element at `at`: keyword, VR, bounds, and if of undefined length."""
    header = data[at : at + 12]
    order: Any = "big" if syntax == ExplicitVRBigEndian else "little"
    tag = int.from_bytes(header[:2], order) << 16 | int.from_bytes(header[2:4], order)
    if tag not in _PIXELS or len(header) < 8:
        return "", "", at, at, False
    vr = header[4:6].decode("latin-1")
    if vr in ("OB", "OW", "OF", "OD", "UN"):
        length, start = int.from_bytes(header[8:12], order), at + 12
    else:
        vr, length, start = "OW", int.from_bytes(header[4:8], order), at + 8
    undefined = length == _UNDEFINED
    end = len(data) if undefined else min(start + length, len(data))
    return keyword_for_tag(tag), vr, min(start, len(data)), end, undefined
