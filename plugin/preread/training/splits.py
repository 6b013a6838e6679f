"""Dividing images into what is trained on and what is measured on.

Slices of one patient look alike, and data sets without patients' identifiers let them fall on
both sides of a random split, where they flatter the result. A grouped split keeps images that look
alike on one side, and those of one patient where patients are known.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.training.data_set import NOT_IN_SET, ONLY_SET, LabelSet
from preread.training.errors import TrainingError
from preread.training.quotas import quotas

if TYPE_CHECKING:
    from collections.abc import Hashable, Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet

LOOK_ALIKE: Final = 0.97
"""Normalised correlation of thumbnails above which two images belong together."""

_BLOCK: Final = 512  # rows of the matrix of correlations that are held at a time


class SplitKind(StrEnum):
    """How images are divided."""

    GROUPED = "grouped"
    RANDOM = "random"


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Which images are for what. The parts hold indices into the data set, sorted.

    Attributes
    ----------
    training, validation, test
        Fitted on; used to choose the epoch; measured on. No image is in two of them, and the
        second may be empty.
    groups
        How many groups of images that belong together there were; None for a random split.
    group_of
        (N,) int64: the number of each image's group, none of which is in two parts. In a random
        split every image is a group of its own.
    """

    training: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    groups: int | None
    group_of: NDArray[np.int64]


class _Forest:
    """Items that are joined to groups (union-find, Tarjan 1975)."""

    def __init__(self, count: int) -> None:
        self._parent = list(range(count))

    def join(self, one: int, other: int) -> None:
        one, other = self._root(one), self._root(other)
        if one != other:
            self._parent[max(one, other)] = min(one, other)

    def join_equal(self, keys: Iterable[Hashable]) -> None:
        """Join the items that have the same key; None is no key."""
        first: dict[Hashable, int] = {}
        for item, key in enumerate(keys):
            if key is not None:
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

    Two images belong together when they look alike (see `look_alike_groups`), are of the same
    patient, have the same pixels, or are listed with the same group; or when a chain of such pairs
    leads from one to the other.

    Returns
    -------
    ndarray of int64
        (N,), groups numbered from 0 in the order of their first image.
    """
    forest = _Forest(len(data))
    _join_look_alikes(forest, data.thumbnails, above)
    forest.join_equal(patient or None for patient in data.patients)
    forest.join_equal(data.digests)
    if data.groups is not None:
        forest.join_equal(data.groups)
    return forest.numbered()


def split_sets(
    data: DataSet,
    kind: SplitKind,
    *,
    test: float,
    validation: float,
    seed: int,
    test_images: Mapping[str, int] | None = None,
) -> Split:
    """Divide images of one set or several, so that each is in the same part for all sets.

    Every combination of labels over the sets is divided in the same proportions: as nearly as
    groups allow, or as whole images allow in a random split, whose parts have the sizes asked for
    in each set.

    Parameters
    ----------
    data
        What to divide.
    kind
        Grouped (see `groups_of`), or random: then every image is a group of its own.
    test
        Share of all images for the test part, 0 to 1.
    validation
        Share of what is left for the validation part, divided off in the same way; 0 for none.
    seed
        The same seed divides the same images in the same way.
    test_images
        For a random split: how many images of a set the test part has, in place of the share.

    Raises
    ------
    TrainingError
        If a part would have no image of a class, or no division has the numbers asked for.
    """
    exact = dict(test_images or {})
    if exact and kind is not SplitKind.RANDOM:
        raise TrainingError("exact numbers of test images: for the random split alone")
    for name in exact:
        if name not in {each.name for each in data.sets}:
            raise TrainingError(f"test images of {name!r}: the data has no such set")
    grouped = kind is SplitKind.GROUPED
    groups = groups_of(data) if grouped else np.arange(len(data), dtype=np.int64)
    return _split(data.sets, groups, kind, test, validation, seed, exact)


def split(
    labels: NDArray[np.int64],
    thumbnails: NDArray[np.float32],
    kind: SplitKind,
    *,
    test: float,
    validation: float,
    seed: int,
) -> Split:
    """Divide images of one set that are known by labels and thumbnails alone.

    Parameters
    ----------
    labels
        (N,), 0 or more.
    thumbnails
        (N, D), see `look_alike_groups`.
    kind, test, validation, seed
        See `split_sets`.

    Raises
    ------
    TrainingError
        If a part would have no image of a class.
    """
    grouped = kind is SplitKind.GROUPED
    groups = look_alike_groups(thumbnails) if grouped else np.arange(len(labels), dtype=np.int64)
    classes = tuple(f"{label} (counted from 0)" for label in range(int(labels.max()) + 1))
    return _split((LabelSet(ONLY_SET, classes, labels),), groups, kind, test, validation, seed, {})


def check_parts(sets: Sequence[LabelSet], parts: Mapping[str, NDArray[np.int64]]) -> None:
    """Refuse parts of which one has no image of a class.

    Raises
    ------
    TrainingError
        With the class and the part.
    """
    for one in sets:
        there = set(one.labels.tolist()) - {NOT_IN_SET}
        for part, items in parts.items():
            missing = there - set(one.labels[items].tolist())
            if missing:
                where = "" if one.name == ONLY_SET else f" of {one.name}"
                raise TrainingError(
                    f"class {one.classes[min(missing)]}{where} has no image in the {part} part: "
                    "too few images that do not belong together; add images or choose the random "
                    "split"
                )


def _split(
    sets: Sequence[LabelSet],
    groups: NDArray[np.int64],
    kind: SplitKind,
    test: float,
    validation: float,
    seed: int,
    exact: Mapping[str, int],
) -> Split:
    kinds = _combinations(sets)
    everything = np.arange(len(groups), dtype=np.int64)
    random = np.random.default_rng(seed)
    validated = everything[:0]
    if kind is SplitKind.GROUPED:
        rest, tested = _divide(everything, kinds, groups, test, random)
        if validation:
            rest, validated = _divide(rest, kinds, groups, validation, random)
    else:
        left = 2 if validation else 1
        rest, tested = _draw(everything, sets, kinds, test, random, exact, left)
        if validation:
            rest, validated = _draw(rest, sets, kinds, validation, random, {}, 1)
    parts = {"training": rest, "validation": validated, "test": tested}
    check_parts(sets, {name: part for name, part in parts.items() if len(part) or validation})
    count = int(groups.max()) + 1 if kind is SplitKind.GROUPED else None
    return Split(rest, validated, tested, count, groups)


def _combinations(sets: Sequence[LabelSet]) -> NDArray[np.int64]:
    """Give each image the number of its combination of labels over all sets; (N,)."""
    labels = np.stack([one.labels for one in sets], axis=1)
    found: NDArray[np.int64] = np.unique(labels, axis=0, return_inverse=True)[1]
    return found.reshape(-1).astype(np.int64)


def _draw(
    items: NDArray[np.int64],
    sets: Sequence[LabelSet],
    kinds: NDArray[np.int64],
    share: float,
    random: np.random.Generator,
    exact: Mapping[str, int],
    parts_left: int,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Draw images out by quotas of their kinds; give what stays and what was drawn."""
    there, first, sizes = np.unique(kinds[items], return_index=True, return_counts=True)
    labels = [one.labels[items][first] for one in sets]
    wanted = quotas(
        sizes,
        np.stack([label != NOT_IN_SET for label in labels]),
        np.stack(
            [
                label == number
                for one, label in zip(sets, labels, strict=True)
                for number in range(len(one.classes))
            ]
        ),
        share,
        exact=[exact.get(one.name) for one in sets],
        parts_left=parts_left,
    )
    drawn = [
        random.permutation(items[kinds[items] == kind])[:count]
        for kind, count in zip(there, wanted, strict=True)
    ]
    out = np.sort(np.concatenate(drawn))
    return np.setdiff1d(items, out), out


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


def _join_look_alikes(forest: _Forest, thumbnails: NDArray[np.float32], above: float) -> None:
    for start in range(0, len(thumbnails), _BLOCK):
        alike = thumbnails[start : start + _BLOCK] @ thumbnails.T > above
        for row, column in zip(*np.nonzero(alike), strict=True):
            forest.join(start + int(row), int(column))
