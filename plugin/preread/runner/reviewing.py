"""The objects of reviews: from a decision in the ledger to what tells of it.

`Reviewer` makes one; `Reviewing` is the thread that works through the queue, and withdraws
proposals that are out of date.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from io import BytesIO
from itertools import accumulate
from typing import TYPE_CHECKING

import numpy as np
import pydicom
import structlog
from pydicom.uid import RTStructureSetStorage

from preread.archive.pacs import Pacs, Superseded
from preread.errors import PrereadError
from preread.ledger.proposal import Proposal, ProposalImage, Review
from preread.ledger.reviews import Reviews
from preread.ledger.stored import ObjectIdentity
from preread.ledger.stored_objects import StoredObject, StoredObjects
from preread.results.structure_set import Decision, Described, ReviewedBy, Verdict, review
from preread.runner.meter import Meter
from preread.runner.queue_worker import QueueWorker

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from pydicom.dataset import Dataset

    from preread.archive.depositing import Depositor
    from preread.ledger.proposals import Proposals
    from preread.ledger.stored_objects import StoredObject
    from preread.runner.writing import DerivesUids

_log = structlog.get_logger(__name__)

_LEASE = 120.0  # seconds; one object takes a fraction of a second, and nobody extends it
_WITHDRAW_EVERY = 15.0
_COMPARE_AFTER = 60.0  # seconds since an object was compared with what was stored
_MOST_COMPARED = 20  # at a time: the review that somebody waits for comes first


class ReviewError(PrereadError):
    """The object of a review cannot be made, and another try would not change that."""


@dataclass(frozen=True, slots=True)
class Told:
    """Where a review's object is stored, and its like in the original study, if there is one."""

    place: ObjectIdentity
    attached: ObjectIdentity | None


@dataclass(frozen=True, slots=True, eq=False)
class _Line:
    frame: int
    polygon: NDArray[np.float64]
    area: float
    score: float


class Reviewer:
    """Makes the objects of reviews.

    Parameters
    ----------
    proposals
        Knows what is proposed.
    pacs
        Orthanc.
    depositor
        Stores them.
    uids
        Gives them their UIDs.
    """

    def __init__(
        self, proposals: Proposals, pacs: Pacs, depositor: Depositor, uids: DerivesUids
    ) -> None:
        self._proposals = proposals
        self._pacs = pacs
        self._depositor = depositor
        self._uids = uids

    def tell(self, decided: Review) -> Told | Superseded:
        """Store the object of a review, in place of what an earlier try has stored.

        Raises
        ------
        ReviewError
            If the proposal's object is not stored, or is not what was stored, or an image on which
            a line was edited is not stored.
        preread.errors.PrereadError
            If the object cannot be made.
        preread.archive.pacs.PacsError
            If Orthanc does not answer, fails or does not take it.
        """
        proposal = self._proposals.of(decided.proposal)
        if proposal is None:
            raise ReviewError("the ledger does not know the proposal")
        edited = _edited(proposal, decided)
        self._check(proposal)
        place = self._one(proposal, decided, proposal.place.instance, [i.shown for i in edited])
        if isinstance(place, Superseded):
            return place
        attached = None
        if proposal.attached:
            originals = [image.instance for image in edited]
            beside = self._one(proposal, decided, proposal.attached, originals)
            if isinstance(beside, Superseded):
                self._depositor.withdraw(place.instance)
                return beside
            attached = beside
        return Told(place, attached)

    def withdraw(self, proposal: Proposal) -> None:
        """Delete the objects of a proposal that should not be there any more."""
        for instance in filter(None, (proposal.place.instance, proposal.attached)):
            self._depositor.withdraw(instance)

    def compare(self, stored: StoredObject) -> str:
        """Return why an object is not what was stored; empty if it is.

        Raises
        ------
        preread.archive.pacs.PacsError
            If Orthanc does not answer or fails.
        """
        for instance, expected in stored.hashes.items():
            data = self._pacs.file(instance)
            if data is None:
                return "its object is not stored any more"
            if sha256(data).hexdigest() != expected:
                return "its object is not the one that was stored (its SHA-256 differs)"
        return ""

    def _check(self, proposal: Proposal) -> None:
        """Refuse to build on an object that somebody has changed."""
        expected = proposal.place.sha256
        data = self._pacs.file(proposal.place.instance) if expected else None
        if data is not None and sha256(data).hexdigest() != expected:
            raise ReviewError("the proposal is not what was stored (its SHA-256 differs)")

    def _one(
        self, proposal: Proposal, decided: Review, of: str, images: Sequence[str]
    ) -> ObjectIdentity | Superseded:
        proposed = self._read(of, "the proposal is not stored any more")
        if proposed.SOPClassUID != RTStructureSetStorage:
            return self._report(proposal, decided, proposed, of)
        words = "an image on which a line was edited is not stored any more"
        told = review(
            proposed,
            _decisions(decided),
            reviewer_of(decided),
            decided.created.astimezone(),
            decided.comment,
            SOPInstanceUID=self._uids.derived_uid(
                str(proposed.SOPInstanceUID), f"review {decided.version}"
            ),
            number=decided.version,
            sources=[self._read(image, words) for image in images],
        )
        first = proposal.images[0]
        return self._depositor.deposit(told, first.instance, first.generation)

    def _report(
        self, proposal: Proposal, decided: Review, proposed: Dataset, of: str
    ) -> ObjectIdentity | Superseded:
        """Make the report of a review anew: it holds every region with what was decided of it."""
        # Few reviews need it, and it takes a while to import.
        from preread.results.region_report import region_report  # noqa: PLC0415

        looked_at = sorted({region.image for region in proposal.regions})
        images = [proposal.images[place] for place in looked_at]
        begins = dict(zip(looked_at, accumulate([0, *(i.frames for i in images)]), strict=False))
        is_original = of == proposal.attached
        decisions = {one.region: one for one in _decisions(decided)}
        network = proposal.network
        told = region_report(
            [
                self._read(
                    image.instance if is_original else image.shown,
                    "an image with a region is not stored any more",
                )
                for image in images
            ],
            [
                _Line(
                    begins[region.image] + region.frame,
                    np.array(region.polygon, dtype=np.float64),
                    region.area,
                    region.score,
                )
                for region in proposal.regions
            ],
            Described(network.name, network.uid, network.version, network.weights_sha256),
            moment=decided.created.astimezone(),
            SeriesInstanceUID=str(proposed.SeriesInstanceUID),
            SOPInstanceUID=self._uids.derived_uid(
                str(proposed.SOPInstanceUID), f"review {decided.version}"
            ),
            number=decided.version + 1,
            reviewer=reviewer_of(decided),
            decisions=[decisions[region.number] for region in proposal.regions],
            comment=decided.comment,
        )
        first = proposal.images[0]
        return self._depositor.deposit(told, first.instance, first.generation)

    def _read(self, instance: str, missing: str) -> Dataset:
        data = self._pacs.file(instance)
        if data is None:
            raise ReviewError(missing)
        return pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)


def reviewer_of(decided: Review) -> ReviewedBy:
    """Return who decided, as an object says it."""
    return ReviewedBy(decided.reviewer, decided.account)


def _edited(proposal: Proposal, decided: Review) -> list[ProposalImage]:
    numbers = {one.region for one in decided.decisions if one.polygon is not None}
    places = {region.image for region in proposal.regions if region.number in numbers}
    return [proposal.images[place] for place in sorted(places)]


def _decisions(decided: Review) -> list[Decision]:
    return [
        Decision(
            one.region,
            Verdict(one.verdict),
            None if one.polygon is None else np.array(one.polygon, dtype=np.float64),
        )
        for one in decided.decisions
    ]


class Reviewing(QueueWorker[Reviews, Review, Told | Superseded]):
    """Works through the queue, one review at a time; no failure here is an image's.

    Parameters
    ----------
    queue
        What is decided and not told yet.
    proposals
        What is proposed.
    stored
        What is stored of both.
    reviewer
        Makes the objects.
    owner
        What this runner calls itself. What a predecessor of this name still holds is taken back.
    meter
        Takes note of trouble.

    Raises
    ------
    preread.ledger.errors.LedgerError
        If the ledger cannot be reached.
    """

    not_done = "review not told"

    def __init__(
        self,
        queue: Reviews,
        proposals: Proposals,
        stored: StoredObjects,
        reviewer: Reviewer,
        owner: str,
        meter: Meter,
    ) -> None:
        super().__init__(queue, owner, meter, "review", lease=_LEASE, every=_WITHDRAW_EVERY)
        self._proposals = proposals
        self._stored = stored
        self._reviewer = reviewer

    def withdraw(self) -> None:
        """Delete proposals whose images changed or that a newer one replaced, if unreviewed.

        What stays is compared with what was stored.
        """
        for proposal in self._proposals.withdrawn():
            self._reviewer.withdraw(proposal)
            self._proposals.forget(proposal)
        self.compare()

    def compare(self) -> None:
        """Compare what is stored with what was, and mark what differs as stale."""
        for stored in self._stored.due(_MOST_COMPARED, _COMPARE_AFTER):
            altered = self._reviewer.compare(stored)
            self._stored.compared(stored, altered)
            if altered:
                _log.error("stale", review=stored.is_review, id=stored.id, reason=altered)

    def _make(self, lent: Review) -> Told | Superseded:
        return self._reviewer.tell(lent)

    def _write_down(self, lent: Review, outcome: Told | Superseded) -> None:
        if isinstance(outcome, Superseded):
            self._queue.superseded(lent)
            return
        attached = outcome.attached
        self._queue.done(
            lent,
            outcome.place,
            attached.instance if attached else "",
            attached.sha256 if attached else "",
        )
        _log.info("review told", **self._named(lent), outcome=lent.outcome.value)
