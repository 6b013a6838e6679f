"""An image of a series that no network looked at, though it looked at the others."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True, slots=True)
class SkippedImage:
    """Which one, and why.

    Attributes
    ----------
    instance
        Orthanc's id of the image as it arrived.
    reason
        What is wrong with it, free of identifiers.
    """

    instance: str
    reason: str

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept and shown."""
        return {"ID": self.instance, "Reason": self.reason}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> SkippedImage:
        """Read what `to_json` has written."""
        return cls(kept["ID"], kept["Reason"])
