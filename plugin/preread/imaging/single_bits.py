"""Frames whose pixels have one bit each (PS3.5 section 8.1.1), and need not begin with a byte."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from preread.imaging.layout import Layout


def single_bit_frame(
    pixels: bytes | memoryview, index: int, layout: Layout, *, in_words: bool
) -> NDArray[np.uint8]:
    """Give a frame of uncompressed pixel data, (H, W) of 0 and 1.

    pydicom takes from an unaligned frame one byte more or less than it needs.

    Parameters
    ----------
    pixels
        Those of all frames, as long as `layout` claims or longer.
    index
        Of the frame, from 0.
    layout
        The checked Image Pixel module.
    in_words
        Whether the bytes lie in big endian words (PS3.5 section 8.2).
    """
    size = layout.Rows * layout.Columns
    first = index * layout.frame_bits
    begin = first // 8 // 2 * 2
    part = np.frombuffer(pixels[begin : (first + size + 7) // 8 // 2 * 2 + 2], np.uint8)
    if in_words:
        part = part[: len(part) // 2 * 2].view(np.uint16).byteswap().view(np.uint8)
    start = first - begin * 8
    bits = np.unpackbits(part, bitorder="little")[start : start + size]
    return bits.reshape(layout.Rows, layout.Columns)
