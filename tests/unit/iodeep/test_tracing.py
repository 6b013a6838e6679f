"""Lines around masks: filled, they give the masks again."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from scipy import ndimage

from preread.iodeep.region import pixels_within
from preread.iodeep.tracing import trace

Mask = NDArray[np.bool_]

masks = arrays.arrays(
    np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=14)
)


def blobs(seed: int, size: int = 128, blur: float = 3, level: float = 0.5) -> NDArray[np.float32]:
    noise = np.random.default_rng(seed).standard_normal((size, size + 9))
    smooth = ndimage.gaussian_filter(noise, blur)
    spread = (smooth - smooth.min()) / np.ptp(smooth)
    assert (spread > level).any()
    return np.asarray(spread, dtype=np.float32)


def nearest_centre(polygon: NDArray[np.float64]) -> float:
    """Return how near the edges of a polygon come to the centre of a pixel, in pixels."""
    nearest = np.inf
    for one, other in zip(polygon, np.roll(polygon, -1, axis=0), strict=True):
        low = np.floor(np.minimum(one, other)).astype(int)
        high = np.ceil(np.maximum(one, other)).astype(int)
        columns, rows = np.meshgrid(*(np.arange(a, b + 1) for a, b in zip(low, high, strict=True)))
        centres = np.column_stack((columns.ravel(), rows.ravel())).astype(float)
        way = other - one
        share = np.clip((centres - one) @ way / max(float(way @ way), 1e-12), 0, 1)
        away = np.linalg.norm(one + share[:, np.newaxis] * way - centres, axis=1)
        nearest = min(nearest, float(away.min()))
    return nearest


def filled(traced: list[NDArray[np.float64]], shape: tuple[int, int]) -> Mask:
    found = np.zeros(shape, dtype=bool)
    for polygon in traced:
        within = pixels_within(polygon, *shape)
        assert not (found & within).any(), "two regions share a pixel"
        found |= within
    return found


@settings(max_examples=300, deadline=None)
@given(masks)
def test_the_lines_around_any_mask_give_that_mask(mask: Mask) -> None:
    lines = [part.polygon for part in trace(mask.astype(np.float32), mask, 0.5)]
    assert np.array_equal(filled(lines, mask.shape), mask)
    assert len(lines) == ndimage.label(mask)[1]


@settings(max_examples=100, deadline=None)
@given(
    arrays.arrays(np.float32, (9, 11), elements=st.floats(0, 1, width=32)),
    st.floats(0.05, 0.95),
)
def test_whatever_the_probabilities_the_line_is_around_those_from_the_threshold_on(
    probabilities: NDArray[np.float32], threshold: float
) -> None:
    mask = probabilities >= threshold
    lines = [part.polygon for part in trace(probabilities, mask, threshold)]
    assert np.array_equal(filled(lines, mask.shape), mask)


@pytest.mark.parametrize("seed", range(4))
def test_a_full_size_mask_with_holes_and_islands_comes_back_from_few_points(seed: int) -> None:
    probabilities = blobs(seed)
    mask = probabilities >= 0.5
    parts = list(trace(probabilities, mask, 0.5))
    assert np.array_equal(filled([part.polygon for part in parts], mask.shape), mask)
    assert [part.mask.sum() for part in parts] == sorted(
        (part.mask.sum() for part in parts), reverse=True
    )
    crossings = np.diff(mask.astype(int), axis=0).__abs__().sum()
    crossings += np.diff(mask.astype(int), axis=1).__abs__().sum()
    assert sum(len(part.polygon) for part in parts) < crossings / 2


@settings(max_examples=100, deadline=None)
@given(masks)
def test_no_line_runs_through_the_centre_of_a_pixel(mask: Mask) -> None:
    for part in trace(mask.astype(np.float32), mask, 0.5):
        assert nearest_centre(part.polygon) > 0.01


def test_lines_around_rings_and_islands_keep_clear_of_centres() -> None:
    rows, columns = np.mgrid[:72, :90]
    away = np.hypot(rows - 35, columns - 40)
    mask = ((away < 30) & (away > 20)) | ((away < 12) & (away > 5))
    for part in trace(mask.astype(np.float32), mask, 0.5):
        assert nearest_centre(part.polygon) > 0.01
    for seed in range(2):
        probabilities = blobs(seed)
        for part in trace(probabilities, probabilities >= 0.5, 0.5):
            assert nearest_centre(part.polygon) > 0.01


def test_no_point_is_further_from_the_edge_than_half_a_pixel() -> None:
    rows, columns = np.mgrid[:64, :64]
    radius = np.hypot(rows - 31.3, columns - 30.1)
    probabilities = (1 / (1 + np.exp(radius - 17))).astype(np.float32)
    (part,) = trace(probabilities, probabilities >= 0.5, 0.5)
    away = np.abs(np.hypot(part.polygon[:, 0] - 30.1, part.polygon[:, 1] - 31.3) - 17)
    assert away.max() < 0.5
    assert part.polygon.shape[1] == 2


def test_points_are_columns_and_rows() -> None:
    mask = np.zeros((8, 20), dtype=bool)
    mask[2, 10:16] = True
    (part,) = trace(mask.astype(np.float32), mask, 0.5)
    assert part.polygon.min(axis=0) == pytest.approx([9.5, 1.5])
    assert part.polygon.max(axis=0) == pytest.approx([15.5, 2.5])


def test_a_hole_is_joined_by_a_channel_without_width() -> None:
    mask = np.ones((9, 9), dtype=bool)
    mask[3:6, 3:6] = False
    (part,) = trace(mask.astype(np.float32), mask, 0.5)
    points = [tuple(point) for point in part.polygon]
    twice = [point for point in points if points.count(point) == 2]
    assert len(set(twice)) == 2, "both ends of the channel, and only these, stand there twice"
    assert np.array_equal(pixels_within(part.polygon, 9, 9), mask)


@pytest.mark.parametrize(("smallest", "expected"), [(1, 3), (2, 2), (5, 1), (100, 0)])
def test_parts_below_the_smallest_are_left_out(smallest: int, expected: int) -> None:
    mask = np.zeros((10, 10), dtype=bool)
    mask[0, 0] = mask[3, 3:5] = True
    mask[6:9, 6:9] = True
    assert len(list(trace(mask.astype(np.float32), mask, 0.5, smallest))) == expected


def test_holes_below_the_smallest_are_filled_but_not_the_surroundings() -> None:
    mask = np.ones((12, 12), dtype=bool)
    mask[3, 3] = False
    mask[6:9, 6:9] = False
    mask[0, 0] = False
    (part,) = trace(mask.astype(np.float32), mask, 0.5, 5)
    expected = mask.copy()
    expected[3, 3] = True
    assert np.array_equal(part.mask, expected)
    assert np.array_equal(pixels_within(part.polygon, 12, 12), expected)


def test_only_the_largest_are_traced_when_there_are_many() -> None:
    mask = np.zeros((4, 40), dtype=bool)
    mask[0, ::2] = True
    mask[2:4, 10:20] = True
    parts = list(trace(mask.astype(np.float32), mask, 0.5, most=3))
    assert [int(part.mask.sum()) for part in parts] == [20, 1, 1]
