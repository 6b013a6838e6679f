"""From stored values of a colour image to RGB (PS3.3 C.7.6.3.1.2, C.7.6.3.1.5)."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preread.imaging.decode import Decoded
from preread.imaging.display import Span
from preread.imaging.errors import UnreadableImage
from preread.imaging.frame import Frame, Units
from preread.imaging.layout import Layout
from preread.imaging.tables import LookupTable


def palette_frame(index: int, stored: NDArray[Any], palette: LookupTable) -> Frame:
    """Make a frame of the stored values of a PALETTE COLOR image.

    Parameters
    ----------
    index
        Of the frame, from 0.
    stored
        (H, W) whole numbers.
    palette
        With entries (N, 3).
    """
    white = (1 << palette.bits) - 1
    return Frame(index, palette.apply(stored), Units.DISPLAY, Span(0, white))


def colour_frame(index: int, decoded: Decoded, layout: Layout) -> Frame:
    """Make a frame of RGB, or of YBR that no decoder has converted.

    Parameters
    ----------
    index
        Of the frame, from 0.
    decoded
        (H, W, 3).
    layout
        The checked Image Pixel module.

    Raises
    ------
    UnreadableImage
        If the samples are signed or floats, which colours are not.
    """
    values = decoded.values
    if values.dtype.kind != "u":
        raise UnreadableImage("the colours are signed or floating; expected unsigned integers")
    if decoded.photometric != "RGB":
        values = _from_ybr(values, layout.BitsStored)
    # In this machine's byte order; 32 bits are kept as floats, as grey ones are.
    values = values.astype({1: np.uint8, 2: np.uint16}.get(values.dtype.itemsize, np.float32))
    return Frame(index, values, Units.DISPLAY, Span(0, float((1 << layout.BitsStored) - 1)))


def _from_ybr(values: NDArray[Any], bits: int) -> NDArray[Any]:
    """Convert YBR_FULL of more than 8 bits, for which pydicom has no formula.

    The inverse of PS3.3 C.7.6.3.1.2 with its middle, 128 in 8 bits, moved to half of 2**bits.
    """
    wide = values.astype(np.float64)
    wide[..., 1:] -= 1 << (bits - 1)
    matrix = np.array(
        [
            [1.0, 1.0, 1.0],
            [0.0, -0.114 * 1.772 / 0.587, 1.772],
            [1.402, -0.299 * 1.402 / 0.587, 0.0],
        ]
    )
    colours = np.rint(wide @ matrix)
    converted: NDArray[Any] = np.clip(colours, 0, (1 << bits) - 1).astype(values.dtype)
    return converted
