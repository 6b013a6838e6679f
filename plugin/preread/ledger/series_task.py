"""What the ledger hands out where a network is to look at a series for regions."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from preread.ledger.skipped import SkippedImage
from preread.ledger.task import TaskState


@dataclass(frozen=True, slots=True)
class SeriesTask:
    """A series, or one image of it, in which a network is to look for regions.

    Attributes
    ----------
    id
        The ledger's number of it.
    series
        Orthanc's id of the series, as it arrived.
    scope
        Orthanc's id of the one image that somebody asked about; empty for the whole series.
    network
        DnnUID of the network that was asked for; empty for the one that fits.
    asked
        Whether somebody waits for it: then it need not be complete.
    revision
        Raised by each arrival and deletion in the series, and each time that somebody asks.
    ran
        DnnUID of the network that looked; empty until one has.
    regions
        How many it found.
    proposal
        SOPInstanceUID of the proposal; empty where nothing was found.
    skipped
        Images that the network did not look at, though it looked at the others.
    owner, reservation
        They tell an answer of the present holder from that of a former one.
    """

    id: int
    series: str
    scope: str
    network: str
    asked: bool
    revision: int
    state: TaskState
    reason: str
    ran: str
    regions: int
    proposal: str
    skipped: tuple[SkippedImage, ...]
    attempts: int
    owner: str
    reservation: int
    created: datetime
    updated: datetime

    def to_json(self) -> dict[str, Any]:
        """Return it as Orthanc's API would show it."""
        return {
            "ID": self.id,
            "Series": self.series,
            "Instance": self.scope or None,
            "State": self.state.value,
            "Reason": self.reason,
            "DnnUID": self.ran or self.network or None,
            "Regions": self.regions,
            "Proposal": self.proposal or None,
            "Skipped": [one.to_json() for one in self.skipped],
            "Attempts": self.attempts,
            "Created": self.created.isoformat(),
            "Updated": self.updated.isoformat(),
        }
