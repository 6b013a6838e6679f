"""What a compressed frame says of itself, read before any decoder sees it.

The decoders are C libraries that allocate what the codestream asks for, whatever the data set
says: a frame of 200 bytes can ask for gigabytes. So its header is compared with the data set's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import NamedTuple

from pydicom.uid import (
    JPEG2000TransferSyntaxes,
    JPEGLSTransferSyntaxes,
    JPEGTransferSyntaxes,
)

from preread.imaging.attributes import named
from preread.imaging.errors import UnreadableImage
from preread.imaging.layout import Layout

_START_OF_FRAME = frozenset({*range(0xC0, 0xD0), 0xF7}) - {0xC4, 0xC8, 0xCC}
_SEQUENTIAL = (0xC0, 0xC1)
_START_OF_SCAN = 0xDA
_WITHOUT_LENGTH = frozenset({0x01, *range(0xD0, 0xD9)})
_JP2_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_SOC_SIZ = b"\xff\x4f\xff\x51"
_SOI = b"\xff\xd8"
_NEXT_PICTURE = re.compile(rb"\xff\xd9\0?(?=\xff\xd8\xff|\xff\x4f\xff\x51)")
"""An end marker that the beginning of JPEG, JPEG-LS or JPEG 2000 follows."""
_TAIL = 16
"""Bytes from the end in which the end marker lies: some writers pad more than one byte."""


class Claim(NamedTuple):
    """The size that a codestream claims: pixels, samples for each pixel, bits for each sample."""

    rows: int
    columns: int
    samples: int
    bits: int


def begins_a_picture(fragment: bytes) -> bool:
    """Tell whether a fragment begins as JPEG, JPEG-LS or JPEG 2000 do, and not in the midst."""
    return fragment.startswith((_SOI, _SOC_SIZ, _JP2_SIGNATURE))


def jpeg_claim(frame: bytes) -> Claim | None:
    """Read the frame header of JPEG (ISO/IEC 10918-1 B.2.2) or JPEG-LS (ISO/IEC 14495-1 C.2.2).

    Returns
    -------
    Claim or None
        None where there is no such header.
    """
    for marker, at in _segments(frame):
        if marker in _START_OF_FRAME and at + 10 <= len(frame):
            return Claim(
                rows=int.from_bytes(frame[at + 5 : at + 7], "big"),
                columns=int.from_bytes(frame[at + 7 : at + 9], "big"),
                samples=frame[at + 9],
                bits=frame[at + 4],
            )
    return None


def _segments(frame: bytes) -> Iterator[tuple[int, int]]:
    """Give the marker and place of each segment up to the first scan (ISO/IEC 10918-1 B.1.1)."""
    at = 2 if frame[:2] == b"\xff\xd8" else len(frame)
    while at + 4 <= len(frame) and frame[at] == 0xFF:
        marker = frame[at + 1]
        if marker == 0xFF:
            at += 1
        elif marker in _WITHOUT_LENGTH:
            at += 2
        else:
            yield marker, at
            if marker == _START_OF_SCAN:
                return
            at += 2 + max(2, int.from_bytes(frame[at + 2 : at + 4], "big"))


def with_lawful_scan(frame: bytes) -> bytes:
    """Put right the scan header of a sequential JPEG whose Ss, Se, Ah and Al are all 0.

    ISO/IEC 10918-1 Table B.3 leaves 0, 63, 0, 0 alone. An encoder that once was widespread wrote
    zeros, as in the reference images of DICOM's Working Group 4; pylibjpeg refuses them.
    """
    sequential = False
    for marker, at in _segments(frame):
        sequential = sequential or marker in _SEQUENTIAL
        if marker == _START_OF_SCAN and sequential and at + 5 <= len(frame):
            parameters = at + 5 + 2 * frame[at + 4]
            if frame[parameters : parameters + 3] == b"\0\0\0":
                return frame[:parameters] + b"\0\x3f\0" + frame[parameters + 3 :]
    return frame


def jpeg2000_claim(frame: bytes) -> Claim | None:
    """Read the SIZ marker of JPEG 2000 and HTJ2K (ISO/IEC 15444-1 A.5.1).

    Returns
    -------
    Claim or None
        None where there is no such marker.
    """
    if frame[:4] != _SOC_SIZ or len(frame) < 43:
        return None
    right, bottom, left, top = (int.from_bytes(frame[at : at + 4], "big") for at in (8, 12, 16, 20))
    return Claim(
        rows=bottom - top,
        columns=right - left,
        samples=int.from_bytes(frame[40:42], "big"),
        bits=(frame[42] & 0x7F) + 1,
    )


def without_wrapping(frame: bytes) -> bytes:
    """Take a JPEG 2000 codestream out of a JP2 file, which DICOM does not allow but files hold.

    Its boxes are not followed: a box of length 0 sends pydicom's own reader into an endless loop.
    """
    if not frame.startswith(_JP2_SIGNATURE):
        return frame
    start = frame.find(_SOC_SIZ)
    return frame[start:] if start > 0 else frame


def checked(frame: bytes, syntax: str, layout: Layout, index: int) -> bytes:
    """Give a frame that claims no more than the data set does.

    Parameters
    ----------
    frame
        Its codestream.
    syntax
        The transfer syntax.
    layout
        The data set's claim.
    index
        Of the frame, for messages.

    Raises
    ------
    UnreadableImage
        If the codestream has no header, its size is another than the data set's, or a second
        picture of that size follows.
    """
    claim_of: Callable[[bytes], Claim | None] = jpeg_claim
    if syntax in JPEG2000TransferSyntaxes:
        frame, claim_of = without_wrapping(frame), jpeg2000_claim
        claim, name = jpeg2000_claim(frame), "JPEG 2000"
    elif syntax in JPEGLSTransferSyntaxes:
        claim, name = jpeg_claim(frame), "JPEG-LS"
    elif syntax in JPEGTransferSyntaxes:
        frame = with_lawful_scan(frame)
        claim, name = jpeg_claim(frame), "JPEG"
    else:
        return frame
    if claim is None:
        raise UnreadableImage(f"frame {index + 1} is no {name} codestream, or is cut off")
    if (claim.rows, claim.columns) != (layout.Rows, layout.Columns):
        raise UnreadableImage(
            f"frame {index + 1} is {claim.columns} x {claim.rows} pixels, but the data set says "
            f"{layout.Columns} x {layout.Rows}"
        )
    if claim.samples != layout.SamplesPerPixel:
        raise UnreadableImage(
            f"frame {index + 1} has {claim.samples} samples for each pixel, but the data set says "
            f"{layout.SamplesPerPixel}"
        )
    if claim.bits > layout.BitsAllocated:
        raise UnreadableImage(
            f"frame {index + 1} has {claim.bits} bits for each sample, but the data set allocates "
            f"{layout.BitsAllocated}"
        )
    second = _NEXT_PICTURE.search(frame)
    if second is not None and claim_of(frame[second.end() :]) == claim:
        raise UnreadableImage(
            f"frame {index + 1} holds a second picture of its size: {named('NumberOfFrames')} "
            "counts too few frames or is missing"
        )
    # ISO/IEC 10918-1 B.2.1, 14495-1 C.1.1 and 15444-1 A.4.4: all end with the same marker. Lenient
    # decoders fill what is missing with grey, and a network would then read the grey.
    if b"\xff\xd9" not in frame[-_TAIL:]:
        raise UnreadableImage(f"frame {index + 1} has no end marker: its {name} data are cut off")
    return frame
