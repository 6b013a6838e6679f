"""What the ledger hands out: jobs, instances and their results."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from preread.findings.prediction import Prediction


class JobState(StrEnum):
    """Where a job stands."""

    PENDING = "pending"
    RUNNING = "running"
    DONE = "done"
    UNREAD = "unread"
    FAILED = "failed"
    SUPERSEDED = "superseded"


class Level(StrEnum):
    """A level of DICOM's information model."""

    INSTANCE = "instance"
    SERIES = "series"
    STUDY = "study"


@dataclass(frozen=True, slots=True)
class Job:
    """One instance, in one generation, to be read by some models.

    Attributes
    ----------
    id
        The ledger's number of it.
    instance, series, study
        Orthanc's ids.
    generation
        The generation of the instance that is to be read; a result counts only while it is the
        current one.
    models
        What to run, in the order in which it is reported. Empty: no model applies, but there is
        other work (a copy).
    fingerprint
        Of those models; empty when an analysis named them and they must be looked up.
    attempts
        Tries that ended in an error.
    interruptions
        Reservations that ended without an answer: the runner was killed, crashed or hung.
    reservation
        How often it was handed out. With `owner` it tells an answer of the present holder from
        that of a former one.
    reason
        Why it is unread, failed or superseded, why the last try failed, or, of one that is done,
        why no model gave the image a class.
    """

    id: int
    instance: str
    series: str
    study: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    generation: int
    models: tuple[str, ...]
    fingerprint: str
    attempts: int
    interruptions: int
    state: JobState
    reason: str
    owner: str
    reservation: int
    created: datetime
    updated: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as Orthanc's API would show it."""
        return {
            "ID": self.id,
            "State": self.state.value,
            "Reason": self.reason,
            "Instance": self.instance,
            "Series": self.series,
            "Study": self.study,
            "SOPInstanceUID": self.SOPInstanceUID,
            "SeriesInstanceUID": self.SeriesInstanceUID,
            "StudyInstanceUID": self.StudyInstanceUID,
            "Generation": self.generation,
            "Models": list(self.models),
            "Attempts": self.attempts,
            "Interruptions": self.interruptions,
            "Owner": self.owner,
            "Created": self.created.isoformat(),
            "Updated": self.updated.isoformat(),
        }


@dataclass(frozen=True, slots=True)
class InstanceRecord:
    """An instance as the ledger knows it.

    Attributes
    ----------
    models, fingerprint, reason, body_parts, work
        What was decided when it arrived (`preread.ledger.arrival.Arrival`).
    state
        That of its latest job, or None if it has none.
    state_reason
        That job's reason.
    job
        That job's id.
    received
        When it was first stored.
    """

    instance: str
    series: str
    study: str
    patient: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    SOPClassUID: str
    Modality: str
    models: tuple[str, ...]
    fingerprint: str
    reason: str
    body_parts: tuple[str, ...]
    work: bool
    generation: int
    received: datetime
    updated: datetime
    job: int | None
    state: JobState | None
    state_reason: str


@dataclass(frozen=True, slots=True)
class ReadSeries:
    """A series of a study in which models have read images, and how many.

    `study` and `series` are Orthanc's ids.
    """

    study: str
    StudyInstanceUID: str
    series: str
    SeriesInstanceUID: str
    images: int


@dataclass(frozen=True, slots=True)
class InstanceResult:
    """An instance with what the models said of its current pixels.

    Attributes
    ----------
    record
        What is known of the instance.
    predictions
        One per model, in the order in which they are reported; none until it has been read.
    """

    record: InstanceRecord
    predictions: tuple[Prediction, ...]

    def to_json(self) -> dict[str, Any]:
        """Return it as Orthanc's API would show it."""
        record = self.record
        return {
            "ID": record.instance,
            "ParentSeries": record.series,
            "ParentStudy": record.study,
            "SOPInstanceUID": record.SOPInstanceUID,
            "SeriesInstanceUID": record.SeriesInstanceUID,
            "StudyInstanceUID": record.StudyInstanceUID,
            "Modality": record.Modality,
            "BodyParts": list(record.body_parts),
            "State": None if record.state is None else record.state.value,
            "Reason": record.state_reason,
            "Job": record.job,
            "Generation": record.generation,
            "Results": [_shown(prediction) for prediction in self.predictions],
        }


def _shown(prediction: Prediction) -> dict[str, Any]:
    unlikeness, shares = prediction.unlikeness, None
    if not prediction.withheld:
        shares = dict(zip(prediction.classes, prediction.probabilities, strict=True))
    return {
        "Model": prediction.model,
        "Version": prediction.version,
        "Dataset": prediction.dataset,
        # What has to be known of the numbers stands before them.
        "Withheld": bool(prediction.withheld),
        "Reason": prediction.withheld,
        "Warning": prediction.warning,
        "WeightsSHA256": prediction.weights_sha256,
        "BackboneSHA256": prediction.backbone_sha256,
        "Engine": prediction.engine,
        "Date": prediction.date.isoformat(),
        "OutOfDistribution": unlikeness
        and {
            "Score": unlikeness.score,
            "Threshold": unlikeness.threshold,
            "Outside": unlikeness.outside,
        },
        # None of the three where no class is given: equal shares could be taken for an answer.
        "Class": shares and max(shares, key=shares.__getitem__),
        "Probabilities": shares,
        "Frames": shares and [list(frame) for frame in prediction.frames],
    }
