"""Pixel data that is not compressed, changed where it lies."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preread.deidentify.pixels.boxes import Box, covered
from preread.imaging.layout import Layout


class NativePixels:
    """The value of uncompressed pixel data, all frames; what is not blanked keeps its bytes.

    Parameters
    ----------
    pixels
        As it lies in the file, as long as `layout` claims or longer.
    layout
        The checked Image Pixel module.
    vr
        The element's VR.
    little
        Whether the file is little endian.
    """

    def __init__(
        self, pixels: bytes | memoryview, layout: Layout, *, vr: str, little: bool
    ) -> None:
        self._bytes = np.array(np.frombuffer(pixels, np.uint8))
        self._layout = layout
        # PS3.5 8.2: bytes lie in words, and those are turned round in big endian.
        self._in_words = not little and layout.BitsAllocated <= 8 and vr != "OB"
        self._swap()
        width = layout.BitsAllocated // 8
        self._type = np.dtype(f"{'<' if little else '>'}u{width or 1}")

    def tobytes(self) -> bytes:
        """Return the value as it lies in a file."""
        self._swap()
        value = self._bytes.tobytes()
        self._swap()
        return value

    def blank(self, index: int, boxes: Iterable[Box], black: Sequence[int | float]) -> None:
        """Fill boxes of a frame.

        Parameters
        ----------
        index
            Of the frame, from 0.
        boxes
            What to fill.
        black
            One stored value for each sample.
        """
        layout = self._layout
        if layout.BitsAllocated == 1:
            self._blank_bits(index, boxes)
            return
        fill = np.array([self._cell(value) for value in black], self._type)
        frame = self._frame(index)
        for rows, columns in (box.area for box in boxes):
            if layout.PhotometricInterpretation == "YBR_FULL_422":
                # Two pixels and their chroma are one cell (PS3.3 C.7.6.3.1.2).
                pairs = slice(columns.start // 2, (columns.stop + 1) // 2)
                frame[rows, pairs] = fill[[0, 0, 1, 2]]
            elif layout.SamplesPerPixel > 1 and layout.PlanarConfiguration == 1:
                frame[:, rows, columns] = fill[:, None, None]
            else:
                frame[rows, columns] = fill

    def put(self, index: int, values: NDArray[Any]) -> None:
        """Replace a grey frame.

        Parameters
        ----------
        index
            Of the frame, from 0.
        values
            (H, W) stored values, whole numbers.
        """
        layout = self._layout
        shift = layout.HighBit + 1 - layout.BitsStored
        cells = (values.astype(np.int64) << shift) & ((1 << layout.BitsAllocated) - 1)
        self._frame(index)[..., 0] = cells

    def clear(self) -> None:
        """Clear the bits of all cells that are not their pixels' own."""
        cell = self._layout.cell
        if cell is None:
            return
        whole = len(self._bytes) // self._type.itemsize * self._type.itemsize
        cells = self._bytes[:whole].view(self._type)
        cleared = b"".join(cell.cleared(cells))
        self._bytes[:whole] = np.frombuffer(cleared, np.uint8)

    def _swap(self) -> None:
        if self._in_words:
            even = self._bytes[: len(self._bytes) // 2 * 2]
            even.view(np.uint16).byteswap(inplace=True)

    def _cell(self, value: float) -> int:
        """Return the bits of a pixel cell that hold a stored value."""
        layout = self._layout
        if layout.keyword != "PixelData":
            kind = np.float32 if layout.BitsAllocated == 32 else np.float64
            return int(kind(value).view(f"u{layout.BitsAllocated // 8}"))
        shift = layout.HighBit + 1 - layout.BitsStored
        return (int(value) << shift) & ((1 << layout.BitsAllocated) - 1)

    def _frame(self, index: int) -> NDArray[Any]:
        layout = self._layout
        size = layout.frame_bits // 8
        cells = self._bytes[index * size : (index + 1) * size].view(self._type)
        if layout.PhotometricInterpretation == "YBR_FULL_422":
            return cells.reshape(layout.Rows, layout.Columns // 2, 4)
        if layout.SamplesPerPixel > 1 and layout.PlanarConfiguration == 1:
            return cells.reshape(layout.SamplesPerPixel, layout.Rows, layout.Columns)
        return cells.reshape(layout.Rows, layout.Columns, layout.SamplesPerPixel)

    def _blank_bits(self, index: int, boxes: Iterable[Box]) -> None:
        """Clear pixels of one bit; frames need not begin with a byte (PS3.5 8.1.1)."""
        layout = self._layout
        size = layout.Rows * layout.Columns
        first = index * layout.frame_bits
        last = first + size
        place = slice(first // 8, (last + 7) // 8)
        bits = np.unpackbits(self._bytes[place], bitorder="little")
        own = bits[first % 8 : first % 8 + size]
        own[covered(boxes, layout.Rows, layout.Columns).ravel()] = 0
        self._bytes[place] = np.packbits(bits, bitorder="little")
