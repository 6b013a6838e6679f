"""``evaluation.json``: what was measured, on what, by what. Everything else is made of it.

Figures that cannot be told (the recall of a class without images) are null.
"""

from __future__ import annotations

import datetime as dt
import json
import re
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

from pydantic import Field, ValidationError

from preread.models.card import ArchitectureName
from preread.models.card_facts import CalibrationFacts, Count, Digest, Fraction, Part
from preread.models.weights import write_atomically
from preread.training.evaluation.combining import Rule
from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from pathlib import Path

LARGEST: Final = 64 * 1024**2
"""Bytes of an evaluation; one of five runs of eight models has one million."""
NAME: Final = "evaluation.json"

SUMMARISED: Final = (
    "MicroAccuracy",
    "MacroAccuracy",
    "LogLoss",
    "LogLossReduction",
    "ROCAUC",
    "ECE",
)
"""The figures of the whole that intervals, means and spreads are given of, besides recalls."""

Interval = tuple[float, float]
PartName = Literal["test", "validation", "training", "all"]
Kind = Literal["grouped", "random"]


class ClassFigures(Part):
    """How one class came out.

    Attributes
    ----------
    Images, Answered
        How many are of it, and how many were said to be.
    LogLoss
        Mean over its images, in nats.
    ROCAUC
        It against the others.
    ROC
        Points of that curve: false positive rate, true positive rate; (0, 0) to (1, 1).
    """

    Images: Count
    Answered: Count
    Recall: Fraction | None
    Precision: Fraction | None
    F1: Fraction | None
    LogLoss: float | None
    ROCAUC: Fraction | None
    ROC: tuple[tuple[Fraction, Fraction], ...] = ()


class Average(Part):
    """Mean over the classes; None where no class has the figure."""

    Recall: Fraction | None
    Precision: Fraction | None
    F1: Fraction | None


class ReliabilityBin(Part):
    """Images whose highest probability lies in one of 15 equal bins; the lowest bin is first."""

    Images: Count
    Confidence: Fraction
    Accuracy: Fraction


class Mistake(Part):
    """An image that was wrong, told by the SHA-256 of its pixels."""

    SHA256: Digest
    True_: str = Field(alias="True")
    Answered: str
    Probability: Fraction


class Figures(Part):
    """What was measured on some images.

    Attributes
    ----------
    Images, Groups
        How many, and how many groups of look-alikes they are: the units that intervals are drawn
        of.
    MicroAccuracy, MacroAccuracy
        Share of images that are right, and mean of the classes' recalls.
    LogLoss
        Mean cross-entropy in nats.
    LogLossReduction
        1 - LogLoss / the log-loss of always answering these images' class frequencies.
    ROCAUC
        Mean over the classes, each against the others.
    ECE
        Expected calibration error over 15 bins.
    Classes
        By name, in the order of the matrix.
    Macro, Weighted
        Mean over the classes, each alike or by its images.
    ConfusionMatrix
        Rows true, columns answered.
    Intervals
        Bounds of the 95 % bootstrap interval, by the name of the figure; ``Recall.`` and a class
        for its recall.
    OutOfDistribution
        Share of the images whose novelty is above the model's threshold; None without one.
    Mistakes
        The wrong images of the highest probability, that first.
    """

    Images: Annotated[int, Field(ge=1)]
    Groups: Annotated[int, Field(ge=1)]
    MicroAccuracy: Fraction
    MacroAccuracy: Fraction
    LogLoss: float
    LogLossReduction: float
    ROCAUC: Fraction | None
    ECE: Fraction
    Classes: dict[str, ClassFigures]
    Macro: Average
    Weighted: Average
    ConfusionMatrix: tuple[tuple[Count, ...], ...]
    Reliability: tuple[ReliabilityBin, ...]
    Intervals: dict[str, Interval] = Field(default_factory=dict)
    OutOfDistribution: Fraction | None = None
    Mistakes: tuple[Mistake, ...] = ()

    def values(self) -> dict[str, float]:
        """Give the figures that are summarised over runs, by name, as far as they are known."""
        whole = {name: getattr(self, name) for name in SUMMARISED}
        recalls = {f"Recall.{name}": found.Recall for name, found in self.Classes.items()}
        return {name: value for name, value in (whole | recalls).items() if value is not None}


class SplitFacts(Part):
    """The split that a model was trained on.

    Attributes
    ----------
    Kind
        ``grouped`` keeps look-alikes on one side, ``random`` does not.
    Seed
        None where nothing tells it.
    SHA256
        Of its CSV.
    TrainingImages, ValidationImages, TestImages
        Of the model's set.
    Groups
        How many groups those are; None for a random split.
    TestImagesInTraining
        Images of the test part whose very pixels are in the training part too, as happens in a
        random split of data with duplicates.
    """

    Kind: Kind
    Seed: int | None
    SHA256: Digest
    TrainingImages: Count
    ValidationImages: Count
    TestImages: Count
    Groups: Count | None
    TestImagesInTraining: Count


class EpochLine(Part):
    """One line of a training's history."""

    epoch: Annotated[int, Field(ge=1)]
    training_loss: float
    validation_loss: float | None = None
    validation_accuracy: float | None = None
    seconds: float | None = None


class LeftOut(Part):
    """Images of the source that were not measured on, by reason.

    Attributes
    ----------
    Seen
        The model was trained or chosen on them.
    Duplicates
        Their pixels were there already.
    Unmapped
        ``--map`` gives their label no class.
    Contradictory
        The same pixels are in two classes of the source.
    """

    Seen: Count = 0
    Duplicates: Count = 0
    Unmapped: Count = 0
    Contradictory: Count = 0


class ModelResult(Part):
    """One model of one run.

    Attributes
    ----------
    Name
        Of its folder.
    Set
        Whose labels it was measured by.
    Dataset
        What it was trained on.
    WeightsSHA256, BackboneSHA256
        As in the card; they tell which weights were measured.
    Split
        None where the model has no record of what it was trained on. Then nothing shows that it
        has not seen what it was measured on.
    Calibration
        Whose temperature the probabilities are at; None: 1.
    BestEpoch
        Which epoch's weights these are, where one was chosen.
    History
        Loss and accuracy of each epoch, by split.
    """

    Name: str
    CardName: str
    Version: str
    Architecture: ArchitectureName
    Set: str
    Dataset: str
    WeightsSHA256: Digest
    BackboneSHA256: Digest | None
    Split: SplitFacts | None
    Calibration: CalibrationFacts | None
    BestEpoch: int | None
    Limits: tuple[str, ...]
    LeftOut: LeftOut
    Figures: Figures
    History: dict[str, tuple[EpochLine, ...]] = Field(default_factory=dict)


class EnsembleResult(Part):
    """All models of a run that answer for one set, together.

    Attributes
    ----------
    Members
        Names of the models, with the weight of each.
    """

    Set: str
    Kind: Kind | None
    Rule: Rule
    Members: dict[str, float]
    Figures: Figures


class Run(Part):
    """One folder of models, each fitted on the same split."""

    Name: str
    Models: tuple[ModelResult, ...] = Field(min_length=1)
    Ensembles: tuple[EnsembleResult, ...] = ()


class Summary(Part):
    """A model or an ensemble over the runs.

    Attributes
    ----------
    Name
        Of the model's folder; ``ensemble`` for the ensemble.
    Runs
        In how many it is.
    Mean, Spread
        Mean and sample standard deviation over the runs, by the name of the figure; no spread of
        one run.
    ConfusionMatrix
        Sum over the runs.
    """

    Set: str
    Kind: Kind | None
    Name: str
    Architecture: ArchitectureName | None
    Runs: Annotated[int, Field(ge=1)]
    Mean: dict[str, float]
    Spread: dict[str, float]
    ConfusionMatrix: tuple[tuple[Count, ...], ...]


class Source(Part):
    """What was measured on.

    Attributes
    ----------
    Name
        Of the CSV or folder; empty: each model's own split.
    Part
        Of the split; ``all``: images that are in no split, such as another source's.
    Map
        From a label of the source to the class that it counts as.
    """

    Name: str
    Part: PartName
    Map: dict[str, str]


class Evaluation(Part):
    """All that one call of ``preread evaluate`` measured.

    Attributes
    ----------
    Format
        Of this document.
    Preread
        Version that measured.
    Command
        Without the paths of the machine it ran on.
    Draws, Seed
        Of the bootstrap.
    """

    Format: Literal[1] = 1
    Preread: str
    Date: dt.datetime
    Command: str
    Engine: str
    Source: Source
    Draws: Count
    Seed: int
    Runs: tuple[Run, ...] = Field(min_length=1)
    Summaries: tuple[Summary, ...]


def evaluation_text(evaluation: Evaluation) -> str:
    """Write an evaluation as JSON, indented, with lists of numbers on one line."""
    return _json(evaluation.model_dump(mode="json", by_alias=True), "") + "\n"


def _json(value: Any, indent: str) -> str:
    inner = f"{indent} "
    if isinstance(value, dict) and value:
        items = [f"{inner}{json.dumps(key)}: {_json(one, inner)}" for key, one in value.items()]
        return "{\n" + ",\n".join(items) + f"\n{indent}}}"
    if isinstance(value, list) and any(isinstance(one, dict) for one in value):
        items = [f"{inner}{_json(one, inner)}" for one in value]
        return "[\n" + ",\n".join(items) + f"\n{indent}]"
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def write_evaluation(folder: Path, evaluation: Evaluation) -> Path:
    """Write ``evaluation.json`` into a folder, at once or not at all."""
    path = folder / NAME
    write_atomically(path, evaluation_text(evaluation).encode())
    return path


def read_evaluation(path: Path) -> Evaluation:
    """Read an evaluation.

    Raises
    ------
    EvaluationError
        In one line with the file and the key.
    """
    try:
        with path.open("rb") as file:
            text = file.read(LARGEST + 1)
    except OSError as error:
        raise EvaluationError(f"{path.name}: cannot be read ({error.strerror})") from None
    if len(text) > LARGEST:
        raise EvaluationError(f"{path.name}: larger than the {LARGEST} bytes it may have")
    try:
        return Evaluation.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = re.sub(r"\s+", " ", first["msg"]).removeprefix("Value error, ")
        raise EvaluationError(
            f"{path.name}: {key}: {message}" if key else f"{path.name}: {message}"
        ) from None
