"""The bits of a pixel cell that are not the pixel's own (PS3.5 section 8.1.1).

A cell has Bits Allocated bits, of which Bits Stored, down from High Bit, are the pixel's. Whatever
lies in the others no value tells of, and some programs show it.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Cells = NDArray[Any]
"""Of unsigned integers, in any byte order."""

_CHUNK: Final = 2**20  # cells that are cleared at once


class Cell(NamedTuple):
    """How the bits of a cell are shared out.

    Attributes
    ----------
    allocated
        8, 16, 32 or 64.
    stored
        1 to `allocated`.
    high
        `stored` - 1 to `allocated` - 1.
    signed
        Whether the highest of the pixel's bits is a sign, which writers repeat in those above.
    """

    allocated: int
    stored: int
    high: int
    signed: bool

    def has_more(self, cells: Cells) -> bool:
        """Tell whether bits that are not the pixel's own hold anything.

        Zeros hold nothing, and neither does a sign that all cells repeat.

        Parameters
        ----------
        cells
            Unsigned integers of `allocated` bits.
        """
        if self.stored == self.allocated or not cells.size:
            return False
        if self.high >= self.stored:
            return bool((cells & cells.dtype.type(self._others)).any())
        # As few passes over an ordinary image as can be, and no array of what is tested.
        if not self.signed:
            return int(np.maximum.reduce(cells, axis=None)) >= 1 << self.stored
        values = cells.view(cells.dtype.str.replace("u", "i"))
        least = int(np.minimum.reduce(values, axis=None))
        most = int(np.maximum.reduce(values, axis=None))
        if least >= 0:
            return most >= 1 << self.stored
        half = 1 << (self.stored - 1)
        return least < -half or most >= half

    def cleared(self, cells: Cells) -> Iterator[memoryview]:
        """Give cells without what `has_more` tells of, piece by piece.

        Those of signed pixels repeat the sign above it, as a program takes for granted that reads
        a cell as a whole.
        """
        others = cells.dtype.type(self._others)
        shift = self.allocated - self.stored
        for start in range(0, cells.size, _CHUNK):
            piece = cells[start : start + _CHUNK]
            if self.signed and self.high < self.stored:
                # A shift to the left, which numpy does faster as a product.
                shifted = piece * piece.dtype.type(1 << shift)
                clean: Cells = shifted.view(shifted.dtype.str.replace("u", "i"))
                clean >>= shift
            else:
                clean = piece & ~others
            # Arithmetic leaves them in this machine's byte order.
            order = clean.dtype.newbyteorder(piece.dtype.byteorder)
            yield clean.astype(order, copy=False).view(np.uint8).data

    @property
    def _others(self) -> int:
        own = ((1 << self.stored) - 1) << (self.high - self.stored + 1)
        return ~own & ((1 << self.allocated) - 1)
