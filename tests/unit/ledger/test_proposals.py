"""What is proposed and decided, and the queue of objects that tell of it."""

from __future__ import annotations

import threading
from dataclasses import replace
from typing import Any

import pytest

from preread.ledger.forwarder import Forwarder
from preread.ledger.journal import Journal
from preread.ledger.proposal import (
    Network,
    NewProposal,
    Proposal,
    ProposalConflictError,
    ProposalImage,
    ProposalStatus,
    ProposedRegion,
    RegionDecision,
    Review,
)
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from tests.unit.ledger.conftest import orthanc_id

PROPOSED, APPROVED = ProposalStatus.PROPOSED, ProposalStatus.APPROVED
REJECTED, SUPERSEDED = ProposalStatus.REJECTED, ProposalStatus.SUPERSEDED
LINE = ((1.0, 2.0), (5.5, 2.0), (5.5, 6.25))
REGIONS = (ProposedRegion(1, 0, 0, LINE, 12.5, 0.9), ProposedRegion(2, 1, 0, LINE, 3.0, 0.4))
BOTH = (RegionDecision(1, "accept"), RegionDecision(2, "reject"))
MADE = ObjectIdentity(orthanc_id("reviewed"), "2.25.82", "2.25.8", "2.25.3")


class Site:
    """A ledger with a series of two images."""

    def __init__(
        self, journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any
    ) -> None:
        self.ledger, self._journal, self._forwarder = ledger, journal, forwarder
        self._arrival_of = arrival_of
        self.generations = [self.arrive(0), self.arrive(1)]

    def arrive(self, number: int) -> int:
        arrival = self._arrival_of(number)
        self._journal.arrive(arrival)
        self._journal.stored(arrival.instance)
        self._forward()
        return dict(self.ledger.generations("", 100))[arrival.instance]

    def delete(self, number: int) -> None:
        self._journal.deleted(self._arrival_of(number).instance)
        self._forward()

    def _forward(self) -> None:
        while self._forwarder.step():
            pass

    def new(self, number: int = 1, **changes: Any) -> NewProposal:
        arrival = self._arrival_of(0)
        place = ObjectIdentity(
            orthanc_id(f"proposal {number}"), f"2.25.8{number}", f"2.25.8{number}0", "2.25.33"
        )
        fields: dict[str, Any] = {
            "place": place,
            "attached": None,
            "series": arrival.series,
            "study": arrival.study,
            "SeriesInstanceUID": arrival.SeriesInstanceUID,
            "StudyInstanceUID": arrival.StudyInstanceUID,
            "shown_series": orthanc_id("copied series"),
            "shown_study": orthanc_id("copied study"),
            "shown_SeriesInstanceUID": "2.25.22",
            "network": Network("U-Net", "2.25.7", "1", "a" * 64),
            "images": tuple(
                ProposalImage(
                    self._arrival_of(one).instance,
                    generation,
                    orthanc_id(f"copy {one}"),
                    f"2.25.9{one}",
                    1,
                )
                for one, generation in enumerate(self.generations)
            ),
            "regions": REGIONS,
        }
        return NewProposal(**(fields | changes))

    def record(self, number: int = 1, **changes: Any) -> Proposal:
        made = self.ledger.proposals.record(self.new(number, **changes))
        assert made is not None
        return made

    def decide(
        self, proposal: Proposal, version: int = 0, *decisions: RegionDecision, by: str = "Doe^Jane"
    ) -> Review:
        return self.ledger.proposals.decide(
            proposal, version, decisions or BOTH, reviewer=by, comment="so"
        )

    def seen(self, number: int = 1) -> Proposal:
        found = self.ledger.proposals.find(f"2.25.8{number}")
        assert found is not None
        return found


@pytest.fixture
def site(journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any) -> Site:
    return Site(journal, ledger, forwarder, arrival_of)


def test_what_is_recorded_is_found(site: Site, clock: Any) -> None:
    new = site.new()
    made = site.record()
    assert made == site.seen() == site.ledger.proposals.of(made.id)
    assert made == site.ledger.proposals.find(new.place.instance)
    assert (made.status, made.version, made.reviews) == (PROPOSED, 0, ())
    assert (made.place, made.images, made.regions) == (new.place, new.images, REGIONS)
    assert made.created == made.updated == clock.now
    shown = made.to_json()
    assert shown["Regions"][0]["Polygon"] == [[1.0, 2.0], [5.5, 2.0], [5.5, 6.25]]
    assert shown["Images"][1] == {
        "ID": orthanc_id("copy 1"),
        "Original": new.images[1].instance,
        "SOPInstanceUID": "2.25.91",
        "Frames": 1,
    }
    assert site.ledger.proposals.find("2.25.999") is None
    assert site.ledger.proposals.find("\0") is None


def test_a_list_names_studies_and_series_of_both_kinds(site: Site) -> None:
    site.record()
    proposals, new = site.ledger.proposals, site.new()
    for study in (new.study, new.StudyInstanceUID, new.shown_study, new.place.StudyInstanceUID):
        assert len(proposals.listed(study=study)) == 1, study
    uids = (new.SeriesInstanceUID, new.shown_SeriesInstanceUID, new.place.SeriesInstanceUID)
    for series in (new.series, new.shown_series, *uids):
        assert len(proposals.listed(series=series)) == 1, series
    assert proposals.listed(study="2.25.999") == proposals.listed(series="\0") == []
    (listed,) = proposals.listed(status=PROPOSED)
    assert proposals.listed(status=APPROVED) == []
    assert (listed.number_of_regions, listed.regions, listed.images) == (2, (), ())
    assert listed.summary()["Regions"] == 2


def test_a_newer_proposal_supersedes_and_the_old_one_is_withdrawn(site: Site) -> None:
    site.record(1)
    site.record(2)
    assert (site.seen(1).status, site.seen(2).status) == (SUPERSEDED, PROPOSED)
    (old,) = site.ledger.proposals.withdrawn()
    assert old.place.SOPInstanceUID == "2.25.81"
    site.ledger.proposals.forget(old)
    assert site.ledger.proposals.withdrawn() == []
    assert site.ledger.proposals.counts()[SUPERSEDED] == 1


@pytest.mark.parametrize(
    "changes",
    [
        {"network": Network("Other", "2.25.71", "1", "b" * 64)},
        {"scope": "2.25.90"},
        {"series": orthanc_id("other series")},
    ],
)
def test_proposals_of_something_else_stand_beside_it(site: Site, changes: Any) -> None:
    site.record(1)
    site.record(2, **changes)
    assert (site.seen(1).status, site.seen(2).status) == (PROPOSED, PROPOSED)


def test_recording_again_changes_only_what_nobody_reviewed(site: Site) -> None:
    first = site.record()
    again = site.record(regions=REGIONS[:1])
    assert (again.id, again.regions) == (first.id, REGIONS[:1])
    assert len(again.images) == 2
    site.decide(again, 0, RegionDecision(1, "accept"))
    assert site.record().status is APPROVED
    assert site.seen().regions == REGIONS[:1]


def test_images_that_changed_are_not_proposed_for(site: Site) -> None:
    old = site.new()
    site.arrive(1)
    assert site.ledger.proposals.record(old) is None
    site.delete(0)
    assert site.ledger.proposals.record(old) is None
    assert site.ledger.proposals.listed() == []


def test_a_late_image_or_a_deleted_one_withdraws(site: Site) -> None:
    site.record()
    assert site.ledger.proposals.withdrawn() == []
    site.arrive(1)
    (old,) = site.ledger.proposals.withdrawn()
    assert old.status is SUPERSEDED
    site.ledger.proposals.forget(old)
    site.generations[1] += 1
    site.generations = list(dict(site.ledger.generations("", 9)).values())
    by_name = dict(site.ledger.generations("", 9))
    site.generations = [by_name[one.instance] for one in site.new().images]
    site.record(2)
    site.delete(0)
    (old,) = site.ledger.proposals.withdrawn()
    assert old.place.SOPInstanceUID == "2.25.82"


def test_a_decision_stands_at_once_and_its_object_follows(site: Site, clock: Any) -> None:
    edited = RegionDecision(1, "accept", LINE)
    review = site.decide(site.record(), 0, edited, BOTH[1])
    assert (review.version, review.outcome, review.state) == (1, APPROVED, TaskState.PENDING)
    seen = site.seen()
    assert (seen.status, seen.version, seen.reviews) == (APPROVED, 1, (review,))
    assert seen.reviews[0].decisions == (edited, BOTH[1])
    lent = site.ledger.reviews.reserve("me", 60)
    assert lent is not None
    assert (lent.id, lent.reviewer, lent.comment) == (review.id, "Doe^Jane", "so")
    assert site.ledger.reviews.reserve("you", 60) is None
    assert site.ledger.reviews.done(lent, MADE, orthanc_id("attached"))
    made = site.ledger.reviews.of(review.id)
    assert made is not None
    assert made.state is TaskState.DONE
    # It lies in the series of its proposal.
    assert made.place == replace(MADE, SeriesInstanceUID="2.25.810", StudyInstanceUID="2.25.33")
    assert made.attached == orthanc_id("attached")
    assert made.to_json()["SOPInstanceUID"] == "2.25.82"


def test_who_saw_an_older_version_is_refused_and_changes_nothing(site: Site) -> None:
    proposal = site.record()
    site.decide(proposal, 0)
    nothing = (RegionDecision(1, "reject"), RegionDecision(2, "reject"))
    for version in (0, 2, -1):
        with pytest.raises(ProposalConflictError, match=r"Doe\^Jane: it is at version 1"):
            site.decide(proposal, version, *nothing, by="Roe^Rick")
    assert len(site.seen().reviews) == 1
    assert site.seen().status is APPROVED
    second = site.decide(site.seen(), 1, *nothing, by="Roe^Rick")
    assert (second.version, site.seen().status) == (2, REJECTED)
    assert [one.reviewer for one in site.seen().reviews] == ["Doe^Jane", "Roe^Rick"]


def test_of_two_at_once_exactly_one_is_heard(site: Site) -> None:
    proposal = site.record()
    outcomes: list[str] = []
    gate = threading.Barrier(8)

    def decide(who: str) -> None:
        gate.wait()
        try:
            site.decide(proposal, 0, by=who)
            outcomes.append(who)
        except ProposalConflictError:
            outcomes.append("refused")

    threads = [threading.Thread(target=decide, args=(f"R{n}",)) for n in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(outcomes)[1:] == ["refused"] * 7
    assert [one.reviewer for one in site.seen().reviews] == sorted(outcomes)[:1]


@pytest.mark.parametrize("what", ["newer", "late", "deleted"])
def test_what_is_superseded_cannot_be_reviewed(site: Site, what: str) -> None:
    proposal = site.record()
    if what == "newer":
        site.record(2)
    elif what == "late":
        site.arrive(0)
    else:
        site.delete(1)
    with pytest.raises(ProposalConflictError, match="superseded"):
        site.decide(proposal, 0)
    assert site.seen().reviews == ()


def test_what_was_reviewed_is_not_withdrawn(site: Site) -> None:
    site.decide(site.record(), 0)
    site.record(2)
    assert site.seen(1).status is SUPERSEDED
    assert site.ledger.proposals.withdrawn() == []
    assert len(site.seen(1).reviews) == 1


def test_tries_pauses_and_the_end_of_them(site: Site, clock: Any) -> None:
    site.decide(site.record(), 0)
    reviews = site.ledger.reviews
    for _ in range(5):
        lent = reviews.reserve("me", 60)
        assert lent is not None
        assert reviews.fail(lent, "Orthanc fails", retry=True)
        assert reviews.reserve("me", 60) is None
        clock.advance(200)
    assert lent is not None
    found = reviews.of(lent.id)
    assert found is not None
    assert (found.state, found.reason) == (TaskState.FAILED, "Orthanc fails")
    assert reviews.counts()[TaskState.FAILED] == 1
    assert not reviews.fail(lent, "again", retry=True)
    assert site.seen().status is APPROVED  # the decision stands


def test_a_lease_that_ran_out_or_a_runner_that_died_returns_it(site: Site, clock: Any) -> None:
    site.decide(site.record(), 0)
    reviews = site.ledger.reviews
    first = reviews.reserve("me", 60)
    assert first is not None
    clock.advance(61)
    second = reviews.reserve("you", 60)
    assert second is not None
    assert not reviews.done(first, MADE)
    assert reviews.release_owner("you") == 1
    third = reviews.reserve("me", 60)
    assert third is not None
    assert reviews.release(third, 5)
    assert reviews.reserve("me", 60) is None
    clock.advance(6)
    fourth = reviews.reserve("me", 60)
    assert fourth is not None
    assert reviews.superseded(fourth)
    found = reviews.of(fourth.id)
    assert found is not None
    assert found.state is TaskState.SUPERSEDED
    assert not reviews.superseded(fourth)


def test_another_node_sees_nothing(site: Site, open_ledger: Any) -> None:
    site.decide(site.record(), 0)
    other = open_ledger(node="elsewhere")
    assert other.proposals.listed() == []
    assert other.proposals.find("2.25.81") is None
    assert other.reviews.reserve("me", 60) is None


def test_an_object_that_is_not_what_was_stored_makes_a_decision_stale(
    site: Site, clock: Any
) -> None:
    hashed = replace(site.new().place, sha256="a" * 64)
    decided = site.decide(site.record(place=hashed), 0)
    stored = site.ledger.stored_objects
    assert stored.due(10, 60) == []  # the proposal is not what counts any more
    lent = site.ledger.reviews.reserve("me", 60)
    assert lent is not None
    made = replace(MADE, sha256="b" * 64)
    assert site.ledger.reviews.done(lent, made, orthanc_id("attached"), "c" * 64)
    (one,) = stored.due(10, 60)
    assert (one.is_review, one.id) == (True, decided.id)
    assert one.hashes == {MADE.instance: "b" * 64, orthanc_id("attached"): "c" * 64}
    stored.compared(one, "")
    assert (stored.due(10, 60), site.seen().stale, stored.stale()) == ([], "", 0)
    clock.advance(61)
    assert stored.due(10, 60) == [one]
    stored.compared(one, "gone")
    (listed,) = site.ledger.proposals.listed()
    assert (site.seen().stale, listed.stale, stored.stale()) == ("gone", "gone", 1)
    # Who decides anew decides about what is there.
    site.decide(site.seen(), 1)
    assert (site.seen().stale, stored.stale()) == ("", 0)


@pytest.mark.parametrize("what", ["late", "deleted"])
def test_a_decision_about_images_that_are_not_as_they_were_is_stale(site: Site, what: str) -> None:
    site.decide(site.record(), 0)
    assert site.seen().stale == ""
    if what == "late":
        site.arrive(1)
    else:
        site.delete(0)
    assert "arrived again or was deleted" in site.seen().stale
    assert site.seen().status is APPROVED
    assert site.seen().to_json()["Stale"] == site.seen().stale
    assert site.ledger.stored_objects.stale() == 1


def test_a_proposal_that_is_not_what_was_stored_is_stale(site: Site) -> None:
    site.record(place=replace(site.new().place, sha256="a" * 64))
    stored = site.ledger.stored_objects
    (one,) = stored.due(10, 60)
    assert not one.is_review
    stored.compared(one, "gone")
    assert (site.seen().stale, stored.stale()) == ("gone", 0)  # nobody has decided
