"""Images prepared for a network, with what they show in one set of classes or several."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.imaging import prepare
from preread.training.errors import TrainingError
from preread.training.image_files import digest_of, thumbnail_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    from preread.imaging import Frame, Preprocessing, Units

MOST_MEMORY: Final = 16 * 1024**3
"""Bytes of prepared images that are held."""
ONLY_SET: Final = "class"
"""Name of the set that a folder of class folders is."""
NOT_IN_SET: Final = -1
"""Label of an image that a set does not hold."""


class Contradictions(StrEnum):
    """What becomes of images whose pixels are the same and that are in two classes of a set."""

    REFUSE = "refuse"
    """The data set is refused."""
    KEEP = "keep"
    """Each stays in the class that it is listed in."""
    DROP = "drop"
    """They are taken out of that set."""


@dataclass(frozen=True, slots=True, eq=False)
class LabelSet:
    """Classes, and which of them each image of a data set shows.

    Attributes
    ----------
    name
        Short, such as ``IQ-OTHNCCD``.
    classes
        Names, in the order of the labels.
    labels
        (N,) int64; -1 where the image is not in this set.
    """

    name: str
    classes: tuple[str, ...]
    labels: NDArray[np.int64]

    def __len__(self) -> int:
        return int((self.labels != NOT_IN_SET).sum())

    def counts(self) -> dict[str, int]:
        """Images of each class."""
        found = np.bincount(self.labels[self.labels != NOT_IN_SET], minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, found, strict=True)}


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Images with their classes, prepared for a network.

    Attributes
    ----------
    sets
        One or more; every image is in one of them at least.
    files
        Path of each image under the data set's folder, with the frame's number behind ``#`` where
        a file has several.
    digests
        SHA-256 of each image's decoded pixels.
    images
        One float32 (C, H, W) each, as `preread.imaging.prepare` gives it; C is 1 where all
        channels are the same.
    thumbnails
        (N, 48 * 48) float32: mean 0, length 1 (all 0 for an image of one value).
    duplicates
        How many images were left out because their pixels were there already.
    contradictions
        How many images have pixels that are in two classes of a set.
    patients
        Tokens of whom each image is of (see `preread.training.patients`): none where unknown,
        several where images of the same pixels became one.
    parts
        ``training``, ``validation`` or ``test`` for each image, where the data came with a split.
    groups
        Number of each image's group, where the data came with groups; several where images of the
        same pixels became one.
    units
        What the values of the images' pixels mean: one of each that there is.
    """

    sets: tuple[LabelSet, ...]
    files: tuple[str, ...]
    digests: tuple[str, ...]
    images: tuple[NDArray[np.float32], ...]
    thumbnails: NDArray[np.float32]
    duplicates: int
    contradictions: int
    patients: tuple[tuple[str, ...], ...]
    parts: tuple[str, ...] | None = None
    groups: tuple[tuple[int, ...], ...] | None = None
    units: frozenset[Units] = frozenset()

    def __len__(self) -> int:
        return len(self.files)

    @property
    def classes(self) -> tuple[str, ...]:
        """Classes of the first set."""
        return self.sets[0].classes

    @property
    def labels(self) -> NDArray[np.int64]:
        """Labels of the first set, (N,) int64."""
        return self.sets[0].labels

    def counts(self) -> dict[str, int]:
        """Images of each class of the first set."""
        return self.sets[0].counts()


@dataclass(frozen=True, slots=True)
class Listed:
    """What is known of an image before it is decoded.

    Attributes
    ----------
    file
        As in `DataSet.files`.
    labels
        One for each set, -1 where the image is not in it.
    patients, part
        As in `DataSet`, for this image.
    group
        Its number.
    """

    file: str
    labels: tuple[int, ...]
    patients: tuple[str, ...] = ()
    part: str = ""
    group: int = 0


@dataclass(slots=True, eq=False)
class _Row:
    file: str
    labels: list[int]
    patients: tuple[str, ...]
    part: str
    groups: tuple[int, ...]
    digest: str
    image: NDArray[np.float32]
    thumbnail: NDArray[np.float32]

    @property
    def is_in_a_set(self) -> bool:
        return set(self.labels) != {NOT_IN_SET}

    def take_in(self, other: _Row) -> bool:
        """Take what a row of the same pixels tells besides; false if the two contradict."""
        pairs = list(zip(self.labels, other.labels, strict=True))
        if any(NOT_IN_SET not in pair and pair[0] != pair[1] for pair in pairs):
            return False
        self.labels = [max(pair) for pair in pairs]
        return True

    def belong_with(self, other: _Row) -> None:
        """Belong to whatever another row of the same pixels belongs to."""
        self.patients = tuple(dict.fromkeys((*self.patients, *other.patients)))
        self.groups = tuple(dict.fromkeys((*self.groups, *other.groups)))


class Gathering:
    """A data set in the making, to which one image is added after the other.

    Parameters
    ----------
    name
        What errors call it.
    preprocessing
        Of the network.
    sets
        Names of the sets, with the classes of each.
    keep_duplicates
        Whether images whose pixels are there already are taken again. If not, what a second one
        tells (a label in another set, the patient, the group) goes to the first.
    contradictions
        What becomes of images whose pixels are in two classes of a set.
    """

    def __init__(
        self,
        name: str,
        preprocessing: Preprocessing,
        sets: Mapping[str, tuple[str, ...]],
        *,
        keep_duplicates: bool,
        contradictions: Contradictions,
    ) -> None:
        self._name, self._preprocessing, self._sets = name, preprocessing, sets
        self._keep_duplicates, self._contradictions = keep_duplicates, contradictions
        self._rows: dict[str, list[_Row]] = {}
        self._order: list[_Row] = []
        self._units: set[Units] = set()
        self._memory = 0

    def add(self, listed: Listed, frame: Frame) -> str:
        """Take an image in; give the SHA-256 of its pixels.

        Raises
        ------
        TrainingError
            If memory is used up.
        """
        digest = digest_of(frame)
        known = self._rows.setdefault(digest, [])
        if known:
            # The same pixels: what was made of them is shared.
            image, thumbnail = known[0].image, known[0].thumbnail
        else:
            image, thumbnail = _compact(prepare(frame, self._preprocessing)), thumbnail_of(frame)
            self._memory += image.nbytes
            if self._memory > MOST_MEMORY:
                raise TrainingError(f"{self._name}: more images than memory is set aside for")
        row = _Row(
            file=listed.file,
            labels=list(listed.labels),
            patients=listed.patients,
            part=listed.part,
            groups=(listed.group,),
            digest=digest,
            image=image,
            thumbnail=thumbnail,
        )
        known.append(row)
        self._units.add(frame.units)
        self._order.append(row)
        return digest

    def data_set(self, *, with_parts: bool = False, with_groups: bool = False) -> DataSet:
        """Give what was gathered, with the parts and groups that were listed if so asked.

        Raises
        ------
        TrainingError
            If pixels are in two classes of a set and that is refused, or a class has no image
            left.
        """
        contradictions = sum(map(self._resolve, self._rows.values()))
        count = sum(row.is_in_a_set for row in self._order)
        kept = {id(row) for same in self._rows.values() for row in self._kept(same)}
        rows = [row for row in self._order if id(row) in kept]
        sets = []
        for column, (name, classes) in enumerate(self._sets.items()):
            labels = np.array([row.labels[column] for row in rows], dtype=np.int64)
            sets.append(LabelSet(name, classes, labels))
            for label, images in sets[-1].counts().items():
                if not images:
                    raise TrainingError(f"{self._name}: class {label} of {name}: no image of it")
        return DataSet(
            sets=tuple(sets),
            files=tuple(row.file for row in rows),
            digests=tuple(row.digest for row in rows),
            images=tuple(row.image for row in rows),
            thumbnails=np.stack([row.thumbnail for row in rows]),
            duplicates=count - len(rows),
            contradictions=contradictions,
            patients=tuple(row.patients for row in rows),
            parts=tuple(row.part for row in rows) if with_parts else None,
            groups=tuple(row.groups for row in rows) if with_groups else None,
            units=frozenset(self._units),
        )

    def _kept(self, same: list[_Row]) -> list[_Row]:
        """Give the rows that stay of those with the same pixels.

        Where they belong all others do: what is left out must still chain images together.
        """
        kept = [row for row in same if row.is_in_a_set]
        if not self._keep_duplicates:
            kept = _merged(kept)
        staying = set(map(id, kept))
        for left_out in (row for row in same if id(row) not in staying):
            for row in kept:
                row.belong_with(left_out)
        return kept

    def _resolve(self, same: list[_Row]) -> int:
        """Do with rows of the same pixels as was asked; count those that contradict."""
        found: set[int] = set()
        for column in range(len(self._sets)):
            labels = {row.labels[column] for row in same} - {NOT_IN_SET}
            if len(labels) < 2:
                continue
            found |= {index for index, row in enumerate(same) if row.labels[column] != NOT_IN_SET}
            if self._contradictions is Contradictions.REFUSE:
                self._refuse(same, column)
            if self._contradictions is Contradictions.DROP:
                for row in same:
                    row.labels[column] = NOT_IN_SET
        return len(found)

    def _refuse(self, same: list[_Row], column: int) -> None:
        name = list(self._sets)[column]
        first = next(row for row in same if row.labels[column] != NOT_IN_SET)
        other = next(
            row for row in same if row.labels[column] not in (NOT_IN_SET, first.labels[column])
        )
        where = "" if name == ONLY_SET else f" of {name}"
        raise TrainingError(
            f"{other.file} and {first.file}: the same pixels in two classes{where}; remove them "
            "from one or both, or see `preread split --contradictions`"
        )


def _merged(same: list[_Row]) -> list[_Row]:
    """Give the rows that stay of those with the same pixels: one, if none contradicts it."""
    kept: list[_Row] = []
    for row in same:
        if not any(other.take_in(row) for other in kept):
            kept.append(row)
    return kept


def _compact(image: NDArray[np.float32]) -> NDArray[np.float32]:
    same = all(np.array_equal(image[0], channel) for channel in image[1:])
    return image[:1].copy() if same else image
