"""A network that is kept as a DICOM object (IODeep), as the ledger knows it."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any


class NetworkState(StrEnum):
    """Where a network stands."""

    RECEIVED = "received"
    """It comes from somebody who is trusted, and the runner has yet to look at it."""
    VALID = "valid"
    """It can be run."""
    INVALID = "invalid"
    """It cannot; the reason says why."""
    UNTRUSTED = "untrusted"
    """It is never run."""
    DELETED = "deleted"
    """It is not there any more."""


@dataclass(frozen=True, slots=True)
class NetworkDescription:
    """What a network says of itself, once the runner has looked at it.

    Attributes
    ----------
    DnnUID, DnnName, Modality, BodyPartExamined, SamplesPerPixel, PhotometricInterpretation
        As `preread.iodeep.iod.IODeep` has them.
    Rows, Columns, Description, Layout
        As there.
    body_parts
        SNOMED CT codes of its BodyPartExamined.
    created
        When the object was made, in the clock of who made it; ISO 8601, empty if it does not say.
    parameters
        How many numbers it learned.
    weights_sha256
        Of the bytes of its weights.
    """

    DnnUID: str
    DnnName: str
    Modality: str
    BodyPartExamined: str
    SamplesPerPixel: int
    PhotometricInterpretation: str
    Rows: int
    Columns: int
    Description: str
    Layout: str
    body_parts: tuple[str, ...]
    created: str
    parameters: int
    weights_sha256: str

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        return {
            "DnnUID": self.DnnUID,
            "DnnName": self.DnnName,
            "Modality": self.Modality,
            "BodyPartExamined": self.BodyPartExamined,
            "BodyParts": list(self.body_parts),
            "SamplesPerPixel": self.SamplesPerPixel,
            "PhotometricInterpretation": self.PhotometricInterpretation,
            "Rows": self.Rows,
            "Columns": self.Columns,
            "Description": self.Description,
            "Layout": self.Layout,
            "Created": self.created or None,
            "Parameters": self.parameters,
            "WeightsSHA256": self.weights_sha256,
        }


@dataclass(frozen=True, slots=True)
class Network:
    """A network of one node.

    Attributes
    ----------
    id
        The ledger's number of it.
    instance
        Orthanc's id; empty for a file of the models folder.
    file
        Its name in the folder of networks below the models folder; empty for an instance.
    SOPInstanceUID
        As it is stored; empty for a file.
    generation
        That of the instance, to tell it from what came later.
    digest
        What the object must have, if anything (`preread.iodeep.recognising.digest_of`); of a file
        the SHA-256.
    trust
        By what it is trusted; empty if it is not.
    reason
        Why it is invalid or untrusted.
    described
        None until it is valid.
    arrived
        When it was stored.
    attempts
        How often a runner has begun to look at it and has not come to an end, this time included;
        0 where it is not lent.
    owner, reservation
        They tell an answer of the present holder from that of a former one.
    """

    id: int
    instance: str
    file: str
    SOPInstanceUID: str
    generation: int
    digest: str
    trust: str
    state: NetworkState
    reason: str
    described: NetworkDescription | None
    arrived: datetime
    updated: datetime
    attempts: int = 0
    owner: str = ""
    reservation: int = 0

    def to_json(self) -> dict[str, Any]:
        """Return it as the API shows it."""
        told: dict[str, Any] = {} if self.described is None else self.described.to_json()
        return told | {
            "State": self.state.value,
            "Trusted": self.trust or None,
            "Reason": self.reason,
            "ID": self.instance or None,
            "SOPInstanceUID": self.SOPInstanceUID or None,
            "File": self.file or None,
            "Digest": self.digest or None,
            "Arrived": self.arrived.isoformat(),
            "Updated": self.updated.isoformat(),
        }
