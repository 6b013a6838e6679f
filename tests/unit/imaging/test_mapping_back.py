"""From a network's input back to the frame it was made of."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.imaging import Fit, Preprocessing, frame_from_array, prepare
from preread.imaging.mapping_back import onto_frame

SIDE = 64


def bright(rows: int, columns: int, row: int, column: int, side: int = 13) -> NDArray[np.float32]:
    """Return a dark frame with a bright square whose centre is given."""
    frame = np.zeros((rows, columns), dtype=np.float32)
    half = side // 2
    frame[row - half : row + half + 1, column - half : column + half + 1] = 1
    return frame


def centre(values: NDArray[np.float32]) -> tuple[float, float]:
    rows, columns = np.indices(values.shape)
    total = values.sum()
    return float((rows * values).sum() / total), float((columns * values).sum() / total)


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(
    ("rows", "columns"), [(200, 200), (120, 300), (300, 120), (SIDE, SIDE), (40, 51)]
)
@pytest.mark.parametrize(("down", "across"), [(0.5, 0.5), (0.4, 0.62), (0.6, 0.35)])
def test_what_the_network_saw_lands_where_it_came_from(
    fit: Fit, rows: int, columns: int, down: float, across: float
) -> None:
    how = Preprocessing(size=(SIDE, SIDE), fit=fit, range=(0, 1))
    shorter = min(rows, columns)
    # Within the middle square, so that a crop sees it too.
    row = round((rows - shorter) / 2 + down * shorter)
    column = round((columns - shorter) / 2 + across * shorter)
    frame = frame_from_array(bright(rows, columns, row, column))
    seen = prepare(frame, how)[0]
    coarse = seen.reshape(16, 4, 16, 4).mean(axis=(1, 3))
    spread = onto_frame(coarse, how, rows, columns)
    assert spread.values.shape == (rows, columns)
    # Half a pixel of the coarse map, in pixels of the frame.
    slack = 0.5 * max(rows, columns) / 16
    assert centre(spread.values) == pytest.approx((row, column), abs=slack)
    assert 0 <= spread.values.min() <= spread.values.max() <= coarse.max() + 1e-6


def test_a_crop_leaves_what_nobody_saw_empty() -> None:
    how = Preprocessing(size=(SIDE, SIDE), fit=Fit.CROP)
    spread = onto_frame(np.ones((4, 4), dtype=np.float32), how, 100, 300)
    assert spread.seen == (0, 100, 100, 200)
    assert spread.values[:, 100:200].min() == 1
    assert spread.values[:, :100].max() == spread.values[:, 200:].max() == 0


def test_a_letterbox_loses_its_bars() -> None:
    how = Preprocessing(size=(SIDE, SIDE), fit=Fit.LETTERBOX)
    coarse = np.zeros((SIDE, SIDE), dtype=np.float32)
    coarse[16:48] = 1  # all that a frame twice as wide as high takes up
    spread = onto_frame(coarse, how, 100, 200)
    assert spread.seen == (0, 0, 100, 200)
    assert spread.values[4:-4].min() == pytest.approx(1)
    inverse = onto_frame(1 - coarse, how, 100, 200)
    assert inverse.values[4:-4].max() == pytest.approx(0, abs=1e-6)


def test_a_stretched_frame_is_seen_whole() -> None:
    coarse = np.arange(12, dtype=np.float32).reshape(3, 4)
    spread = onto_frame(coarse, Preprocessing(size=(SIDE, 2 * SIDE)), 31, 47)
    assert spread.seen == (0, 0, 31, 47)
    assert spread.values[0, 0] < spread.values[0, -1] < spread.values[-1, -1] <= 11


@pytest.mark.parametrize("fit", list(Fit))
@pytest.mark.parametrize(("rows", "columns"), [(1, 1), (1, 900), (900, 1), (2, 3)])
def test_frames_of_odd_shapes(fit: Fit, rows: int, columns: int) -> None:
    how = Preprocessing(size=(SIDE, SIDE), fit=fit)
    spread = onto_frame(np.ones((5, 7), dtype=np.float32), how, rows, columns)
    top, left, bottom, right = spread.seen
    assert 0 <= top < bottom <= rows
    assert 0 <= left < right <= columns
    assert spread.values[top:bottom, left:right].min() == pytest.approx(1)
