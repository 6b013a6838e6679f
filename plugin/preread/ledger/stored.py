"""Where an object of ours is stored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ObjectIdentity:
    """Where an object is stored: Orthanc's id of it, and its UIDs.

    `sha256` is that of the file as it was stored, hexadecimal; empty where it is not known.
    """

    instance: str
    SOPInstanceUID: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    sha256: str = ""

    def to_json(self) -> dict[str, str]:
        """Return it as it is kept."""
        return {
            "ID": self.instance,
            "SOPInstanceUID": self.SOPInstanceUID,
            "SeriesInstanceUID": self.SeriesInstanceUID,
            "StudyInstanceUID": self.StudyInstanceUID,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, str]) -> ObjectIdentity:
        """Read what `to_json` has made."""
        uids = (kept["SOPInstanceUID"], kept["SeriesInstanceUID"], kept["StudyInstanceUID"])
        return cls(kept["ID"], *uids)
