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

from preread.training.belonging import groups_of
from preread.training.data_set import NOT_IN_SET, ONLY_SET, LabelSet
from preread.training.errors import TrainingError
from preread.training.quotas import quotas

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet

_ATTEMPTS: Final = 20  # at a grouped split with every class in every part


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
        Grouped (see `preread.training.belonging.groups_of`), or random: then every image is a
        group of its own.
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
                    "too few images, or too few that do not belong together; add images or choose "
                    "other shares"
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
    everything = np.arange(len(groups), dtype=np.int64)
    random = np.random.default_rng(seed)
    kinds = _combinations(sets)
    if kind is SplitKind.RANDOM:
        left = 2 if validation else 1
        rest, tested = _draw(everything, sets, kinds, test, random, exact, left)
        rest, validated = _draw(rest, sets, kinds, validation, random, {}, 1)
        check_parts(sets, _parts(rest, validated, tested, validation))
        return Split(rest, validated, tested, None, groups)
    by: Sequence[NDArray[np.int64]] = (kinds,)
    for attempt in range(_ATTEMPTS):
        rest, tested = _divide(everything, by, groups, test, random)
        rest, validated = _divide(rest, by, groups, validation, random)
        try:
            check_parts(sets, _parts(rest, validated, tested, validation))
            break
        except TrainingError:
            if attempt == _ATTEMPTS - 1:
                raise
            # Combinations are the nearest measure, but for few groups too fine.
            by = [one.labels for one in sets]
    return Split(rest, validated, tested, int(groups.max()) + 1, groups)


def _parts(
    training: NDArray[np.int64],
    validated: NDArray[np.int64],
    tested: NDArray[np.int64],
    validation: float,
) -> dict[str, NDArray[np.int64]]:
    """Name the parts that are wanted."""
    wanted = {"training": training, "test": tested}
    return wanted | {"validation": validated} if validation else wanted


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
    if not (share and len(items)):
        return items, items[:0]
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
    by: Sequence[NDArray[np.int64]],
    groups: NDArray[np.int64],
    share: float,
    random: np.random.Generator,
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Take whole groups out until each label has given its share; give what stays and that."""
    if not (share and len(items)):
        return items, items[:0]
    held = np.concatenate([labels[items, None] == np.arange(labels.max() + 1) for labels in by], 1)
    present, number = np.unique(groups[items], return_inverse=True)
    of_group = np.zeros((len(present), held.shape[1]))
    np.add.at(of_group, number, held)
    wanted = share * held.sum(axis=0)
    taken = np.zeros(held.shape[1])
    chosen = np.zeros(len(present), dtype=bool)
    for group in random.permutation(len(present)):
        counts = of_group[group]
        # A group is taken if that brings the part nearer to what is wanted than leaving it.
        if np.abs(wanted - taken - counts).sum() < np.abs(wanted - taken).sum():
            chosen[group] = True
            taken += counts
    return items[~chosen[number]], items[chosen[number]]
