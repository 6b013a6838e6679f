"""Frames that were changed, encoded without loss, and checked by decoding them again.

A transfer syntax that is lossless and can be written stays (RLE, JPEG-LS, JPEG 2000); from another
one pixels go to JPEG-LS Lossless, which the decoders in PACS and browsers have; what no codec can
hold (1, 32 or 64 bits) is written uncompressed.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.encaps import encapsulate
from pydicom.pixels.decoders.base import get_decoder
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRLittleEndian,
    HTJ2KLossless,
    HTJ2KLosslessRPCL,
    JPEG2000Lossless,
    JPEGLossless,
    JPEGLosslessSV1,
    JPEGLSLossless,
    JPEGLSTransferSyntaxes,
    RLELossless,
)

from preread.deidentify.errors import DeidentificationError
from preread.imaging.decode import Decoded
from preread.imaging.layout import Layout
from preread.imaging.presence import DEFLATED_IMAGE_FRAME

_PIXEL_DATA: Final = 0x7FE00010

LOSSLESS: Final = frozenset(
    (
        RLELossless,
        JPEGLSLossless,
        JPEG2000Lossless,
        JPEGLossless,
        JPEGLosslessSV1,
        HTJ2KLossless,
        HTJ2KLosslessRPCL,
        UID(DEFLATED_IMAGE_FRAME),
    )
)
"""Encapsulated transfer syntaxes that lose nothing: their pixels never were lossy by them."""

# By library: pydicom would also take GDCM where it is installed, which ends the process on what it
# does not like; see `preread.imaging.decode.PLUGINS`.
_WRITTEN: Final = {
    RLELossless: "pylibjpeg",
    JPEGLSLossless: "pyjpegls",
    JPEG2000Lossless: "pylibjpeg",
}


class NotEncodable(Exception):
    """An encoder does not give back what it was given."""


@dataclass(frozen=True, slots=True)
class Encoded:
    """Pixel data, newly written.

    Attributes
    ----------
    value
        Of the element.
    syntax
        Its transfer syntax.
    PhotometricInterpretation
        Of the pixels in it.
    """

    value: bytes
    syntax: UID
    PhotometricInterpretation: str


def syntaxes_for(syntax: UID) -> tuple[UID, ...]:
    """Return the transfer syntaxes to write pixels in that came in another, the best first.

    >>> [one.name for one in syntaxes_for(JPEGLosslessSV1)]
    ['JPEG-LS Lossless Image Compression', 'Explicit VR Little Endian']
    """
    return (syntax if syntax in _WRITTEN else JPEGLSLossless, ExplicitVRLittleEndian)


def check_writable(syntax: UID) -> None:
    """Refuse what would change its transfer syntax for want of a package.

    Parameters
    ----------
    syntax
        In which the pixels came.

    Raises
    ------
    DeidentificationError
        If it is JPEG-LS and nothing here writes that: pyjpegls has no build for every Python.
    """
    if syntax in JPEGLSTransferSyntaxes and not get_encoder(JPEGLSLossless).is_available:
        raise DeidentificationError(
            _PIXEL_DATA,
            "JPEG-LS cannot be cleaned without the package pyjpegls, which the runner's Python "
            "lacks; run the runner with a Python up to 3.13",
        )


def encoded(frames: Iterable[Decoded], layout: Layout, syntax: UID) -> Encoded:
    """Encode all frames.

    Parameters
    ----------
    frames
        Stored values, each frame in the same colours.
    layout
        What the data set says of them, but for colours, planes and the high bit.
    syntax
        One of `syntaxes_for`.

    Raises
    ------
    NotEncodable
        If the transfer syntax cannot hold them.
    """
    if not syntax.is_encapsulated:
        return _uncompressed(frames, layout)
    photometric, parts = "", []
    for frame in frames:
        photometric = _written_photometric(frame.photometric, syntax)
        parts.append(_checked_frame(frame.values, photometric, layout, syntax))
    has_table = sum(len(part) + 8 for part in parts) < 2**32
    return Encoded(encapsulate(parts, has_bot=has_table), syntax, photometric)


def _written_photometric(decoded: str, syntax: UID) -> str:
    """Return the colours in a codestream: JPEG 2000 turns RGB into YBR_RCT by itself."""
    return "YBR_RCT" if decoded == "RGB" and syntax == JPEG2000Lossless else decoded


def _checked_frame(values: NDArray[Any], photometric: str, layout: Layout, syntax: UID) -> bytes:
    options: dict[str, Any] = {
        "rows": layout.Rows,
        "columns": layout.Columns,
        "samples_per_pixel": layout.SamplesPerPixel,
        "number_of_frames": 1,
        "bits_allocated": layout.BitsAllocated,
        "bits_stored": layout.BitsStored,
        "pixel_representation": layout.PixelRepresentation,
        "photometric_interpretation": photometric,
        "planar_configuration": 0,
    }
    if values.dtype.kind not in "iu":
        raise NotEncodable
    try:
        plugin = _WRITTEN[syntax]
        values = np.ascontiguousarray(values)
        frame = bytes(get_encoder(syntax).encode(values, encoding_plugin=plugin, **options))
        again, _ = get_decoder(syntax).as_array(
            encapsulate([frame], has_bot=False),
            index=0,
            raw=True,
            decoding_plugin=plugin,
            **(options | {"pixel_keyword": "PixelData"}),
        )
    except Exception as error:  # codecs raise whatever they like
        raise NotEncodable from error
    if not np.array_equal(again, values):
        raise NotEncodable
    return frame


def _uncompressed(frames: Iterable[Decoded], layout: Layout) -> Encoded:
    photometric, parts = "", []
    for frame in frames:
        photometric = frame.photometric
        values = frame.values
        if layout.BitsAllocated == 1:
            parts.append(values.astype(np.uint8).tobytes())
        else:
            parts.append(values.astype(values.dtype.newbyteorder("<")).tobytes())
    value = b"".join(parts)
    if layout.BitsAllocated == 1:
        value = np.packbits(np.frombuffer(value, np.uint8), bitorder="little").tobytes()
    return Encoded(value + b"\0" * (len(value) % 2), ExplicitVRLittleEndian, photometric)
