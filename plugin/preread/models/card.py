"""The card of a model: what it is, what it was trained on, what it may be used for.

A card is a JSON file beside the weights. It is checked when it is read: an unknown key, a missing
one or an impossible value is refused in one line. Nothing here imports torch.
"""

from __future__ import annotations

import datetime as dt
import re
from typing import TYPE_CHECKING, Final

from pydantic import Field, ValidationError, model_validator

from preread.errors import PrereadError
from preread.imaging import preprocessing
from preread.models.backbones import RECORDS, ArchitectureName
from preread.models.card_facts import (
    Applicability,
    BackboneFacts,
    CalibrationFacts,
    ClassMetrics,
    DatasetFacts,
    Digest,
    JudgeFacts,
    Label,
    OutOfDistributionFacts,
    OutsideFacts,
    Part,
    QuantizationFacts,
    SplitMetrics,
    TeacherFacts,
    Text,
    TrainingFacts,
    VersionNumber,
)
from preread.models.kinds import InputKind

if TYPE_CHECKING:
    from pathlib import Path

__all__ = [
    "CARD",
    "INTENDED_USE",
    "LARGEST_CARD",
    "LARGEST_WEIGHTS",
    "NETWORK",
    "WEIGHTS",
    "Applicability",
    "ArchitectureName",
    "BackboneFacts",
    "CalibrationFacts",
    "ClassMetrics",
    "DatasetFacts",
    "InputKind",
    "InvalidModelError",
    "JudgeFacts",
    "ModelCard",
    "OutOfDistributionFacts",
    "OutsideFacts",
    "QuantizationFacts",
    "SplitMetrics",
    "TeacherFacts",
    "TrainingFacts",
    "card_text",
    "parse_card",
    "read_card",
]

LARGEST_CARD: Final = 1024 * 1024
"""Bytes; a card is a few kilobytes."""
LARGEST_WEIGHTS: Final = 2 * 1024**3
"""Bytes of a network, or of a file of weights."""
CARD: Final = "card.json"
NETWORK: Final = "model.onnx"
WEIGHTS: Final = "weights.safetensors"
_NO_NETWORK: Final = ("missing", "model_type", "string_pattern_mismatch")
INTENDED_USE: Final = "Research only. Not a medical device and not a diagnosis."


class InvalidModelError(PrereadError):
    """A model's folder cannot be used; the message names the file and the key."""


class ModelCard(Part):
    """All that is known of a model.

    Attributes
    ----------
    Name
        As it is to stand in the private block. Two models may share it when their data sets
        differ; settings choose a model by its folder.
    Version
        Of the weights, as in semantic versioning.
    Input
        The kind of image that it was trained and measured on. Images of another kind are withheld
        from it (`preread.models.kinds`).
    Classes
        In the order of the network's outputs.
    Metrics
        One entry for each split that was measured.
    Outside
        What was measured on images of no split. These figures are nearer to what a site will see.
    WeightsSHA256
        Of ``weights.safetensors`` beside the card: the last layer, and what tells images that are
        unlike the training data.
    Backbone
        The rest of the network, which several models may share.
    Quantization
        Where it computes in 8 bits.

    Raises
    ------
    pydantic.ValidationError
        `read_card` turns it into an `InvalidModelError`.
    """

    Name: Label
    Version: VersionNumber
    Date: dt.date
    Architecture: ArchitectureName
    Input: InputKind
    Preprocessing: preprocessing.Preprocessing
    Classes: tuple[Label, ...] = Field(min_length=2, max_length=1000)
    Dataset: DatasetFacts
    Metrics: tuple[SplitMetrics, ...]
    Outside: tuple[OutsideFacts, ...] = ()
    Limits: tuple[Text, ...] = Field(min_length=1)
    IntendedUse: Text = INTENDED_USE
    License: Text
    Attribution: Text
    AppliesTo: Applicability
    WeightsSHA256: Digest
    Backbone: BackboneFacts
    Calibration: CalibrationFacts | None = None
    OutOfDistribution: OutOfDistributionFacts | None = None
    Training: TrainingFacts
    Quantization: QuantizationFacts | None = None

    @model_validator(mode="after")
    def _consistent(self) -> ModelCard:
        if len(set(self.Classes)) != len(self.Classes):
            raise ValueError("Classes: expected each name once")
        told = self.OutOfDistribution
        judge = [] if told is None or told.Judge is None else [told.Judge.Architecture]
        for architecture in (self.Architecture, *judge):
            smallest = RECORDS[architecture].smallest_side
            if min(self.Preprocessing.size) < smallest:
                raise ValueError(
                    f"Preprocessing.Size: {architecture} needs {smallest} pixels or more a side"
                )
        if self.Preprocessing.channels != 3:
            raise ValueError("Preprocessing.Channels: the architectures take 3")
        for metrics in self.Metrics:
            rows = metrics.ConfusionMatrix
            if {len(rows), *map(len, rows)} != {len(self.Classes)}:
                raise ValueError("Metrics.ConfusionMatrix: expected a row and column per class")
        return self


def parse_card(text: str | bytes, name: str) -> ModelCard:
    """Check the JSON text of a card.

    Parameters
    ----------
    text
        JSON.
    name
        What to call it in an error, such as ``models/MobileNetV2/card.json``.

    Raises
    ------
    InvalidModelError
        In one line with the name and the key.
    """
    try:
        return ModelCard.model_validate_json(text)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = re.sub(r"\s+", " ", first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "is not a key of a model's card"
        elif (key, first["type"]) == ("Input", "missing"):
            kinds = " or ".join(InputKind)
            message = f"expected {kinds}, the kind of image that the model was measured on"
        elif key.startswith("Backbone") and first["type"] in _NO_NETWORK:
            message = "expected a network in ONNX; make it of an older one: preread models convert"
        raise InvalidModelError(
            f"{name}: {key}: {message}" if key else f"{name}: {message}"
        ) from None


def read_card(folder: Path) -> ModelCard:
    """Read the card of a model's folder.

    Raises
    ------
    InvalidModelError
        If it is missing, unreadable, larger than `LARGEST_CARD` or not a card.
    """
    name = f"{folder.name}/{CARD}"
    try:
        with (folder / CARD).open("rb") as file:
            text = file.read(LARGEST_CARD + 1)
    except OSError as error:
        raise InvalidModelError(f"{name}: cannot be read ({error.strerror})") from None
    if len(text) > LARGEST_CARD:
        raise InvalidModelError(f"{name}: larger than the {LARGEST_CARD} bytes a card may have")
    return parse_card(text, name)


def card_text(card: ModelCard) -> str:
    """Write a card as JSON, indented, with a newline at the end."""
    return card.model_dump_json(by_alias=True, indent=2) + "\n"
