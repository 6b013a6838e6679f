"""A region of interest in an image, and which pixels it takes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Region:
    """A region that a network proposes in one frame.

    Attributes
    ----------
    frame
        Which of the frames that were given, from 0.
    polygon
        (N, 2) float64, column and row, in the original image: pixel centres are whole numbers, (0,
        0) is that of the top left pixel. The last point is joined to the first. A hole is joined to
        the line around it by a channel without width (PS3.3 C.8.8.6.3 calls that keyhole).
    area
        Pixels of the original.
    score
        Mean probability of its pixels, or what the network says of the box, 0 to 1.
    kind
        A line around pixels, or a box.
    channel
        Of the network's output that it is from, counted from 0; of a box, its number.
    """

    frame: int
    polygon: NDArray[np.float64]
    area: float
    score: float
    kind: Literal["contour", "box"]
    channel: int = 0


def pixels_within(polygon: NDArray[np.float64], rows: int, columns: int) -> NDArray[np.bool_]:
    """Give the pixels whose centres lie within a polygon, by the even-odd rule.

    Of centres on the line itself, those on its left and its upper sides belong to it.

    Parameters
    ----------
    polygon
        (N, 2), column and row; see `Region`.
    rows, columns
        Of the image.

    Returns
    -------
    ndarray of bool
        (rows, columns).

    Examples
    --------
    >>> square = np.array([[0.5, 0.5], [2.5, 0.5], [2.5, 1.5], [0.5, 1.5]])
    >>> pixels_within(square, 3, 4).astype(int).tolist()
    [[0, 0, 0, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    # Where each edge crosses a row of centres, the row changes sides from there on. What is laid in
    # both directions, as a channel to a hole is, changes it twice at the same place.
    ends = np.roll(polygon, -1, axis=0)
    upwards = (polygon[:, 1] <= ends[:, 1])[:, np.newaxis]
    above, below = np.where(upwards, polygon, ends), np.where(upwards, ends, polygon)
    first = np.clip(np.ceil(above[:, 1]), 0, rows).astype(np.intp)
    counts = np.clip(np.ceil(below[:, 1]), 0, rows).astype(np.intp) - first
    edge = np.repeat(np.arange(len(polygon)), counts)
    row = first[edge] + np.arange(len(edge)) - np.repeat(np.cumsum(counts) - counts, counts)
    above, way = above[edge], (below - above)[edge]
    crossing = above[:, 0] + (row - above[:, 1]) * (way[:, 0] / way[:, 1])
    changes = np.zeros((rows, columns + 1), dtype=np.int64)
    np.add.at(changes, (row, np.clip(np.ceil(crossing), 0, columns).astype(np.intp)), 1)
    return np.asarray(np.cumsum(changes, axis=1)[:, :-1] % 2 == 1, dtype=np.bool_)
