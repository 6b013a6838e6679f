"""The split of a training: drawn or taken from the data's CSV, and kept until there are weights."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.models.weights import write_atomically
from preread.training.data_set import NOT_IN_SET
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.labels import same
from preread.training.evaluation.record import parse_record
from preread.training.patients import without_identifiers
from preread.training.split_file import listed_split, write_split
from preread.training.splits import split_sets
from preread.training.writing import check_enough

if TYPE_CHECKING:
    from preread.training.data_set import DataSet
    from preread.training.request import Request
    from preread.training.splits import Split


def keep_split(request: Request, data: DataSet) -> Split:
    """Divide the images, or take the division that the CSV lists; keep it.

    Beside the output may lie weights of an earlier training, whose split is not to be replaced
    before they are. A CSV that tells all that a split's file tells is kept byte for byte (but for
    patients' identifiers), so that trainings on it can be told to be on the same split.

    Raises
    ------
    TrainingError
        If a part would have no image of a class, or a set too few images to train on.
    """
    if data.parts is None:
        split = split_sets(
            data,
            request.kind,
            test=request.test,
            validation=request.validation,
            seed=request.plan.seed,
        )
    else:
        split = listed_split(data)
    check_enough(data, split)
    place = request.split_draft
    place.parent.mkdir(parents=True, exist_ok=True)
    given = b"" if data.parts is None else request.data.read_bytes()
    if _is_told(given, data, split):
        write_atomically(place, without_identifiers(given))
    else:
        write_split(place, data, split)
    return split


def _is_told(given: bytes, data: DataSet, split: Split) -> bool:
    """Tell whether a CSV says of each image what the file of its split would say."""
    try:
        columns, rows = parse_record(given, "")
    except EvaluationError:
        return False
    sets = [one.name for one in data.sets]
    if not set(sets) <= set(columns):
        return False
    told = [
        (row.sha256, row.group, row.part, [same(row.labels[name]) for name in sets])
        for row in rows
        if any(row.labels[name] for name in sets)
    ]
    known = [
        (
            digest,
            int(split.group_of[index]),
            (data.parts or ())[index],
            [
                "" if one.labels[index] == NOT_IN_SET else same(one.classes[one.labels[index]])
                for one in data.sets
            ],
        )
        for index, digest in enumerate(data.digests)
    ]
    return told == known
