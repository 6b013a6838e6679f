"""From regions that a network found to a proposal in the images' study and in the ledger."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import structlog

from preread.archive.pacs import Pacs, Superseded
from preread.imaging.errors import NoImagePlaneError
from preread.imaging.plane import frames_of
from preread.ledger.proposal import (
    Network,
    NewProposal,
    Proposal,
    ProposalImage,
    ProposedRegion,
    polygon_of,
)
from preread.ledger.stored import ObjectIdentity
from preread.results.structure_set import Described, propose
from preread.runner.sources import SourceImage, can_lie_beside, ids_of, source_image

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from preread.archive.depositing import Depositor
    from preread.findings.findings import Findings
    from preread.ledger.proposals import Proposals
    from preread.ledger.skipped import SkippedImage
    from preread.results.structure_set import Region
    from preread.runner.writing import Deidentifies, DerivesUids

_log = structlog.get_logger(__name__)

_ATTACHED: Final = "attached"


@dataclass(frozen=True, slots=True, eq=False)
class _Region:
    """An outline of a lesion, as structure sets and reports take it."""

    frame: int
    polygon: NDArray[np.float64]
    area: float
    score: float


class Proposer:
    """Makes one proposal after the other.

    Parameters
    ----------
    proposals
        Where they are written down.
    pacs
        Orthanc.
    depositor
        Stores them.
    uids
        Gives them their UIDs.
    copies
        In mode ``copy``: tells which object is the copy of an original, by its header alone. The
        proposal lies beside the copies. None in other modes.
    attach
        In mode ``copy``: whether the proposal goes into the original study too, under the
        patient's own identity.
    clock
        The time in the zone in which it is to be told.
    """

    def __init__(
        self,
        proposals: Proposals,
        pacs: Pacs,
        depositor: Depositor,
        uids: DerivesUids,
        *,
        copies: Deidentifies | None = None,
        attach: bool = False,
        clock: Callable[[], datetime] = lambda: datetime.now(UTC).astimezone(),
    ) -> None:
        self._proposals = proposals
        self._pacs = pacs
        self._depositor = depositor
        self._uids = uids
        self._copies = copies
        self._attach = attach and copies is not None
        self._clock = clock

    def source(self, instance: str, generation: int, data: bytes) -> SourceImage:
        """Take from an image's file what a proposal needs of it.

        Parameters
        ----------
        instance, generation
            Orthanc's id of it, and the arrival of these bytes.
        data
            The file, as Orthanc has it under that id.

        Raises
        ------
        preread.errors.PrereadError
            If it cannot be read, or no copy can be made of it.
        """
        return source_image(instance, generation, data, self._copies)

    def propose(
        self,
        sources: Sequence[SourceImage],
        regions: Sequence[Region],
        network: Described,
        scope: str = "",
        skipped: Sequence[SkippedImage] = (),
    ) -> Proposal | Superseded:
        """Store a proposal and write it down; it takes the place of the one before.

        It is a structure set, or, for images without a place in the patient, a structured report.

        Doing this again for the same images, network and scope does no harm.

        Parameters
        ----------
        sources
            The images of a series, in its order.
        regions
            What was found, at least one. A region's frame counts the frames of all sources, one
            image after the other.
        network
            Which found it.
        scope
            Empty for a whole series; the SOPInstanceUID for one image that somebody asked about.
        skipped
            Images of the series that were not looked at.

        Raises
        ------
        preread.errors.PrereadError
            If a proposal cannot be made of them.
        preread.archive.pacs.PacsError
            If Orthanc does not answer, fails or does not take it.
        """
        first = sources[0]
        ids = [ids_of(source.shown).instance for source in sources]
        if not can_lie_beside(first, self._pacs, in_copy=self._copies is not None):
            return Superseded()
        made: list[ObjectIdentity] = []
        what = self._what(sources, regions, network, scope)
        for purpose in ("", _ATTACHED) if self._attach else ("",):
            place = self._store(sources, regions, network, what, purpose)
            if isinstance(place, Superseded):
                self._undo(made)
                return place
            made.append(place)
        recorded = self._proposals.record(
            _new(sources, ids, regions, network, scope, made, skipped)
        )
        if recorded is None:
            self._undo(made)
            return Superseded()
        return recorded

    def propose_findings(
        self,
        sources: Sequence[SourceImage],
        found: Findings,
        scope: str = "",
        skipped: Sequence[SkippedImage] = (),
    ) -> Proposal | Superseded:
        """Store the lesions that any reader found as a proposal; see `propose`.

        Each outline is a region that is decided about by itself.
        """
        algorithm = found.algorithm
        network = Described(
            algorithm.name, algorithm.uid or algorithm.name, algorithm.version, algorithm.sha256
        )
        regions = [
            _Region(outline.frame, outline.polygon, outline.area, lesion.score)
            for lesion in found.lesions
            for outline in lesion.outlines
        ]
        return self.propose(sources, regions, network, scope, skipped)

    def _store(
        self,
        sources: Sequence[SourceImage],
        regions: Sequence[Region],
        network: Described,
        what: str,
        purpose: str,
    ) -> ObjectIdentity | Superseded:
        first = sources[0]
        headers = [one.original if purpose else one.shown for one in sources]
        series = str(headers[0].SeriesInstanceUID)
        what = f"{purpose} {what}"
        identity: dict[str, Any] = {
            "moment": self._clock(),
            "SeriesInstanceUID": self._uids.derived_uid(series, f"series of {what}"),
            "SOPInstanceUID": self._uids.derived_uid(series, what),
        }
        try:
            dataset = propose(headers, regions, network, **identity)
        except NoImagePlaneError as error:
            # Such regions have coordinates on their images alone.
            _log.info("proposed as a report", reason=str(error))
            # Few series need it, and it takes a while to import.
            from preread.results.region_report import region_report  # noqa: PLC0415

            dataset = region_report(headers, regions, network, **identity)
        return self._depositor.deposit(dataset, first.instance, first.generation)

    def _what(
        self,
        sources: Sequence[SourceImage],
        regions: Sequence[Region],
        network: Described,
        scope: str,
    ) -> str:
        """Return a text that tells a proposal from all others."""
        # Another arrival, another set of images or other lines are another proposal: nobody may
        # decide about lines that took the place of those that he has seen.
        looked_at = hashlib.sha256()
        for one in sources:
            looked_at.update(f"{one.instance} {one.generation}\n".encode())
        for region in regions:
            looked_at.update(f"{region.frame} {region.polygon.round(3).tolist()}\n".encode())
        what = f"proposal {network.uid} {network.weights_sha256} {scope} {looked_at.hexdigest()}"
        # One that comes back must not have the UID of one that is just being withdrawn.
        series, turn = str(sources[0].shown.SeriesInstanceUID), 0
        while self._proposals.is_superseded(self._uids.derived_uid(series, f" {what} {turn}")):
            turn += 1
        return f"{what} {turn}"

    def _undo(self, made: Sequence[ObjectIdentity]) -> None:
        for place in made:
            self._depositor.withdraw(place.instance)


def _new(
    sources: Sequence[SourceImage],
    ids: Sequence[str],
    regions: Sequence[Region],
    network: Described,
    scope: str,
    made: Sequence[ObjectIdentity],
    skipped: Sequence[SkippedImage],
) -> NewProposal:
    original, shown = sources[0].original, sources[0].shown
    as_arrived, as_shown = ids_of(original), ids_of(shown)
    images = tuple(
        ProposalImage(
            one.instance, one.generation, name, str(one.shown.SOPInstanceUID), frames_of(one.shown)
        )
        for one, name in zip(sources, ids, strict=True)
    )
    places = [
        (number, frame) for number, image in enumerate(images) for frame in range(image.frames)
    ]
    return NewProposal(
        place=made[0],
        attached=made[1] if len(made) > 1 else None,
        series=as_arrived.series,
        study=as_arrived.study,
        SeriesInstanceUID=str(original.SeriesInstanceUID),
        StudyInstanceUID=str(original.StudyInstanceUID),
        shown_series=as_shown.series,
        shown_study=as_shown.study,
        shown_SeriesInstanceUID=str(shown.SeriesInstanceUID),
        scope=scope,
        network=Network(network.name, network.uid, network.version, network.weights_sha256),
        images=images,
        regions=tuple(
            ProposedRegion(
                number,
                *places[region.frame],
                polygon_of(region.polygon.round(3).tolist()),
                float(region.area),
                float(region.score),
            )
            for number, region in enumerate(regions, start=1)
        ),
        skipped=tuple(skipped),
    )
