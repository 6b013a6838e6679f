"""Dividing images into what is trained on and what is measured on.

Slices of one patient look alike, and data sets without patients' identifiers let them fall on
both sides of a random split, where they flatter the result. A grouped split keeps images that look
alike on one side.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from numpy.typing import NDArray

LOOK_ALIKE: Final = 0.97
"""Normalised correlation of thumbnails above which two images belong together."""

_BLOCK: Final = 512  # rows of the matrix of correlations that are held at a time


class SplitKind(StrEnum):
    """How images are divided."""

    GROUPED = "grouped"
    RANDOM = "random"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which images are for what. Each attribute holds indices into the data set, sorted.

    Attributes
    ----------
    training, validation, test
        Fitted on; used to choose the epoch; measured on. No image is in two of them.
    groups
        How many groups of look-alikes there were; None for a random split.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: int | None


def look_alike_groups(
    thumbnails: NDArray[np.float32], above: float = LOOK_ALIKE
) -> NDArray[np.int64]:
    """Give each image the number of its group of look-alikes.

    Two images belong together when their correlation is above the threshold, or when a chain of
    such pairs leads from one to the other (union-find, Tarjan 1975).

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
    parent = list(range(len(thumbnails)))

    def root(item: int) -> int:
        while parent[item] != item:
            parent[item] = parent[parent[item]]
            item = parent[item]
        return item

    for start in range(0, len(thumbnails), _BLOCK):
        alike = thumbnails[start : start + _BLOCK] @ thumbnails.T > above
        for row, column in zip(*np.nonzero(alike), strict=True):
            one, other = root(start + int(row)), root(int(column))
            if one != other:
                parent[max(one, other)] = min(one, other)
    roots = np.array([root(item) for item in range(len(thumbnails))], dtype=np.int64)
    numbered: NDArray[np.int64] = np.unique(roots, return_inverse=True)[1].astype(np.int64)
    return numbered


def split(
    labels: NDArray[np.int64],
    thumbnails: NDArray[np.float32],
    kind: SplitKind,
    *,
    test: float,
    validation: float,
    seed: int,
) -> Split:
    """Divide images, each class in the same proportions as nearly as its groups allow.

    Parameters
    ----------
    labels
        (N,).
    thumbnails
        (N, D), see `look_alike_groups`.
    kind
        Grouped, or random: then every image is a group of its own.
    test
        Share of all images for the test part.
    validation
        Share of what is left for the validation part, divided off in the same way.
    seed
        The same seed divides the same images in the same way.

    Raises
    ------
    TrainingError
        If a part would have no image of a class.
    """
    grouped = kind is SplitKind.GROUPED
    groups = look_alike_groups(thumbnails) if grouped else np.arange(len(labels), dtype=np.int64)
    everything = np.arange(len(labels), dtype=np.int64)
    random = np.random.default_rng(seed)
    rest, tested = _divide(everything, labels, groups, test, random)
    trained, validated = _divide(rest, labels, groups, validation, random)
    for name, part in (("training", trained), ("validation", validated), ("test", tested)):
        missing = set(labels.tolist()) - set(labels[part].tolist())
        if missing:
            raise TrainingError(
                f"class {min(missing)} (counted from 0) has no image in the {name} part: too few "
                "images that do not look alike; add images or choose the random split"
            )
    return Split(trained, validated, tested, int(groups.max()) + 1 if grouped else None)


def _divide(
    items: NDArray[np.int64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    share: float,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take whole groups out until each class has given its share; give what stays and that."""
    classes = int(labels.max()) + 1
    members = {int(group): items[groups[items] == group] for group in np.unique(groups[items])}
    wanted = share * np.bincount(labels[items], minlength=classes)
    taken = np.zeros(classes)
    chosen: list[NDArray[np.int64]] = []
    for group in random.permutation(sorted(members)):
        counts = np.bincount(labels[members[int(group)]], minlength=classes)
        # A group is taken if that brings the part nearer to what is wanted than leaving it.
        if np.abs(wanted - taken - counts).sum() < np.abs(wanted - taken).sum():
            chosen.append(members[int(group)])
            taken += counts
    out = np.sort(np.concatenate(chosen)) if chosen else items[:0]
    return np.setdiff1d(items, out), out
