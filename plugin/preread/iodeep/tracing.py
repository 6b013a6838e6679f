"""Lines around the pixels of a mask, by marching squares on how probable each pixel is.

A line keeps between the centres of pixels that belong to the mask and of those that do not, so that
filling it gives exactly the mask again; where in between follows from the probabilities. Points are
left out only as long as that holds, and as long as the line keeps its distance from all centres:
coordinates are rounded when they are written, and other programs fill by rules of their own.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from scipy import ndimage
from scipy.spatial import cKDTree
from skimage import measure

from preread.iodeep.region import pixels_within

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray

    Line = NDArray[np.float64]
    """(N, 2): row and column."""

_CLEAR: Final = 0.05
"""How near a line comes to the centre of a pixel, as a share of the way to the next."""
_TOLERANCE: Final = 0.5
"""Pixels by which a line may move where points are left out."""
_DISTANCE: Final = 0.02
"""Pixels between the centre of a pixel and what is drawn where points are left out."""
_MOST_NEAR: Final = 512
"""Points around a hole among which one is sought that it is joined to past all centres."""


class Traced(NamedTuple):
    """A connected part of a mask.

    Attributes
    ----------
    polygon
        As that of `preread.iodeep.region.Region`.
    mask
        (h, w) bool: its pixels, within `box`.
    box
        Rows and columns of the image that it lies in.
    """

    polygon: NDArray[np.float64]
    mask: NDArray[np.bool_]
    box: tuple[slice, slice]


def trace(
    probabilities: NDArray[np.float32],
    mask: NDArray[np.bool_],
    threshold: float,
    smallest: float = 1,
    most: int | None = None,
) -> Iterator[Traced]:
    """Trace the parts of a mask, the largest first.

    Parameters
    ----------
    probabilities
        (H, W), 0 to 1.
    mask
        (H, W): which pixels to trace around. Pixels that touch at a corner alone are apart.
    threshold
        The probability that lines run at where it is between that of two pixels.
    smallest
        Pixels below which a part is left out, and a hole in a part is filled.
    most
        How many parts are traced; None for all.

    Yields
    ------
    Traced
        For each part.
    """
    labels, count = ndimage.label(mask)
    sizes = np.bincount(labels.ravel(), minlength=count + 1)[1:]
    order = np.argsort(-sizes, kind="stable")
    order = order[sizes[order] >= smallest][:most]
    if len(order) == 0:
        return
    boxes = ndimage.find_objects(labels)
    for label in order:
        box = boxes[label]
        part = _filled(labels[box] == label + 1, smallest)
        around, margins = _around(box, mask.shape)
        field = _field(probabilities[around], np.pad(part, margins), threshold)
        corner = np.array([around[1].start, around[0].start])
        yield Traced(_polygon(field, np.pad(part, margins)) + corner, part, box)


def _around(
    box: tuple[slice, slice], shape: tuple[int, ...]
) -> tuple[tuple[slice, slice], list[tuple[int, int]]]:
    """Give a box with the pixels next to it, and how many there are before and behind it."""
    margins = [
        (min(1, side.start), min(1, size - side.stop))
        for side, size in zip(box, shape, strict=True)
    ]
    rows, columns = (
        slice(side.start - before, side.stop + behind)
        for side, (before, behind) in zip(box, margins, strict=True)
    )
    return (rows, columns), margins


def _filled(part: NDArray[np.bool_], smallest: float) -> NDArray[np.bool_]:
    """Fill the holes that have fewer pixels than the smallest part."""
    if smallest <= 1:
        return part
    holes, count = ndimage.label(np.pad(~part, 1, constant_values=True), np.ones((3, 3)))
    sizes = np.bincount(holes.ravel(), minlength=count + 1)
    small = (sizes < smallest) & (np.arange(count + 1) != holes[0, 0])
    small[0] = False
    return np.asarray(part | small[holes[1:-1, 1:-1]], dtype=np.bool_)


def _field(
    probabilities: NDArray[np.float32], part: NDArray[np.bool_], threshold: float
) -> NDArray[np.float64]:
    """Give what is 0 on the line around a part: above in its pixels, below in all others."""
    level = (probabilities.astype(np.float64) - threshold) / max(threshold, 1 - threshold)
    field: NDArray[np.float64] = np.where(
        part, np.clip(level, _CLEAR, 1), np.clip(level, -1, -_CLEAR)
    )
    return field


def _polygon(field: NDArray[np.float64], part: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Give the line around a part, with its holes, as columns and rows within its box."""
    padded = np.pad(field, 1, constant_values=-1)
    # scikit-image has no types. Closed lines have their first point again at the end.
    found = measure.find_contours(padded, 0, fully_connected="low")  # type: ignore[no-untyped-call]
    lines: list[Line] = [_turning(line[:-1] - 1) for line in found]
    polygon = _joined([_simplified(line) for line in lines])
    kept = np.array_equal(pixels_within(polygon, *part.shape), part)
    return polygon if kept else _joined(lines)


def _turning(line: Line) -> Line:
    """Leave out the points at which a line goes straight on."""
    before, after = line - np.roll(line, 1, axis=0), np.roll(line, -1, axis=0) - line
    turns = np.abs(before[:, 0] * after[:, 1] - before[:, 1] * after[:, 0]) > 1e-9
    return line[turns] if turns.sum() >= 3 else line


def _simplified(line: Line) -> Line:
    """Leave out points that lie near to the line without them, if no pixel then changes sides.

    As Douglas and Peucker do it; but a stretch is only made straight if there is no centre of a
    pixel between the two. So what the line fills stays the same.
    """
    far = int(np.argmax(((line - line[0]) ** 2).sum(axis=1)))
    closed = np.concatenate([line, line[:1]])
    kept = np.zeros(len(closed), dtype=bool)
    stretches = [(0, far), (far, len(line))]
    while stretches:
        first, last = stretches.pop()
        kept[[first, last]] = True
        if last - first < 2:
            continue
        furthest, away = _furthest(closed[first : last + 1])
        if (
            away > _TOLERANCE
            or _distance(closed[first], closed[last]) < _DISTANCE
            or _between(closed[first : last + 1])
        ):
            stretches += [(first, first + furthest), (first + furthest, last)]
    simpler = line[kept[:-1]]
    return simpler if len(simpler) >= 3 else line


def _furthest(stretch: Line) -> tuple[int, float]:
    """Give which inner point of a stretch is furthest from its ends' straight line, and how far."""
    way, inner = stretch[-1] - stretch[0], stretch[1:-1] - stretch[0]
    length = float(np.hypot(*way))
    if length == 0:
        away = np.hypot(inner[:, 0], inner[:, 1])
    else:
        away = np.abs(inner[:, 0] * way[1] - inner[:, 1] * way[0]) / length
    furthest = int(np.argmax(away))
    return furthest + 1, float(away[furthest])


def _between(stretch: Line) -> bool:
    """Tell whether the centre of a pixel lies between a stretch and its ends' straight line."""
    corner = np.floor(stretch.min(axis=0))
    size = (np.ceil(stretch.max(axis=0)) - corner).astype(int) + 1
    within = measure.grid_points_in_poly(tuple(size), stretch - corner)  # type: ignore[no-untyped-call]
    return bool(within.any())  # those on the lines too


def _joined(lines: list[Line]) -> NDArray[np.float64]:
    """Join holes to the line around them, and give columns and rows.

    Each hole is joined to a point near to its leftmost one, on a line that begins further left; so
    all of them lead to the line that is around them all, which begins first.
    """
    lines = sorted(lines, key=lambda line: float(line[:, 1].min()))
    starts = np.cumsum([0, *map(len, lines)])
    points, owners = np.concatenate(lines), np.repeat(np.arange(len(lines)), np.diff(starts))
    tree = cKDTree(points)
    waiting: list[dict[int, list[Line]]] = [{} for _ in lines]
    for number in range(len(lines) - 1, 0, -1):
        hole = lines[number]
        leftmost = int(np.argmin(hole[:, 1]))
        near = _other_end(hole[leftmost], points, tree, owners < number)
        closed = _with_holes(hole, waiting[number], leftmost)
        parent = int(owners[near])
        waiting[parent].setdefault(near - int(starts[parent]), []).append(closed)
        waiting[number] = {}
    return np.ascontiguousarray(_with_holes(lines[0], waiting[0], 0)[:-1, ::-1])


def _with_holes(line: Line, holes: dict[int, list[Line]], first: int) -> Line:
    """Give a line from one of its points back to it, by way of the holes that are joined to it."""
    turned = np.roll(line, -first, axis=0)
    pieces, at = [], 0
    for place, number in sorted(((number - first) % len(line), number) for number in holes):
        pieces += [turned[at : place + 1], *_apart(holes[number], line[number])]
        at = place
    return np.concatenate([*pieces, turned[at:], turned[:1]])


def _apart(holes: list[Line], point: NDArray[np.float64]) -> Iterator[Line]:
    """Give the holes at a point, with the point between them."""
    for number, hole in enumerate(holes):
        if number:
            yield point[np.newaxis]
        yield hole


def _other_end(
    point: NDArray[np.float64], points: Line, tree: cKDTree, allowed: NDArray[np.bool_]
) -> int:
    """Choose a point that a hole is joined to: near, and past the centres of pixels."""
    count = 8
    while True:
        count = min(count, len(points))
        near = [int(at) for at in tree.query(point, k=count)[1] if allowed[at]]
        distances = [_distance(point, points[at]) for at in near]
        for at, away in zip(near, distances, strict=True):
            if away >= _DISTANCE:
                return at
        if near and (count >= _MOST_NEAR or count == len(points)):
            return near[int(np.argmax(distances))]
        count *= 4


def _distance(one: NDArray[np.float64], other: NDArray[np.float64]) -> float:
    """Give how near the way between two points comes to the centre of a pixel, at most 0.5.

    Centres beyond its two ends do not count: points on lines keep away from centres themselves.
    """
    way = other - one
    # Along the axis in which it goes further, it passes one centre at each whole number.
    axis = int(np.argmax(np.abs(way)))
    length = float(np.hypot(*way))
    if length == 0:
        return 0.5
    low, high = sorted((float(one[axis]), float(other[axis])))
    along = np.arange(np.ceil(low), np.floor(high) + 1)
    across = one[1 - axis] + (along - one[axis]) / way[axis] * way[1 - axis]
    apart = np.abs(across - np.rint(across)) * (abs(float(way[axis])) / length)
    return float(apart.min(initial=0.5))
