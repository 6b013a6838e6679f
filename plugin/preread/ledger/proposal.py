"""What the ledger hands out where a network proposes regions and people review them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any

from preread.ledger.errors import LedgerError
from preread.ledger.skipped import SkippedImage
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState

Polygon = tuple[tuple[float, float], ...]


class ProposalConflictError(LedgerError):
    """A review of what is no longer as the reviewer saw it; nothing of it was written down."""


class ProposalStatus(StrEnum):
    """What became of a proposal."""

    PROPOSED = "proposed"
    APPROVED = "approved"
    REJECTED = "rejected"
    SUPERSEDED = "superseded"


@dataclass(frozen=True, slots=True)
class Network:
    """Which network proposes: its name, DnnUID, version, and the SHA-256 of its weights."""

    name: str
    uid: str
    version: str
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class ProposalImage:
    """One image that was looked at.

    Attributes
    ----------
    instance, generation
        Of the image as it arrived: Orthanc's id, and the arrival whose pixels were looked at.
    shown
        Orthanc's id of the image beside which the proposal lies; in mode ``copy`` the copy.
    SOPInstanceUID
        Of that one.
    frames
        How many it has.
    """

    instance: str
    generation: int
    shown: str
    SOPInstanceUID: str
    frames: int


@dataclass(frozen=True, slots=True)
class ProposedRegion:
    """One region.

    Attributes
    ----------
    number
        ROINumber, from 1.
    image
        Its place among the proposal's images, from 0.
    frame
        Of that image, from 0.
    polygon
        Column and row of each point, pixel centres at whole numbers.
    area
        In pixels.
    score
        0..1.
    """

    number: int
    image: int
    frame: int
    polygon: Polygon
    area: float
    score: float

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept and shown."""
        return {
            "Number": self.number,
            "Image": self.image,
            "Frame": self.frame,
            "Polygon": [list(point) for point in self.polygon],
            "Area": self.area,
            "Score": self.score,
        }

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> ProposedRegion:
        """Read what `to_json` has written."""
        return cls(
            kept["Number"],
            kept["Image"],
            kept["Frame"],
            polygon_of(kept["Polygon"]),
            kept["Area"],
            kept["Score"],
        )


@dataclass(frozen=True, slots=True)
class RegionDecision:
    """What was decided of one region: ``accept`` or ``reject``, and the line if it was edited."""

    region: int
    verdict: str
    polygon: Polygon | None = None

    def to_json(self) -> dict[str, Any]:
        """Return it as it is kept and shown."""
        edited = None if self.polygon is None else [list(point) for point in self.polygon]
        return {"Region": self.region, "Decision": self.verdict, "Polygon": edited}

    @classmethod
    def from_json(cls, kept: Mapping[str, Any]) -> RegionDecision:
        """Read what `to_json` has written."""
        polygon = kept["Polygon"]
        edited = None if polygon is None else polygon_of(polygon)
        return cls(kept["Region"], kept["Decision"], edited)


def polygon_of(points: Sequence[Sequence[float]]) -> Polygon:
    """Return the points of a line as they are handed around."""
    return tuple((float(column), float(row)) for column, row in points)


@dataclass(frozen=True, slots=True, kw_only=True)
class NewProposal:
    """What the runner writes down of a proposal that it has stored.

    Attributes
    ----------
    place
        Of the proposal's own object.
    attached
        Of the same in the original study, under the patient's own identity, if there is one.
    series, study, SeriesInstanceUID, StudyInstanceUID
        Of the images as they arrived; the first two are Orthanc's ids.
    shown_series, shown_study, shown_SeriesInstanceUID
        Of the images beside which the proposal lies, whose StudyInstanceUID is that of `place`.
    scope
        What of the series was looked at: empty for all of it, else a SOPInstanceUID. A proposal
        takes the place of the one before for the same series, network and scope.
    network
        Which proposes.
    images
        At least one, in the order of the series.
    regions
        Numbered from 1.
    skipped
        Images of the series that were not looked at.
    """

    place: ObjectIdentity
    attached: ObjectIdentity | None
    series: str
    study: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    shown_series: str
    shown_study: str
    shown_SeriesInstanceUID: str  # noqa: N815 - the attribute's own name
    scope: str = ""
    network: Network
    images: tuple[ProposalImage, ...]
    regions: tuple[ProposedRegion, ...]
    skipped: tuple[SkippedImage, ...] = ()


@dataclass(frozen=True, slots=True)
class Review:
    """One decision about a proposal, and the object that tells of it.

    Attributes
    ----------
    id
        The ledger's number of it.
    proposal
        The ledger's number of the proposal.
    version
        From 1: the how manieth review of the proposal.
    reviewer
        The name that was typed.
    account
        The user who was authenticated; empty if nobody was.
    outcome
        APPROVED or REJECTED, as the proposal's status.
    decisions
        One for each region.
    created
        When the decision was recorded.
    state, reason
        How far its object is, and why that failed.
    place
        Of its object; None until it is stored.
    attached
        Orthanc's id of the same in the original study; empty if there is none.
    owner, reservation
        They tell an answer of the present holder from that of a former one.
    """

    id: int
    proposal: int
    version: int
    reviewer: str
    account: str
    comment: str
    outcome: ProposalStatus
    decisions: tuple[RegionDecision, ...]
    created: datetime
    state: TaskState
    reason: str
    place: ObjectIdentity | None
    attached: str
    owner: str
    reservation: int

    def to_json(self) -> dict[str, Any]:
        """Return it as Orthanc's API would show it."""
        place = self.place
        return {
            "Version": self.version,
            "Outcome": self.outcome.value,
            "Reviewer": self.account or self.reviewer,
            "Authenticated": bool(self.account),
            "TypedName": self.reviewer or None,
            "Comment": self.comment,
            "Date": self.created.isoformat(),
            "Decisions": [one.to_json() for one in self.decisions],
            "State": self.state.value,
            "Reason": self.reason,
            "ID": None if place is None else place.instance,
            "SOPInstanceUID": None if place is None else place.SOPInstanceUID,
            "Attached": self.attached or None,
        }


@dataclass(frozen=True, slots=True)
class Proposal:
    """What a network proposes for a series, and what people made of it.

    Attributes
    ----------
    id
        The ledger's number of it.
    status
        As the latest review decided.
    version
        How many reviews there are: a review names the one that its reviewer has seen.
    stale
        Why it, or the latest decision about it, tells of what is not there any more as it was;
        empty if it does not.
    number_of_regions
        Also where `regions` were not asked for.
    reviews
        From the first to the latest.
    images, regions, skipped
        Empty where they were not asked for.
    """

    id: int
    place: ObjectIdentity
    attached: str
    series: str
    study: str
    SeriesInstanceUID: str
    StudyInstanceUID: str
    shown_series: str
    shown_study: str
    shown_SeriesInstanceUID: str  # noqa: N815 - the attribute's own name
    scope: str
    network: Network
    status: ProposalStatus
    version: int
    stale: str
    number_of_regions: int
    created: datetime
    updated: datetime
    reviews: tuple[Review, ...] = ()
    images: tuple[ProposalImage, ...] = ()
    regions: tuple[ProposedRegion, ...] = ()
    skipped: tuple[SkippedImage, ...] = ()

    def summary(self) -> dict[str, Any]:
        """Return what a list shows."""
        return {
            "ID": self.place.instance,
            "SOPInstanceUID": self.place.SOPInstanceUID,
            "SeriesInstanceUID": self.place.SeriesInstanceUID,
            "StudyInstanceUID": self.place.StudyInstanceUID,
            "Attached": self.attached or None,
            "Status": self.status.value,
            "Version": self.version,
            "Stale": self.stale or None,
            "Regions": self.number_of_regions,
            "Network": {
                "Name": self.network.name,
                "DnnUID": self.network.uid,
                "Version": self.network.version,
                "WeightsSHA256": self.network.weights_sha256,
            },
            "Series": self.shown_series,
            "Study": self.shown_study,
            "ReferencedSeriesInstanceUID": self.shown_SeriesInstanceUID,
            "Scope": self.scope or None,
            "Created": self.created.isoformat(),
            "Updated": self.updated.isoformat(),
        }

    def to_json(self) -> dict[str, Any]:
        """Return all of it, as Orthanc's API would show it."""
        return self.summary() | {
            # By these the image is known to whoever asks for another look at it.
            "OriginalSeries": self.series,
            "Images": [
                {
                    "ID": one.shown,
                    "Original": one.instance,
                    "SOPInstanceUID": one.SOPInstanceUID,
                    "Frames": one.frames,
                }
                for one in self.images
            ],
            "Skipped": [one.to_json() for one in self.skipped],
            "Regions": [one.to_json() for one in self.regions],
            "Reviews": [one.to_json() for one in self.reviews],
        }
