"""Looks at one series with the network that it is for, and proposes what that finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import numpy as np
import structlog

from preread.elements import read_header
from preread.errors import PrereadError
from preread.iodeep.architecture import ArchitectureError
from preread.iodeep.choosing import choose, facts_of_image
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.files_prediction import frames_of_image, regions_of_frames
from preread.iodeep.selection import plain
from preread.ledger.job import JobState, Level
from preread.ledger.proposal import Proposal
from preread.results.structure_set import Described
from preread.results.structure_set.errors import NoImagePlaneError
from preread.results.structure_set.plane import ImagePlane
from preread.results.structure_set.region import MOST_REGIONS
from preread.runner.network_objects import AnotherObjectError, NetworkGoneError
from preread.runner.pacs import Superseded

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.imaging import Frame, Image
    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor
    from preread.iodeep.region import Region
    from preread.ledger.job import InstanceRecord
    from preread.ledger.network import Network, NetworkDescription
    from preread.ledger.series_task import SeriesTask
    from preread.ledger.sql import SqlLedger
    from preread.runner.network_objects import NetworkObjects
    from preread.runner.pacs import Pacs
    from preread.runner.proposer import Proposer, SourceImage

ASK_EVERY: Final = 0.5
"""Seconds after which it is asked again whether a series still is as it was; a lease is longer."""
MOST_IMAGES: Final = 5000
_WAITING: Final = 2.0  # seconds for what is still being read or copied
_OVERTAKEN: Final = 1.0
_ELSEWHERE: Final = 30.0  # for a runner that has the network's files
_GONE: Final = "its images were deleted"
_NO_NETWORK: Final = "no network (IODeep) is here that can be run"
_OPEN: Final = (JobState.PENDING, JobState.RUNNING)

_log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Found:
    """A network has looked.

    Attributes
    ----------
    network
        Its DnnUID.
    regions
        How many it found.
    proposal
        SOPInstanceUID of what was stored; empty if nothing was found.
    """

    network: str
    regions: int
    proposal: str


@dataclass(frozen=True, slots=True)
class Left:
    """Nobody looks at it, which is no failure; the reason says why."""

    reason: str


@dataclass(frozen=True, slots=True)
class NotYet:
    """It is to be tried again after a pause in seconds; a reason is for a person to act on."""

    pause: float
    reason: str = ""


Outcome = Found | Left | NotYet


class NetworkMissingError(PrereadError):
    """The network that was asked for cannot be run."""


class _OvertakenError(Exception):
    """The series has changed while it was looked at."""


class TooManyRegionsError(PrereadError):
    """A network found more than anybody could review."""


class Outliner:
    """Looks at one series after the other.

    Parameters
    ----------
    ledger
        Knows the images and the networks.
    pacs
        Orthanc.
    objects
        What the networks are kept as.
    predictor
        Runs them.
    proposer
        Stores what they find.
    open_image
        Opens a DICOM file.
    excluded
        Modalities whose series are looked at only if somebody asks.
    enabled
        Whether others are looked at without that.
    waits_for_copies
        Whether a proposal lies beside copies, which the runner makes as it reads the images.
    defers
        Whether series are left to others whose network cannot be opened here: the runner beside
        Orthanc has found that it can be run, so this one's models folder or limits are others.
    """

    def __init__(
        self,
        ledger: SqlLedger,
        pacs: Pacs,
        objects: NetworkObjects,
        predictor: Predictor,
        proposer: Proposer,
        open_image: Callable[[bytes], Image],
        *,
        excluded: Sequence[str] = (),
        enabled: bool = True,
        waits_for_copies: bool = False,
        defers: bool = False,
    ) -> None:
        self._ledger = ledger
        self._pacs = pacs
        self._objects = objects
        self._predictor = predictor
        self._proposer = proposer
        self._open_image = open_image
        self._excluded = frozenset(map(plain, excluded))
        self._enabled = enabled
        self._waits_for_copies = waits_for_copies
        self._defers = defers

    def look(self, task: SeriesTask, goes_on: Callable[[], bool] = lambda: True) -> Outcome:
        """Look at what a task names, and store what is found.

        Parameters
        ----------
        task
            Lent by the ledger.
        goes_on
            Asked now and then; False ends it, since the series has changed.

        Raises
        ------
        preread.errors.PrereadError
            If an image cannot be read, the network cannot be run or takes no such image, or no
            proposal can be made of what it found.
        """
        records = self._records(task)
        obstacle = self._obstacle(task, records)
        if obstacle:
            return Left(obstacle)
        if self._waits_for_copies and any(one.state in _OPEN for one in records):
            return NotYet(_WAITING)
        chosen = self._chosen(task, records[0])
        if isinstance(chosen, Left | NotYet):
            return chosen
        network, described = chosen
        opened = self._opened(network, described)
        if isinstance(opened, NotYet):
            return opened
        looked = self._looked(opened, records, goes_on)
        if looked is None:
            return NotYet(_OVERTAKEN)
        # Weights that lie in a file may have been replaced since the network was looked at.
        ran = replace(described, weights_sha256=self._predictor.running(opened).weights_sha256)
        return self._propose(task, records[0], ran, *looked)

    def _records(self, task: SeriesTask) -> list[InstanceRecord]:
        level, name = (Level.INSTANCE, task.scope) if task.scope else (Level.SERIES, task.series)
        return self._ledger.instances(level, name)

    def _obstacle(self, task: SeriesTask, records: Sequence[InstanceRecord]) -> str:
        if not records:
            return _GONE
        if len(records) > MOST_IMAGES:
            return f"more than {MOST_IMAGES} images"
        if task.asked:
            return ""
        if not self._enabled:
            return "it is looked at on request alone (Preread.IODeep.Proposals.Enabled)"
        if plain(records[0].Modality) in self._excluded:
            return (
                "its modality is looked at on request alone "
                "(Preread.IODeep.Proposals.ExcludedModalities)"
            )
        return ""

    def _chosen(
        self, task: SeriesTask, first: InstanceRecord
    ) -> tuple[Network, NetworkDescription] | Left | NotYet:
        runnable = {
            each.described.DnnUID: (each, each.described)
            for each in self._ledger.networks.valid()
            if each.described is not None
        }
        if task.network:
            if task.network not in runnable:
                raise NetworkMissingError(
                    f"{_NO_NETWORK} under the DnnUID that was asked for; GET /preread/iodeep "
                    "lists them"
                )
            return runnable[task.network]
        if not runnable:
            return Left(_NO_NETWORK)
        for_these = {plain(described.Modality) for _, described in runnable.values()}
        if plain(first.Modality) not in for_these:
            return Left(f"no network (IODeep) is for {first.Modality or 'its modality'}")
        data = self._pacs.file(first.instance)
        if data is None:
            return NotYet(_OVERTAKEN)
        facts = facts_of_image(read_header(data), first.body_parts)
        selection = choose(facts, [described for _, described in runnable.values()])
        if selection.DnnUID is None:
            failed = sorted({each.failed_on for each in selection.candidates})
            return Left(f"{selection.warning} ({', '.join(failed)})")
        return runnable[selection.DnnUID]

    def _opened(self, network: Network, described: NetworkDescription) -> IODeep | NotYet:
        try:
            opened = self._objects.read(network)
            running = self._predictor.running(opened)
        except AnotherObjectError as error:
            if not self._defers or not network.file:
                raise  # what is stored in Orthanc is the same for all runners
            return _left(network, str(error))
        except (NetworkGoneError, InvalidIODeepError, ArchitectureError) as error:
            if not self._defers:
                raise
            return _left(network, str(error))
        if self._defers and running.weights_sha256 != described.weights_sha256:
            return _left(network, "its weights are not those that lie beside Orthanc")
        return opened

    def _looked(
        self, network: IODeep, records: Sequence[InstanceRecord], goes_on: Callable[[], bool]
    ) -> tuple[list[SourceImage], list[Region]] | None:
        """Return the images in their order with what was found; None if they have changed."""
        if not goes_on():
            return None
        sources: list[SourceImage] = []
        counts: list[int] = []
        # One after the other: never more than one image, and what a batch holds, is in memory.
        frames = (pair for record in records for pair in self._frames(record, sources, counts))
        try:
            regions = regions_of_frames(self._predictor, network, _while(goes_on, frames))
        except _OvertakenError:
            return None
        places = [(index, frame) for index, count in enumerate(counts) for frame in range(count)]
        found = []
        for region in regions:
            image, frame = places[region.frame]
            found.append((image, replace(region, frame=frame)))
        return _in_order(sources, counts, found)

    def _frames(
        self, record: InstanceRecord, sources: list[SourceImage], counts: list[int]
    ) -> Iterator[tuple[Frame, float | None]]:
        """Give the frames of an image, and write down the image itself."""
        data = self._pacs.file(record.instance)
        if data is None:
            raise _OvertakenError
        source = self._proposer.source(record.instance, record.generation, data)
        image = self._open_image(data)
        sources.append(source)
        counts.append(image.number_of_frames)
        yield from frames_of_image(image, source.original)

    def _propose(
        self,
        task: SeriesTask,
        first: InstanceRecord,
        described: NetworkDescription,
        sources: Sequence[SourceImage],
        regions: Sequence[Region],
    ) -> Outcome:
        scope = first.SOPInstanceUID if task.scope else ""
        if not regions:
            self._ledger.proposals.supersede(first.series, described.DnnUID, scope)
            return Found(described.DnnUID, 0, "")
        network = Described(
            name=described.DnnName,
            uid=described.DnnUID,
            # What the object says of its making is all the version that it has.
            version=described.created[:10],
            weights_sha256=described.weights_sha256,
        )
        if len(regions) > MOST_REGIONS:
            raise TooManyRegionsError(
                f"{len(regions)} regions, more than the {MOST_REGIONS} of a proposal; raise "
                "Threshold or SmallestArea, or lower Most, in Preread.IODeep.Regions"
            )
        proposal = self._proposer.propose(sources, regions, network, scope)
        if isinstance(proposal, Superseded):
            return NotYet(_OVERTAKEN)
        return _outcome(described, proposal)


def _left(network: Network, reason: str) -> NotYet:
    _log.warning("left to another runner", network=network.id, reason=reason)
    return NotYet(
        _ELSEWHERE,
        "it waits for a runner that can open its network: copy models/iodeep and the runner's "
        f"limits from beside Orthanc ({reason})",
    )


def _outcome(described: NetworkDescription, proposal: Proposal) -> Found:
    return Found(described.DnnUID, proposal.number_of_regions, proposal.place.SOPInstanceUID)


def _while(
    goes_on: Callable[[], bool], frames: Iterable[tuple[Frame, float | None]]
) -> Iterator[tuple[Frame, float | None]]:
    """Give frames, asking now and then: one image may have more than a lease has time for."""
    asked = time.monotonic()
    for frame in frames:
        if time.monotonic() - asked >= ASK_EVERY:
            if not goes_on():
                raise _OvertakenError
            asked = time.monotonic()
        yield frame


def _in_order(
    sources: Sequence[SourceImage], counts: Sequence[int], found: Sequence[tuple[int, Region]]
) -> tuple[list[SourceImage], list[Region]]:
    """Bring images into the series' order, and count regions' frames over all of them."""
    order = sorted(range(len(sources)), key=_rank(sources).__getitem__)
    before, offsets = 0, {}
    for index in order:
        offsets[index] = before
        before += counts[index]
    regions = [replace(one, frame=offsets[index] + one.frame) for index, one in found]
    regions.sort(key=lambda one: one.frame)
    return [sources[index] for index in order], regions


def _rank(sources: Sequence[SourceImage]) -> list[tuple[float, float, str]]:
    """Return what each image is ordered by: its place along the patient, else its number."""
    try:
        planes = [ImagePlane.of(one.original) for one in sources]
        normal = np.cross(planes[0].along_row, planes[0].along_column)
        places = [float(plane.position @ normal) for plane in planes]
    except NoImagePlaneError:
        places = [0.0] * len(sources)
    return [
        (place, _number(one.original), str(one.original.get("SOPInstanceUID", "")))
        for place, one in zip(places, sources, strict=True)
    ]


def _number(header: Dataset) -> float:
    try:
        return float(header.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        return 0.0
