"""What is written down about an instance when it arrives, and what happened to it.

Nothing here may hold an identity: the ids and UIDs are those of the object *as stored*, and of
the texts of the header only codes are kept.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, fields
from datetime import datetime
from enum import StrEnum
from typing import NamedTuple

from preread.errors import PrereadError

_ORTHANC_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")
_UNSAFE = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")
_LONGEST_TEXT = 256
_LONGEST_LIST = 64


class ArrivalError(PrereadError):
    """An arrival was described in a way that cannot be right."""


def _safe(text: str) -> str:
    """Bound a text of a header; a control character would poison a PostgreSQL text column."""
    return _UNSAFE.sub("\ufffd", text[:_LONGEST_TEXT])


@dataclass(frozen=True, slots=True)
class Arrival:
    """An instance that arrives, with what was decided for it from its original header.

    Malformed texts (control characters, more than 256 characters, lists of more than 64) are made
    harmless rather than refused: a broken UID must not keep an image out of the archive.

    Parameters
    ----------
    instance, series, study, patient
        Orthanc's ids of the object as it is stored.
    SOPInstanceUID, SeriesInstanceUID, StudyInstanceUID, SOPClassUID, Modality
        Of the object as it is stored.
    models
        The names of the models that apply, in the order in which they are reported.
    fingerprint
        Of those models: names, versions and weights.
    reason
        Why no model applies; empty when one does.
    body_parts
        Codes of CID 4031 that the original header spoke of.
    work
        Whether there is something to do. It may be true without models: a copy must be made.
    network
        What the object is as a network (IODeep): empty if it is none, ``received`` from somebody
        who is trusted, ``untrusted`` from anybody else.
    network_digest
        Of the network, where another object may lie in its place by the time that it is looked at;
        else empty.

    Raises
    ------
    ArrivalError
        If an id is not one of Orthanc's, or there are models but no work.
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
    network: str = ""
    network_digest: str = ""

    def __post_init__(self) -> None:
        for name in ("instance", "series", "study", "patient"):
            if not _ORTHANC_ID.fullmatch(getattr(self, name)):
                raise ArrivalError(
                    f"arrival: {name} is not an Orthanc id; expected five groups of eight "
                    "hexadecimal digits"
                )
        if self.models and not self.work:
            raise ArrivalError("arrival: models apply, so there must be work")
        for name in _TEXTS:
            object.__setattr__(self, name, _safe(getattr(self, name)))
        for name in ("models", "body_parts"):
            texts = getattr(self, name)[:_LONGEST_LIST]
            object.__setattr__(self, name, tuple(_safe(text) for text in texts))

    def to_json(self) -> str:
        """Return the arrival as one JSON object."""
        return json.dumps({name: getattr(self, name) for name in _FIELDS}, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> Arrival:
        """Read what `to_json` wrote; fields of a later version are ignored.

        Raises
        ------
        ArrivalError
            If the text is not such an object.
        """
        try:
            record = json.loads(text)
            known = {name: record[name] for name in _FIELDS if name not in _LATER}
            known |= {name: str(record.get(name, "")) for name in _LATER}
            known["models"] = tuple(known["models"])
            known["body_parts"] = tuple(known["body_parts"])
            return cls(**known)
        except (ValueError, KeyError, TypeError) as error:
            raise ArrivalError(
                f"arrival: the record cannot be read ({type(error).__name__})"
            ) from None


_FIELDS = tuple(field.name for field in fields(Arrival))
_LATER = ("network", "network_digest")
"""Fields that the records of an earlier version lack."""
_TEXTS = (
    *_LATER,
    "SOPInstanceUID",
    "SeriesInstanceUID",
    "StudyInstanceUID",
    "SOPClassUID",
    "Modality",
    "fingerprint",
    "reason",
)


class EventKind(StrEnum):
    """What happened to an instance."""

    STORED = "stored"
    DELETED = "deleted"


@dataclass(frozen=True, slots=True)
class Event:
    """One line of the journal, on its way to the ledger.

    Attributes
    ----------
    seq
        Its place in the journal, from 1 on, rising.
    kind
        What happened.
    instance
        Orthanc's id.
    generation
        The instance's generation from then on.
    time
        When, in UTC.
    arrival
        What is known of the instance; None only for the deletion of one that never arrived here.
    """

    seq: int
    kind: EventKind
    instance: str
    generation: int
    time: datetime
    arrival: Arrival | None


class Current(NamedTuple):
    """An instance as the journal knows it now."""

    generation: int
    deleted: bool


@dataclass(frozen=True, slots=True)
class Arriving:
    """An instance that passed the receive hook and was not reported as stored."""

    instance: str
    generation: int
    since: datetime


@dataclass(frozen=True, slots=True)
class Refusal:
    """One object that was not taken."""

    time: datetime
    origin: str
    reason: str
