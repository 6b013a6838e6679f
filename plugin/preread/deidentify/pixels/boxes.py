"""Rectangles of pixels."""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A rectangle: columns `left` to `right`, rows `top` to `bottom`, the last ones exclusive."""

    left: int
    top: int
    right: int
    bottom: int

    @classmethod
    def within(
        cls, left: float, top: float, right: float, bottom: float, rows: int, columns: int
    ) -> Self | None:
        """Return the whole pixels that a rectangle touches, cut to the picture; None if none.

        >>> Box.within(-3.5, 1.2, 4.1, 9, rows=5, columns=8)
        Box(left=0, top=1, right=5, bottom=5)
        """
        box = cls(
            max(0, int(np.floor(left))),
            max(0, int(np.floor(top))),
            min(columns, int(np.ceil(right))),
            min(rows, int(np.ceil(bottom))),
        )
        return box if box.left < box.right and box.top < box.bottom else None

    @property
    def area(self) -> tuple[slice, slice]:
        """Rows and columns, to index a picture with."""
        return slice(self.top, self.bottom), slice(self.left, self.right)


def covered(boxes: Iterable[Box], rows: int, columns: int) -> NDArray[np.bool_]:
    """Return (rows, columns), true where a box lies."""
    mask = np.zeros((rows, columns), bool)
    for box in boxes:
        mask[box.area] = True
    return mask
