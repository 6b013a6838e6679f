"""Looks at one series with the network that it is for, and proposes what that finds."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import structlog

from preread.archive.pacs import Superseded
from preread.elements import read_header
from preread.errors import PrereadError
from preread.iodeep.architecture import ArchitectureError
from preread.iodeep.choosing import choose, facts_of_image
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.reader import IODeepReader
from preread.iodeep.selection import plain
from preread.ledger.job import JobState, Level
from preread.results.structure_set.region import MOST_REGIONS
from preread.runner.network_objects import AnotherObjectError, NetworkGoneError
from preread.runner.outcomes import Left, NotYet
from preread.runner.series_images import OvertakenError, SeriesImages, usual_first

if TYPE_CHECKING:
    from preread.archive.pacs import Pacs
    from preread.findings.findings import Findings
    from preread.findings.reader import Placed
    from preread.imaging import Image
    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor
    from preread.ledger.job import InstanceRecord
    from preread.ledger.network import Network, NetworkDescription
    from preread.ledger.series_task import SeriesTask
    from preread.ledger.skipped import SkippedImage
    from preread.ledger.sql import SqlLedger
    from preread.runner.network_objects import NetworkObjects
    from preread.runner.proposer import Proposer

ASK_EVERY: Final = 0.5
"""Seconds after which it is asked again whether a series still is as it was; a lease is longer."""
MOST_IMAGES: Final = 5000
_MOST_ASKED: Final = 3
"""Images of a series by which its network is chosen: the first one may be the odd one."""
_WAITING: Final = 2.0  # seconds for what is still being read or copied
_OVERTAKEN: Final = 1.0
_ELSEWHERE: Final = 30.0  # for a runner that has the network's files
_GONE: Final = "its images were deleted"
_ON_REQUEST: Final = (
    "the networks (IODeep) that are here look on request alone "
    "(Preread.IODeep.Proposals.OnRequestOnly)"
)
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
    skipped
        Images that it did not look at.
    """

    network: str
    regions: int
    proposal: str
    skipped: tuple[SkippedImage, ...] = ()


Outcome = Found | Left | NotYet


class NetworkMissingError(PrereadError):
    """The network that was asked for cannot be run."""


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
    on_request
        DnnUIDs of networks that look only if somebody asks.
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
        on_request: Sequence[str] = (),
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
        self._on_request = frozenset(on_request)
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
            If no image can be read, the network cannot be run, or no proposal can be made of what
            it found.
        """
        records = self._records(task)
        obstacle = self._obstacle(task, records)
        if obstacle:
            return Left(obstacle)
        if self._waits_for_copies and any(one.state in _OPEN for one in records):
            return NotYet(_WAITING)
        chosen = self._chosen(task, records)
        if isinstance(chosen, Left | NotYet):
            return chosen
        network, described = chosen
        opened = self._opened(network, described)
        if isinstance(opened, NotYet):
            return opened
        images = SeriesImages(records, self._pacs, self._proposer.source, self._open_image)
        found = self._looked(IODeepReader(self._predictor, opened), images, goes_on)
        if found is None:
            return NotYet(_OVERTAKEN)
        return self._propose(task, records[0], images, found)

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
        if plain(usual_first(records)[0].Modality) in self._excluded:
            return (
                "its modality is looked at on request alone "
                "(Preread.IODeep.Proposals.ExcludedModalities)"
            )
        return ""

    def _runnable(self) -> dict[str, tuple[Network, NetworkDescription]]:
        """Return the networks that can be run, by DnnUID."""
        return {
            each.described.DnnUID: (each, each.described)
            for each in self._ledger.networks.valid()
            if each.described is not None
        }

    def _chosen(
        self, task: SeriesTask, records: Sequence[InstanceRecord]
    ) -> tuple[Network, NetworkDescription] | Left | NotYet:
        known = self._runnable()
        if task.network:
            if task.network not in known:
                raise NetworkMissingError(
                    f"{_NO_NETWORK} under the DnnUID that was asked for; GET /preread/iodeep "
                    "lists them"
                )
            return known[task.network]
        on_request = frozenset() if task.asked else self._on_request
        runnable = {uid: one for uid, one in known.items() if uid not in on_request}
        if not runnable:
            return Left(_ON_REQUEST if known else _NO_NETWORK)
        first, *_ = usual = usual_first(records)
        for_these = {plain(described.Modality) for _, described in runnable.values()}
        if plain(first.Modality) not in for_these:
            return Left(f"no network (IODeep) is for {first.Modality or 'its modality'}")
        obstacle = _GONE
        for record in usual[:_MOST_ASKED]:
            data = self._pacs.file(record.instance)
            if data is None:
                return NotYet(_OVERTAKEN)
            try:
                facts = facts_of_image(read_header(data), record.body_parts)
            except PrereadError as error:
                obstacle = str(error)
                continue
            selection = choose(facts, [described for _, described in runnable.values()])
            if selection.DnnUID is not None:
                return runnable[selection.DnnUID]
            failed = sorted({each.failed_on for each in selection.candidates})
            obstacle = f"{selection.warning} ({', '.join(failed)})"
        return Left(obstacle)

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
        self, reader: IODeepReader, images: SeriesImages, goes_on: Callable[[], bool]
    ) -> Findings | None:
        """Return what was found, by the frames as they were given; None if they have changed."""
        if not goes_on():
            return None
        try:
            return reader.read(_while(goes_on, images.frames()))
        except OvertakenError:
            return None

    def _propose(
        self, task: SeriesTask, first: InstanceRecord, images: SeriesImages, found: Findings
    ) -> Outcome:
        scope = first.SOPInstanceUID if task.scope else ""
        sources, found = images.looked_at(found)
        skipped, uid = tuple(images.skipped), found.algorithm.uid
        if not sources:
            if images.first_error is not None:
                raise images.first_error
            return Left(skipped[0].reason)
        if not found.lesions:
            self._ledger.proposals.supersede(first.series, uid, scope)
            return Found(uid, 0, "", skipped)
        if len(found.lesions) > MOST_REGIONS:
            raise TooManyRegionsError(
                f"{len(found.lesions)} regions, more than the {MOST_REGIONS} of a proposal; raise "
                "Threshold or SmallestArea, or lower Most, in Preread.IODeep.Regions"
            )
        proposal = self._proposer.propose_findings(sources, found, scope, skipped)
        if isinstance(proposal, Superseded):
            return NotYet(_OVERTAKEN)
        return Found(uid, proposal.number_of_regions, proposal.place.SOPInstanceUID, skipped)


def _left(network: Network, reason: str) -> NotYet:
    _log.warning("left to another runner", network=network.id, reason=reason)
    return NotYet(
        _ELSEWHERE,
        "it waits for a runner that can open its network: copy models/iodeep and the runner's "
        f"limits from beside Orthanc ({reason})",
    )


def _while(goes_on: Callable[[], bool], frames: Iterable[Placed]) -> Iterator[Placed]:
    """Give frames, asking now and then: one image may have more than a lease has time for."""
    asked = time.monotonic()
    for frame in frames:
        if time.monotonic() - asked >= ASK_EVERY:
            if not goes_on():
                raise OvertakenError
            asked = time.monotonic()
        yield frame
