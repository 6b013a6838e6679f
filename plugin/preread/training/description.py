"""What training cannot know of a model and its data: told in a JSON file, for the card."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from pydantic import Field, ValidationError

from preread.imaging import display
from preread.models.card_facts import Applicability, Label, Part, Text, VersionNumber
from preread.training.data_set import ONLY_SET
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

_LARGEST: Final = 1024 * 1024


class DataDescription(Part):
    """Of the data set; see `preread.models.card.DatasetFacts`."""

    Name: Label
    License: Text
    Attribution: Text
    Source: str = Field("", max_length=4000)


class Description(Part):
    """The part of a card that a person writes.

    Attributes
    ----------
    Name
        Of the model; None for the name of its architecture.
    Set
        The column of labels, where the data is a CSV.
    Classes
        From the name of a class folder to the name of its class, in the order of the outputs.
        Empty: the folders' own names, sorted. In a CSV, of labels.
    Window
        In modality units, for DICOM images with such units; see `preread.imaging.Preprocessing`.
    InitialWeights
        What the pretrained weights are, with their licence.
    """

    Name: Label | None = None
    Version: VersionNumber = "1.0.0"
    Set: str = Field(ONLY_SET, min_length=1, max_length=64)
    Classes: dict[str, Label] = Field(default_factory=dict)
    Dataset: DataDescription
    Limits: tuple[Text, ...] = Field(min_length=1)
    License: Text
    Attribution: Text
    AppliesTo: Applicability
    Window: display.Window | None = None
    InitialWeights: str = Field("", max_length=4000)


def read_description(path: Path) -> Description:
    """Read a description.

    Raises
    ------
    TrainingError
        In one line with the file and the key.
    """
    try:
        with path.open("rb") as file:
            return Description.model_validate_json(file.read(_LARGEST))
    except OSError as error:
        raise TrainingError(f"{path.name}: cannot be read ({error.strerror})") from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        message = re.sub(r"\s+", " ", first["msg"]).removeprefix("Value error, ")
        if first["type"] == "extra_forbidden":
            message = "is not a key of a model's description"
        raise TrainingError(f"{path.name}: {key}: {message}".replace(": : ", ": ")) from None
