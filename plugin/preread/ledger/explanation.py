"""What the ledger hands out where somebody wants to know what a network looked at."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState

if TYPE_CHECKING:
    from preread.findings.prediction import Prediction


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is to be explained of an image.

    Attributes
    ----------
    model
        Name of its folder.
    label
        The class.
    frame
        From 0.
    probability
        What the model gave the class in that frame, 0..1; None if it gave the image no class.
    """

    model: str
    label: str
    frame: int
    probability: float | None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept."""
        return {
            "Model": self.model,
            "Class": self.label,
            "Frame": self.frame,
            "Probability": self.probability,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> Wanted:
        """Read what `to_json` has made."""
        return cls(kept["Model"], kept["Class"], kept["Frame"], kept["Probability"])

    @classmethod
    def of(
        cls,
        model: str,
        prediction: Prediction,
        label: str | None = None,
        frame: int | None = None,
    ) -> Wanted:
        """Name what is to be explained of a prediction.

        Parameters
        ----------
        model
            Name of the model's folder.
        prediction
            What it said.
        label
            One of its classes; None for the likeliest.
        frame
            One that it read; None for that in which the class is likeliest, or for the first if
            the image was given no class.

        Raises
        ------
        ValueError
            If the likeliest class is wanted of a prediction that gives none.
        """
        if prediction.withheld:
            if label is None:
                raise ValueError("expected a label: the image was given no class")
            return cls(model, label, frame or 0, None)
        likeliest = max(range(len(prediction.classes)), key=prediction.probabilities.__getitem__)
        column = likeliest if label is None else prediction.classes.index(label)
        column_of_frames = [row[column] for row in prediction.frames]
        if frame is None:
            frame = max(range(len(column_of_frames)), key=column_of_frames.__getitem__)
        return cls(model, prediction.classes[column], frame, column_of_frames[frame])


@dataclass(frozen=True, slots=True)
class Explanation:
    """One class of one model in one frame of an image, to be shown as a map.

    Attributes
    ----------
    id
        The ledger's number of it.
    instance
        Orthanc's id of the image.
    generation
        That of the image whose pixels are explained.
    wanted
        What is explained.
    asked
        Whether somebody asked for it; else a threshold did.
    reason
        Why it failed or was superseded, or why the last try failed.
    map
        Where the picture is stored; None until it is.
    owner, reservation
        They tell an answer of the present holder from that of a former one.
    """

    id: int
    instance: str
    generation: int
    wanted: Wanted
    asked: bool
    state: TaskState
    reason: str
    attempts: int
    map: ObjectIdentity | None
    owner: str
    reservation: int
    updated: datetime

    def to_json(self, withheld: str = "") -> dict[str, Any]:
        """Return it as Orthanc's API would show it.

        Parameters
        ----------
        withheld
            Why the model gave the image no class; then it has no probability either.
        """
        place = self.map
        return {
            "ID": None if place is None else place.instance,
            "State": self.state.value,
            "Reason": self.reason,
            "Model": self.wanted.model,
            "Class": self.wanted.label,
            "Withheld": withheld,
            "Probability": None if withheld else self.wanted.probability,
            "Frame": self.wanted.frame,
            "SOPInstanceUID": None if place is None else place.SOPInstanceUID,
            "SeriesInstanceUID": None if place is None else place.SeriesInstanceUID,
            "StudyInstanceUID": None if place is None else place.StudyInstanceUID,
            "Asked": self.asked,
            "Updated": self.updated.isoformat(),
        }
