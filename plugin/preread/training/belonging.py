"""Which images belong together: those that look alike, of one patient, or the same."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet

LOOK_ALIKE: Final = 0.97
"""Normalised correlation of thumbnails above which two images belong together."""

_BLOCK: Final = 512  # rows of the matrix of correlations that are held at a time


class _Forest:
    """Items that are joined to groups (union-find, Tarjan 1975)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._parent[max(one, other)] = min(one, other)

    def join_sharing(self, keys: Iterable[Iterable[Hashable]]) -> None:
        """Join the items that share a key; each has any number of them."""
        first: dict[Hashable, int] = {}
        for item, own in enumerate(keys):
            for key in own:
                self.join(first.setdefault(key, item), item)

    def numbered(self) -> NDArray[np.int64]:
        """Give each item the number of its group, from 0 in the order of their first item."""
        roots = np.array([self._root(item) for item in range(len(self._parent))], dtype=np.int64)
        found: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1].astype(np.int64)
        return found

    def _root(self, item: int) -> int:
        parent = self._parent
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item


def look_alike_groups(
    thumbnails: NDArray[np.float32], above: float = LOOK_ALIKE
) -> NDArray[np.int64]:
    """Give each image the number of its group of look-alikes.

    Two images belong together when their correlation is above the threshold, or when a chain of
    such pairs leads from one to the other.

    Parameters
    ----------
    thumbnails
        (N, D), each row of mean 0 and length 1, so that a product of two is their correlation.
    above
        The threshold.

    Returns
    -------
    ndarray of int64
        (N,), groups numbered from 0 in the order of their first image.

    Examples
    --------
    >>> rows = np.array([[1, 0], [0, 1], [1, 0]], dtype=np.float32)
    >>> look_alike_groups(rows).tolist()
    [0, 1, 0]
    """
    forest = _Forest(len(thumbnails))
    _join_look_alikes(forest, thumbnails, above)
    return forest.numbered()


def groups_of(data: DataSet, above: float = LOOK_ALIKE) -> NDArray[np.int64]:
    """Give each image the number of its group of images that must stay on one side.

    Two images belong together when they look alike (see `look_alike_groups`), share a
    patient, have the same pixels, or are listed with the same group; or when a chain of such pairs
    leads from one to the other.

    Returns
    -------
    ndarray of int64
        (N,), groups numbered from 0 in the order of their first image.
    """
    forest = _Forest(len(data))
    _join_look_alikes(forest, data.thumbnails, above)
    forest.join_sharing(data.patients)
    forest.join_sharing((digest,) for digest in data.digests)
    if data.groups is not None:
        forest.join_sharing(data.groups)
    return forest.numbered()


def _join_look_alikes(forest: _Forest, thumbnails: NDArray[np.float32], above: float) -> None:
    for start in range(0, len(thumbnails), _BLOCK):
        alike = thumbnails[start : start + _BLOCK] @ thumbnails.T > above
        for row, column in zip(*np.nonzero(alike), strict=True):
            forest.join(start + int(row), int(column))
