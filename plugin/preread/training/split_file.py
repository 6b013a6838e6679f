"""A split as a file: a CSV that lists every image with its labels, group and part."""

from __future__ import annotations

import csv
import hashlib
from io import StringIO
from typing import TYPE_CHECKING

import numpy as np

from preread.models.weights import write_atomically
from preread.training.data_set import NOT_IN_SET
from preread.training.errors import TrainingError
from preread.training.listing import PARTS
from preread.training.patients import COLUMN
from preread.training.splits import Split, check_parts

if TYPE_CHECKING:
    from pathlib import Path

    from preread.training.data_set import DataSet


def write_split(path: Path, data: DataSet, split: Split) -> None:
    """Write a split, so that `preread.training.listing.read_listing` reads it back.

    Columns: ``file``, one for each set with the class's name, ``patient`` where one is known (by
    tokens, see `preread.training.patients`), ``sha256``, ``group``, ``part``. Lines end in a line
    feed on every system, so that the file's own SHA-256 tells of the split.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    parts = np.full(len(data), "", dtype=object)
    for name, items in zip(PARTS, (split.training, split.validation, split.test), strict=True):
        parts[items] = name
    with_patients = any(data.patients)
    text = StringIO()
    writer = csv.writer(text, lineterminator="\n")
    patient = [COLUMN] if with_patients else []
    writer.writerow(["file", *(one.name for one in data.sets), *patient, "sha256", "group", "part"])
    for index, file in enumerate(data.files):
        labels = [
            "" if one.labels[index] == NOT_IN_SET else one.classes[one.labels[index]]
            for one in data.sets
        ]
        known = [" ".join(data.patients[index])] if with_patients else []
        group = int(split.group_of[index])
        writer.writerow([file, *labels, *known, data.digests[index], group, parts[index]])
    write_csv(path, text.getvalue())


def listed_split(data: DataSet) -> Split:
    """Give the split that the data's CSV lists.

    Raises
    ------
    TrainingError
        If it lists none, a group is in two parts, or a part has no image of a class.
    """
    if data.parts is None:
        raise TrainingError("the data has no column 'part': write a split with `preread split`")
    parts = {
        name: np.array(
            [index for index, part in enumerate(data.parts) if part == name], dtype=np.int64
        )
        for name in PARTS
    }
    check_parts(
        data.sets, {name: part for name, part in parts.items() if len(part) or name != "validation"}
    )
    # What has parts is not merged: each image has one group.
    given = range(len(data)) if data.groups is None else [first for first, *_ in data.groups]
    group_of = np.array(given, dtype=np.int64)
    home: dict[int, str] = {}
    for group, part in zip(group_of.tolist(), data.parts, strict=True):
        if home.setdefault(group, part) != part:
            raise TrainingError(
                f"group {group} is in the {home[group]} and the {part} part; a group belongs in one"
            )
    groups = len(home) if len(home) < len(data) else None
    return Split(parts["training"], parts["validation"], parts["test"], groups, group_of)


def split_digest(path: Path) -> str:
    """Give the SHA-256 of a split's file, in hexadecimal.

    Raises
    ------
    TrainingError
        If it cannot be read.
    """
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise TrainingError(f"{path.name}: cannot be read ({error.strerror})") from None


def write_csv(path: Path, text: str) -> None:
    """Put a CSV in its place at once, or not at all.

    Raises
    ------
    TrainingError
        If it cannot be written.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, text.encode())
    except OSError as error:
        raise TrainingError(f"{path.name}: cannot be written ({error.strerror})") from None
