"""What a model was trained on: the split that lies beside its weights."""

from __future__ import annotations

import csv
import io
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from preread.models.card import InvalidModelError
from preread.models.weights import read_weights
from preread.training.evaluation.document import SplitFacts
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.labels import are_same
from preread.training.listing import LARGEST_LISTING, PARTS, RESERVED

if TYPE_CHECKING:
    from collections.abc import Mapping

    from preread.models.model import Model
    from preread.training.evaluation.document import Kind

SPLIT: Final = "split.csv"


@dataclass(frozen=True, slots=True)
class Row:
    """An image of the split: its pixels' SHA-256, its part and group, its class in each set."""

    sha256: str
    part: str
    group: int
    labels: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class SplitRecord:
    """A split that was verified against the card.

    Attributes
    ----------
    name
        What errors call it, such as ``MobileNetV2/split.csv``.
    path
        Where it lies.
    sha256
        Of the file.
    sets
        Names of the sets of labels.
    rows
        All images of all sets; pixels that are there twice have two.
    """

    name: str
    path: Path
    sha256: str
    sets: tuple[str, ...]
    rows: tuple[Row, ...]

    def of(self, set_name: str, part: str) -> list[Row]:
        """Give the images of a set in a part."""
        return [row for row in self.rows if row.part == part and row.labels[set_name]]

    def seen(self) -> frozenset[str]:
        """Give the images that the model was fitted or chosen on, of whichever set."""
        return frozenset(row.sha256 for row in self.rows if row.part != "test")

    def set_of(self, model: Model) -> str:
        """Give the set that a model answers for: the one that has its classes.

        Raises
        ------
        EvaluationError
            If none has, or several have and none of them is in the model's name.
        """
        found = [
            name
            for name in self.sets
            if are_same({row.labels[name] for row in self.rows} - {""}, model.card.Classes)
        ]
        if len(found) > 1:
            found = [name for name in found if name in model.name] or found
        if len(found) != 1:
            why = "none has" if not found else f"{' and '.join(found)} have"
            raise EvaluationError(
                f"{self.name}: of its columns of labels ({', '.join(self.sets)}) {why} the classes "
                f"of {model.name} ({', '.join(model.card.Classes)}); expected one"
            )
        return found[0]

    def facts(self, model: Model) -> SplitFacts:
        """Describe the split, as far as the model's set goes.

        Raises
        ------
        EvaluationError
            If it is told to be grouped and a group is in two parts.
        """
        own = next((entry for entry in model.card.Metrics if entry.ShippedWeights), None)
        kind: Kind = (
            "random" if len({row.group for row in self.rows}) == len(self.rows) else "grouped"
        )
        kind = own.Split if own else kind
        if kind == "grouped":
            self._check_grouped()
        set_name = self.set_of(model)
        parts = {part: self.of(set_name, part) for part in PARTS}
        trained = {row.sha256 for row in self.rows if row.part == "training"}
        groups = {row.group for rows in parts.values() for row in rows}
        return SplitFacts(
            Kind=kind,
            Seed=own.Seed if own else None,
            SHA256=self.sha256,
            TrainingImages=len(parts["training"]),
            ValidationImages=len(parts["validation"]),
            TestImages=len(parts["test"]),
            Groups=len(groups) if kind == "grouped" else None,
            TestImagesInTraining=sum(row.sha256 in trained for row in parts["test"]),
        )

    def _check_grouped(self) -> None:
        home: dict[int, str] = {}
        for row in self.rows:
            if home.setdefault(row.group, row.part) != row.part:
                raise EvaluationError(
                    f"{self.name}: group {row.group} is in the {home[row.group]} and the "
                    f"{row.part} part, so that the split is not grouped, as the card says"
                )


def read_record(model: Model) -> SplitRecord | None:
    """Read and verify the split that a model was trained on.

    It lies in the model's folder, or beside the backbone that the model shares with others.

    Returns
    -------
    SplitRecord or None
        None where the card names none.

    Raises
    ------
    EvaluationError
        If it is not there, or no split.
    preread.models.card.InvalidModelError
        If it is not the one that the card names.
    """
    sha256 = model.card.Training.SplitSHA256
    if sha256 is None:
        return None
    path = _place(model)
    name = f"{path.parent.name}/{path.name}"
    sets, rows = parse_record(read_weights(path, sha256, LARGEST_LISTING), name)
    return SplitRecord(name=name, path=path, sha256=sha256, sets=sets, rows=rows)


def parse_record(data: bytes, name: str) -> tuple[tuple[str, ...], tuple[Row, ...]]:
    """Give the sets of a split's CSV and its rows.

    Raises
    ------
    EvaluationError
        If it is no split.
    """
    try:
        table = csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline=""), strict=True)
        sets = tuple(column for column in table.fieldnames or () if column not in RESERVED)
        rows = tuple(
            Row(
                sha256=line["sha256"],
                part=line["part"],
                group=int(line["group"]),
                labels={column: line[column].strip() for column in sets},
            )
            for line in table
        )
    except (UnicodeDecodeError, csv.Error, KeyError, ValueError, AttributeError, TypeError):
        raise EvaluationError(
            f"{name}: not a split: expected the columns file, sha256, group, part and one of "
            "labels for each set"
        ) from None
    if not sets or any(row.part not in PARTS for row in rows):
        raise EvaluationError(f"{name}: not a split: expected labels, and parts {', '.join(PARTS)}")
    return sets, rows


def _place(model: Model) -> Path:
    own = model.folder / SPLIT
    shared = model.backbone.with_name(f"{model.backbone.stem}.{SPLIT}")
    place = own if own.is_file() or model.backbone.parent == model.folder else shared
    if not place.resolve().is_relative_to(model.folder.parent.resolve()):
        raise InvalidModelError(f"{model.name}: leads out of the folder of models")
    return place
