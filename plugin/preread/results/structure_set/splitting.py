"""Cutting a region whose line is too long for one element into parts that fit.

A region with many holes is one long line. An element of Explicit VR has room for 64 KB (PS3.5
section 7.1.2). The line is never drawn with fewer points, which would make another shape of it: the
region is cut, between two rows or columns of pixel centres. Filled by the even-odd rule,
the parts lie beside each other and are together what the region was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from preread.results.structure_set.errors import UnwritableStructureSetError

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Line = NDArray[np.float64]
    """(N, 2): column and row of a closed line."""

_MOST_PARTS: Final = 1000


def parts_of(polygon: Line, fits: Callable[[Line], bool]) -> list[Line]:
    """Cut a region into parts that fit.

    Parameters
    ----------
    polygon
        (N, 2): column and row, the first point not repeated at the end.
    fits
        Whether a line fits into its element.

    Returns
    -------
    list of ndarray
        At least one; the polygon itself where it fits.

    Raises
    ------
    UnwritableStructureSetError
        If cutting does not help: the line goes to and fro too often.
    """
    parts: list[Line] = []
    waiting = [polygon]
    while waiting:
        line = waiting.pop()
        if fits(line):
            parts.append(line)
            continue
        halves = _cut(line)
        # Each cut adds points to both sides. A line that is all to and fro never gets shorter.
        if any(len(half) >= len(line) for half in halves) or len(waiting) > _MOST_PARTS:
            raise UnwritableStructureSetError(
                "a region's line is too long to be written, and cutting the region does not help; "
                "expected a line that does not go to and fro"
            )
        waiting += reversed(halves)
    return parts


def _cut(line: Line) -> list[Line]:
    """Cut across the longer side, where half of the points are on either side."""
    axis = int(np.argmax(np.ptp(line, axis=0)))
    low, high = line[:, axis].min(), line[:, axis].max()
    # Halfway between two centres: so no centre lies on the cut.
    at = float(np.floor(np.median(line[:, axis])) + 0.5)
    if not low < at < high:
        at = float(low + high) / 2
    return [half for half in (_side(line, axis, at, 1), _side(line, axis, at, -1)) if len(half) > 2]


def _side(line: Line, axis: int, at: float, sign: int) -> Line:
    """Return what lies on one side of a straight cut; `sign` 1 is the side of lower numbers.

    As Sutherland and Hodgman do it: what lies beyond is laid onto the cut, where it has no area.
    """
    ends = np.roll(line, -1, axis=0)
    beyond = sign * (line[:, axis] - at)
    inside, crosses = beyond <= 0, (beyond <= 0) != (np.roll(beyond, -1) <= 0)
    # From the same end whichever way an edge is gone: channels to holes are gone both ways.
    swapped = (line[:, axis] > ends[:, axis])[:, np.newaxis]
    first, last = np.where(swapped, ends, line), np.where(swapped, line, ends)
    way = np.where(crosses, last[:, axis] - first[:, axis], 1.0)[:, np.newaxis]
    crossing = first + (last - first) * ((at - first[:, axis])[:, np.newaxis] / way)
    crossing[:, axis] = at
    points = np.stack((line, crossing), axis=1).reshape(-1, 2)
    points = points[np.column_stack((inside, crosses)).ravel()]
    repeated = (points == np.roll(points, 1, axis=0)).all(axis=1)
    return np.ascontiguousarray(points[~repeated])
