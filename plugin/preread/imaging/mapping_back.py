"""From a network's input back to the frame: what `prepare` fitted is laid where it came from."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage

from preread.imaging.preprocessing import Preprocessing, placement


class Spread(NamedTuple):
    """A map over a frame.

    Attributes
    ----------
    values
        (rows, columns) float32; 0 where the network saw nothing.
    seen
        What the network saw of the frame: its first row and column, and those behind the last.
    """

    values: NDArray[np.float32]
    seen: tuple[int, int, int, int]


def onto_frame(
    coarse: NDArray[np.float32], preprocessing: Preprocessing, rows: int, columns: int
) -> Spread:
    """Spread a map over a network's input out over the frame that the input was made of.

    What letterboxing added is cut off, and what cropping took away stays empty. In between it is
    interpolated bilinearly.

    Parameters
    ----------
    coarse
        (h, w), any numbers, evenly over the whole input: a feature map.
    preprocessing
        What the input was made with.
    rows, columns
        Of the frame.

    Returns
    -------
    Spread
        Values within the range of `coarse`.
    """
    box, inner, (top, left) = placement(rows, columns, preprocessing)
    height, width = preprocessing.size
    across, down = coarse.shape[1] / width, coarse.shape[0] / height
    within = (
        left * across,
        top * down,
        (left + inner[1]) * across,
        (top + inner[0]) * down,
    )
    seen = (round(box[1]), round(box[0]), round(box[3]), round(box[2]))
    size = (max(1, seen[3] - seen[1]), max(1, seen[2] - seen[0]))
    part = PillowImage.fromarray(np.ascontiguousarray(coarse, dtype=np.float32)).resize(
        size, PillowImage.Resampling.BILINEAR, box=within
    )
    values = np.zeros((rows, columns), dtype=np.float32)
    first_row, first_column = min(seen[0], rows - 1), min(seen[1], columns - 1)
    laid = np.asarray(part, dtype=np.float32)[: rows - first_row, : columns - first_column]
    last_row, last_column = first_row + laid.shape[0], first_column + laid.shape[1]
    values[first_row:last_row, first_column:last_column] = laid
    return Spread(values, (first_row, first_column, last_row, last_column))
