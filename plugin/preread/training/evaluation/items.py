"""Which images a model is measured on, with their classes and groups."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np

from preread.training.belonging import look_alike_groups
from preread.training.data_set import NOT_IN_SET
from preread.training.evaluation.document import LeftOut
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.labels import LEFT_OUT, classes_of, same

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from preread.models.model import Model
    from preread.training.data_set import DataSet, LabelSet
    from preread.training.evaluation.document import PartName
    from preread.training.evaluation.images import Images
    from preread.training.evaluation.record import SplitRecord


class Asked(Protocol):
    """What the choice of images needs of what was asked for."""

    @property
    def part(self) -> PartName:
        """Of the split."""
        ...

    @property
    def map(self) -> Mapping[str, str]:
        """From a label of the data to a class."""
        ...

    @property
    def has_source(self) -> bool:
        """Whether the data are a source of their own, and not each model's split."""
        ...


@dataclass(frozen=True, slots=True, eq=False)
class Items:
    """Images in order; the same pixels may be there more than once.

    Attributes
    ----------
    digests
        SHA-256 of the pixels.
    labels, groups
        (N,) int64: index of the class in the model's card, and group of look-alikes.
    left_out
        What was there and is not measured on.
    """

    digests: tuple[str, ...]
    labels: NDArray[np.int64]
    groups: NDArray[np.int64]
    left_out: LeftOut

    def __len__(self) -> int:
        return len(self.digests)


@dataclass(frozen=True, slots=True)
class Member:
    """A model of a run, the split that it was trained on, and the set that it answers for."""

    model: Model
    record: SplitRecord | None
    set_name: str


def items_of(member: Member, asked: Asked, images: Images) -> Items:
    """Choose the images that a model is measured on.

    Raises
    ------
    EvaluationError
        If there is none, a label is no class of the model, or images are not there.
    preread.training.errors.TrainingError
        If the data cannot be read.
    """
    if asked.part == "all":
        items = _of_source(member, asked.map, images)
        what = f"of the data for {member.model.name}"
    else:
        items = _of_split(member, asked.part, asked, images)
        what = f"in the {asked.part} part of {member.record.name if member.record else ''}"
    if not len(items):
        left = items.left_out
        raise EvaluationError(
            f"no image {what} is left to measure on ({left.Seen} seen in training, "
            f"{left.Unmapped} without a class)"
        )
    return items


def validation_items(member: Member, asked: Asked, images: Images, purpose: str) -> Items:
    """Give the images that a model was chosen on.

    Raises
    ------
    EvaluationError
        If its split has no validation part.
    """
    items = _of_split(member, "validation", asked, images) if member.record else None
    if not items:
        raise EvaluationError(
            f"{purpose}: {member.model.name} has no validation part in its split; it is found on "
            "nothing else, since training fitted on the training part and the test part measures"
        )
    return items


def _of_split(member: Member, part: str, asked: Asked, images: Images) -> Items:
    record, card = member.record, member.model.card
    if record is None:
        raise EvaluationError(
            f"{member.model.name}: its card names no split (Training.SplitSHA256), so that what it "
            "was not trained on is not known; measure it on another source with --data and "
            "--part all"
        )
    rows = record.of(member.set_name, part)
    given: Mapping[str, str] = asked.map
    own = [row.labels[member.set_name] for row in rows]
    if asked.has_source:
        data = images.source(card.Preprocessing)
        column = _column(data, member.set_name)
        told: dict[str, list[str]] = {}
        for digest, label in zip(data.digests, column.labels.tolist(), strict=True):
            if label != NOT_IN_SET:
                told.setdefault(digest, []).append(column.classes[label])
        # Pixels that are in two classes of the source keep the one that the split has them in.
        names = [
            next((one for one in told.get(row.sha256, ()) if same(one) == same(label)), None)
            or next(iter(told.get(row.sha256, ())), label)
            for row, label in zip(rows, own, strict=True)
        ]
        there = sorted(set(names) | (set(column.classes) & set(given)))
    else:
        names, there = own, sorted(set(own))
    classes = classes_of(there, card.Classes, given, model=member.model.name)
    kept = [(row, classes[name]) for row, name in zip(rows, names, strict=True)]
    unmapped = sum(name == LEFT_OUT for _, name in kept)
    kept = [(row, name) for row, name in kept if name != LEFT_OUT]
    return Items(
        digests=tuple(row.sha256 for row, _ in kept),
        labels=np.array([card.Classes.index(name) for _, name in kept], dtype=np.int64),
        groups=np.array([row.group for row, _ in kept], dtype=np.int64),
        left_out=LeftOut(Unmapped=unmapped),
    )


def _of_source(member: Member, given: Mapping[str, str], images: Images) -> Items:
    card = member.model.card
    data = images.source(card.Preprocessing)
    column = _column(data, member.set_name)
    classes = classes_of(column.classes, card.Classes, given, model=member.model.name)
    seen = member.record.seen() if member.record else frozenset()
    chosen: dict[str, int] = {}
    left = {"Seen": 0, "Duplicates": data.duplicates, "Unmapped": 0}
    left["Contradictory"] = data.contradictions
    for digest, label in zip(data.digests, column.labels.tolist(), strict=True):
        if label == NOT_IN_SET:
            continue
        name = classes[column.classes[label]]
        reason = (
            "Duplicates" if digest in chosen else "Seen" if digest in seen else
            "Unmapped" if name == LEFT_OUT else ""
        )  # fmt: skip
        if reason:
            left[reason] += 1
        else:
            chosen[digest] = card.Classes.index(name)
    return Items(
        digests=tuple(chosen),
        labels=np.array(list(chosen.values()), dtype=np.int64),
        groups=np.arange(len(chosen), dtype=np.int64),
        left_out=LeftOut(**left),
    )


def _column(data: DataSet, set_name: str) -> LabelSet:
    """Give the labels that a model is measured by: of its set, or the only ones."""
    named = [one for one in data.sets if one.name == set_name]
    if named or len(data.sets) == 1:
        return (named or list(data.sets))[0]
    names = ", ".join(one.name for one in data.sets)
    raise EvaluationError(
        f"--data: has several columns of labels ({names}) and none called {set_name}; leave one"
    )


def drawn_together(items: Items, images: Images) -> NDArray[np.int64]:
    """Give the groups that intervals draw images by.

    They are the split's where it has some. Where each image is a group of its own, as in a random
    split, they are the look-alikes among the images: those are not independent either.
    """
    if len(set(items.groups.tolist())) < len(set(items.digests)):
        return items.groups
    return look_alike_groups(images.thumbnails(items.digests))


def common(items: Sequence[Items]) -> list[NDArray[np.int64]]:
    """Give, for each model, the positions of the images that all are measured on, in one order."""
    shared = set(items[0].digests).intersection(*(one.digests for one in items[1:]))
    order = [digest for digest in items[0].digests if digest in shared]
    found = []
    for one in items:
        where: dict[str, list[int]] = {}
        for position, digest in enumerate(one.digests):
            where.setdefault(digest, []).append(position)
        taken: dict[str, int] = {}
        positions = []
        for digest in order:
            number = taken.get(digest, 0)
            taken[digest] = number + 1
            positions.append(where[digest][min(number, len(where[digest]) - 1)])
        found.append(np.array(positions, dtype=np.int64))
    return found
