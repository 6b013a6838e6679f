"""Proposals and reviews as the runner stores them, on a real ledger and an archive in memory."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from highdicom.sr import srread
from pydicom.dataset import Dataset
from pydicom.uid import ComprehensiveSRStorage, RTStructureSetStorage

from preread.archive.announcing import Announcer
from preread.archive.depositing import Depositor
from preread.archive.pacs import PacsFailedError, PacsUnreachableError, Superseded
from preread.deidentify import Pseudonyms
from preread.ledger.proposal import (
    Proposal,
    ProposalConflictError,
    ProposalStatus,
    RegionDecision,
    Review,
)
from preread.ledger.task import TaskState
from preread.results.structure_set import (
    Described,
    UnwritableStructureSetError,
    regions_of,
)
from preread.runner import reviewing
from preread.runner.proposer import Proposer
from preread.runner.reviewing import Reviewer, Reviewing
from preread.runner.sources import ProposalError, SourceImage
from tests.unit.results.structure_set.conftest import Found
from tests.unit.runner.archive import KEY
from tests.unit.runner.bench import Bench, Doubling, ct
from tests.unit.runner.test_explaining import SECRET

NETWORK = Described("U-Net", "2.25.77", "1", "ab" * 32)
SQUARE = np.array([[2.0, 3.0], [9.0, 3.0], [9.0, 8.0], [2.0, 8.0]])
REGIONS = [Found(0, SQUARE), Found(1, SQUARE + 1.5), Found(1, SQUARE / 2)]
ACCEPTED = (
    RegionDecision(1, "accept", ((1.0, 1.0), (4.0, 1.0), (4.0, 5.0))),
    RegionDecision(2, "reject"),
    RegionDecision(3, "accept"),
)


def slice_(number: int, **changes: Any) -> bytes:
    """Make a slice that has its place in the patient."""
    dataset = pydicom.dcmread(BytesIO(ct(number)))
    dataset.PatientName = "Doe^John"
    dataset.FrameOfReferenceUID = "2.25.5"
    dataset.ImagePositionPatient = [-10, -20, 5 * number]
    dataset.ImageOrientationPatient = [1, 0, 0, 0, 1, 0]
    dataset.PixelSpacing = [0.5, 0.75]
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


class Room:
    """A series of two slices, what proposes for it and what tells of reviews."""

    def __init__(self, bench: Bench, *, copies: bool = False, attach: bool = False) -> None:
        self.bench = bench
        self.files = [slice_(1), slice_(2)]
        self.instances = [bench.arrive(data) for data in self.files]
        if copies:
            for data in self.files:
                bench.archive.arrive(Doubling().deidentify(data).data)
        depositor = Depositor(bench.archive, Announcer(KEY))
        self.proposer = Proposer(
            bench.ledger.proposals,
            bench.archive,
            depositor,
            Pseudonyms(SECRET),
            copies=Doubling() if copies else None,
            attach=attach,
        )
        self.reviewing = Reviewing(
            bench.ledger.reviews,
            bench.ledger.proposals,
            bench.ledger.stored_objects,
            Reviewer(bench.ledger.proposals, bench.archive, depositor, Pseudonyms(SECRET)),
            "runner",
            bench.meter,
        )

    def sources(self) -> list[SourceImage]:
        return [
            self.proposer.source(instance, self.bench.archive.generations[instance] or 0, data)
            for instance, data in zip(self.instances, self.files, strict=True)
        ]

    def propose(self) -> Proposal:
        made = self.proposer.propose(self.sources(), REGIONS, NETWORK)
        assert isinstance(made, Proposal)
        return made

    def decide(self, proposal: Proposal, *decisions: RegionDecision, version: int = 0) -> Review:
        return self.bench.ledger.proposals.decide(
            proposal, version, decisions or ACCEPTED, reviewer="Doe^Jane", comment="so"
        )

    def review(self, decided: Review) -> Review:
        found = self.bench.ledger.reviews.of(decided.id)
        assert found is not None
        return found

    def read(self, instance: str) -> Dataset:
        return pydicom.dcmread(BytesIO(self.bench.archive.files[instance]))

    def sets(self) -> dict[str, Dataset]:
        """Return the stored structure sets, by Orthanc's id."""
        read = {name: self.read(name) for name in self.bench.archive.files}
        return {n: one for n, one in read.items() if one.SOPClassUID == RTStructureSetStorage}


@pytest.fixture
def room(bench: Bench) -> Room:
    return Room(bench)


def test_a_proposal_lies_in_the_study_of_its_images(room: Room) -> None:
    made = room.propose()
    ((name, dataset),) = room.sets().items()
    assert (made.place.instance, made.place.SOPInstanceUID) == (name, dataset.SOPInstanceUID)
    assert dataset.StudyInstanceUID == "2.25.3"
    assert made.status is ProposalStatus.PROPOSED
    assert [one.shown for one in made.images] == room.instances
    assert [(one.image, one.frame) for one in made.regions] == [(0, 0), (1, 0), (1, 0)]
    found = regions_of(dataset, [one.original for one in room.sources()])
    for kept, drawn in zip(made.regions, found, strict=True):
        np.testing.assert_allclose(drawn.polygon, np.array(kept.polygon), atol=1e-3)
    (listed,) = room.bench.ledger.proposals.listed(series="2.25.2")
    assert listed.id == made.id


def test_the_same_again_leaves_one(room: Room) -> None:
    first = room.propose()
    assert room.propose().id == first.id
    assert len(room.sets()) == 1


def test_other_lines_on_the_same_images_are_another_proposal(room: Room) -> None:
    """Who decides about what a network found must not approve what another run found."""
    first = room.propose()
    seen = room.bench.ledger.proposals.find(first.place.SOPInstanceUID)
    assert seen is not None
    again = room.proposer.propose(room.sources(), [Found(0, SQUARE + 3)], NETWORK)
    assert isinstance(again, Proposal)
    assert again.place.SOPInstanceUID != first.place.SOPInstanceUID
    with pytest.raises(ProposalConflictError, match="superseded"):
        room.decide(seen)
    room.reviewing.withdraw()
    assert list(room.sets()) == [again.place.instance]


def test_a_late_slice_makes_another_and_withdraws_the_first(room: Room) -> None:
    first = room.propose()
    room.files.append(slice_(3))
    room.instances.append(room.bench.arrive(room.files[-1]))
    second = room.propose()
    assert second.place.SeriesInstanceUID != first.place.SeriesInstanceUID
    room.reviewing.withdraw()
    assert list(room.sets()) == [second.place.instance]
    assert room.bench.ledger.proposals.withdrawn() == []


def test_a_review_is_stored_in_the_series_of_its_proposal(room: Room) -> None:
    proposal = room.propose()
    decided = room.decide(proposal)
    assert room.reviewing.step()
    told = room.review(decided)
    assert told.state is TaskState.DONE
    assert told.place is not None
    dataset = room.read(told.place.instance)
    assert dataset.SOPInstanceUID == told.place.SOPInstanceUID
    assert dataset.SeriesInstanceUID == proposal.place.SeriesInstanceUID
    assert (dataset.ApprovalStatus, dataset.ReviewerName) == ("APPROVED", "Doe^Jane")
    first, third = regions_of(dataset, [one.original for one in room.sources()])
    assert (first.number, first.algorithm) == (1, "SEMIAUTOMATIC")
    np.testing.assert_allclose(first.polygon, [[1, 1], [4, 1], [4, 5]], atol=1e-3)
    assert (third.number, third.algorithm) == (3, "AUTOMATIC")
    assert room.read(proposal.place.instance).ApprovalStatus == "UNAPPROVED"
    assert not room.reviewing.step()


def test_a_second_review_stands_beside_the_first(room: Room) -> None:
    proposal = room.propose()
    room.decide(proposal)
    nothing = [RegionDecision(number, "reject") for number in (1, 2, 3)]
    room.decide(proposal, *nothing, version=1)
    while room.reviewing.step():
        pass
    told = {one.InstanceNumber: one.ApprovalStatus for one in room.sets().values()}
    assert told == {1: "UNAPPROVED", 2: "APPROVED", 3: "REJECTED"}
    assert len({one.SeriesInstanceUID for one in room.sets().values()}) == 1


def test_beside_the_copies(bench: Bench) -> None:
    room = Room(bench, copies=True)
    made = room.propose()
    ((_, dataset),) = room.sets().items()
    assert dataset.StudyInstanceUID == "2.25.93"
    assert made.attached == ""
    assert made.StudyInstanceUID == "2.25.3"
    (contour, *_) = dataset.ROIContourSequence[0].ContourSequence
    uid = contour.ContourImageSequence[0].ReferencedSOPInstanceUID
    assert uid == made.images[0].SOPInstanceUID == "2.25.911"
    assert made.images[0].shown in bench.archive.files
    assert made.images[0].shown != made.images[0].instance


def test_attached_to_the_original_study_under_its_own_identity(bench: Bench) -> None:
    room = Room(bench, copies=True, attach=True)
    originals = [bench.archive.files[name] for name in room.instances]
    proposal = room.propose()
    decided = room.decide(proposal)
    assert room.reviewing.step()
    told = room.review(decided)
    assert told.place is not None
    for beside, in_study in (
        (room.read(proposal.attached), "2.25.3"),
        (room.read(told.attached), "2.25.3"),
        (room.read(proposal.place.instance), "2.25.93"),
        (room.read(told.place.instance), "2.25.93"),
    ):
        assert beside.StudyInstanceUID == in_study
        (of_study,) = beside.ReferencedFrameOfReferenceSequence[0].RTReferencedStudySequence
        assert of_study.ReferencedSOPInstanceUID == in_study
    assert room.read(told.attached).ApprovalStatus == "APPROVED"
    assert len(room.sets()) == 4
    assert [bench.archive.files[name] for name in room.instances] == originals
    newer = room.bench.arrive(slice_(1))
    assert newer == room.instances[0]
    room.reviewing.withdraw()
    assert len(room.sets()) == 4  # somebody has reviewed it


def test_both_are_withdrawn(bench: Bench) -> None:
    room = Room(bench, copies=True, attach=True)
    room.propose()
    assert len(room.sets()) == 2
    bench.delete(room.instances[1])
    room.reviewing.withdraw()
    assert room.sets() == {}


def test_without_its_copies_nothing_is_proposed(bench: Bench) -> None:
    room = Room(bench, copies=True)
    for name in set(bench.archive.files) - set(room.instances):
        bench.archive.remove(name)
    with pytest.raises(ProposalError, match="copy"):
        room.propose()
    assert room.sets() == {}


def test_images_without_a_place_get_a_report_and_its_review(bench: Bench) -> None:
    room = Room(bench)
    room.files = [ct(1), ct(2)]
    bench.archive.files.update(zip(room.instances, room.files, strict=True))
    made = room.proposer.propose(room.sources(), REGIONS, NETWORK)
    assert isinstance(made, Proposal)
    assert room.sets() == {}
    proposed = room.read(made.place.instance)
    assert (proposed.SOPClassUID, proposed.VerificationFlag) == (
        ComprehensiveSRStorage,
        "UNVERIFIED",
    )
    decided = room.decide(made)
    assert room.reviewing.step()
    told = room.review(decided)
    assert told.place is not None, told.reason
    report: Any = srread(BytesIO(bench.archive.files[told.place.instance]))
    assert report.VerificationFlag == "VERIFIED"
    assert report.VerifyingObserverSequence[0].VerifyingObserverName == "Doe^Jane"
    assert report.SeriesInstanceUID == made.place.SeriesInstanceUID
    groups = report.content.get_planar_roi_measurement_groups()
    verdicts = [group.get_qualitative_evaluations()[0].value.value for group in groups]
    assert verdicts == ["ACCEPTED", "REJECTED", "ACCEPTED"]
    edited = [len(group.get_qualitative_evaluations()) == 2 for group in groups]
    assert edited == [True, False, False]
    assert report.content[0].ContentSequence[-1].ContentSequence[0].value == decided.comment
    np.testing.assert_allclose(groups[0].roi.value[:-1] - 0.5, [[1, 1], [4, 1], [4, 5]])
    np.testing.assert_allclose(groups[1].roi.value[:-1] - 0.5, SQUARE + 1.5)
    source = groups[1].roi.ContentSequence[0].ReferencedSOPSequence[0]
    assert source.ReferencedSOPInstanceUID == made.images[1].SOPInstanceUID


def test_without_regions_nothing_is_proposed(room: Room) -> None:
    with pytest.raises(UnwritableStructureSetError, match="regions"):
        room.proposer.propose(room.sources(), [], NETWORK)
    assert room.sets() == {}


@pytest.mark.parametrize("when", ["before", "while it is stored", "while it is recorded"])
def test_an_image_that_arrives_again_meanwhile(room: Room, when: str) -> None:
    sources = room.sources()

    def again(name: str, _about: str) -> None:
        if name == "store":
            room.bench.archive.on_call = lambda _name, _about: None
            if when == "while it is stored":
                room.bench.archive.arrive(room.files[0])
            else:
                room.bench.arrive(room.files[1])  # not the one that the announcement names

    if when == "before":
        room.bench.arrive(room.files[0])
    else:
        room.bench.archive.on_call = again
    assert isinstance(room.proposer.propose(sources, REGIONS, NETWORK), Superseded)
    assert room.sets() == {}
    assert room.bench.ledger.proposals.listed() == []


def test_a_review_of_pixels_that_are_gone_is_superseded(room: Room) -> None:
    decided = room.decide(room.propose())
    room.bench.archive.arrive(room.files[0])  # the ledger does not know it yet
    assert room.reviewing.step()
    assert room.review(decided).state is TaskState.SUPERSEDED
    assert len(room.sets()) == 1


@pytest.mark.parametrize("which", ["proposal", "image"])
def test_what_a_review_needs_and_is_not_there(room: Room, which: str) -> None:
    proposal = room.propose()
    decided = room.decide(proposal)
    gone = proposal.place.instance if which == "proposal" else room.instances[0]
    del room.bench.archive.files[gone]
    assert room.reviewing.step()
    told = room.review(decided)
    assert (told.state, "not stored any more" in told.reason) == (TaskState.FAILED, True)


def test_trouble_of_orthanc_costs_no_review(room: Room) -> None:
    decided = room.decide(room.propose())
    room.bench.archive.down = True
    assert room.reviewing.step()
    told = room.review(decided)
    assert (told.state, told.reason) == (TaskState.PENDING, "")
    assert "does not answer" in room.bench.meter.status.last_error


def test_an_error_of_orthanc_is_tried_again(room: Room) -> None:
    decided = room.decide(room.propose())

    def fails(name: str, _about: str) -> None:
        if name == "store":
            raise PacsFailedError("POST /instances: Orthanc answers HTTP 500")

    room.bench.archive.on_call = fails
    assert room.reviewing.step()
    told = room.review(decided)
    assert (told.state, told.reason[:4]) == (TaskState.PENDING, "POST")


def test_the_thread_goes_on_after_an_error(room: Room) -> None:
    calls: list[str] = []

    def once(name: str, _about: str) -> None:
        calls.append(name)
        if len(calls) == 1:
            raise PacsUnreachableError("nobody")

    decided = room.decide(room.propose())
    room.bench.archive.on_call = once
    assert not room.reviewing.settled
    room.reviewing.start()
    try:
        from tests.unit.runner.bench import eventually

        eventually(lambda: room.review(decided).state is TaskState.DONE)
        assert room.reviewing.settled
    finally:
        assert room.reviewing.stop(10)


def changed(data: bytes) -> bytes:
    dataset = pydicom.dcmread(BytesIO(data))
    dataset.StructureSetLabel = "ANOTHER"
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


@pytest.mark.parametrize("what", ["another object", "deleted"])
@pytest.mark.parametrize("attach", [False, True])
def test_an_approved_object_that_is_not_what_was_stored_is_marked(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, what: str, attach: bool
) -> None:
    room = Room(bench, copies=attach, attach=attach)
    proposal = room.propose()
    decided = room.decide(proposal)
    assert room.reviewing.step()
    told = room.review(decided)
    assert told.place is not None
    name = told.attached if attach else told.place.instance
    room.reviewing.compare()
    assert room.bench.ledger.stored_objects.stale() == 0
    monkeypatch.setattr(reviewing, "_COMPARE_AFTER", -1.0)
    if what == "deleted":
        del bench.archive.files[name]
    else:
        bench.archive.files[name] = changed(bench.archive.files[name])
    room.reviewing.withdraw()
    found = bench.ledger.proposals.find(proposal.place.SOPInstanceUID)
    assert found is not None
    assert found.status is ProposalStatus.APPROVED
    assert ("not stored any more" if what == "deleted" else "SHA-256") in found.stale


def test_a_proposal_that_somebody_has_changed_cannot_be_approved(room: Room) -> None:
    proposal = room.propose()
    decided = room.decide(proposal)
    place = proposal.place.instance
    room.bench.archive.files[place] = changed(room.bench.archive.files[place])
    assert room.reviewing.step()
    told = room.review(decided)
    assert (told.state, "SHA-256" in told.reason) == (TaskState.FAILED, True)
    assert len(room.sets()) == 1


@pytest.mark.parametrize("has_place", [True, False], ids=["structure set", "report"])
def test_the_object_says_whether_who_reviewed_was_authenticated(
    bench: Bench, has_place: bool
) -> None:
    room = Room(bench)
    if not has_place:
        room.files = [ct(1), ct(2)]
        bench.archive.files.update(zip(room.instances, room.files, strict=True))
    proposal = room.proposer.propose(room.sources(), REGIONS, NETWORK)
    assert isinstance(proposal, Proposal)
    proposals = bench.ledger.proposals
    proposals.decide(proposal, 0, ACCEPTED, reviewer="Doe^Jane", account="roe", comment="so")
    proposals.decide(proposal, 1, ACCEPTED, reviewer="Doe^Jane", comment="so")
    while room.reviewing.step():
        pass
    found = bench.ledger.proposals.find(proposal.place.SOPInstanceUID)
    assert found is not None
    names, words = [], []
    for one in found.reviews:
        assert one.place is not None, one.reason
        dataset = room.read(one.place.instance)
        verified = dataset if has_place else dataset.VerifyingObserverSequence[0]
        names.append(str(verified.ReviewerName if has_place else verified.VerifyingObserverName))
        words.append(dataset.to_json())
    assert names == ["roe", "Doe^Jane"]
    assert "authenticated user roe, who gave the name Doe^Jane" in words[0]
    assert "was not authenticated" in words[1]
