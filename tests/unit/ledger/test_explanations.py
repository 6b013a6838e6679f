"""The queue of what is to be explained."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from preread.findings.prediction import Prediction
from preread.ledger.explanation import Explanation, Wanted
from preread.ledger.explanations import Explanations
from preread.ledger.forwarder import Forwarder
from preread.ledger.job import Level
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from tests.unit.ledger.conftest import orthanc_id

WANTED = Wanted("MobileNetV2", "Malignant", 0, 0.8)
OTHER = Wanted("MobileNetV2", "Benign", 1, 0.4)
PLACE = ObjectIdentity(orthanc_id("map"), "2.25.71", "2.25.72", "2.25.3")
DONE, FAILED = TaskState.DONE, TaskState.FAILED
PENDING, SUPERSEDED = TaskState.PENDING, TaskState.SUPERSEDED


class Site:
    """A ledger with one image, and what may happen to it."""

    def __init__(
        self,
        journal: Journal,
        ledger: SqlLedger,
        forwarder: Forwarder,
        arrival: Any,
        prediction: Prediction,
    ) -> None:
        self.ledger, self.journal, self._forwarder = ledger, journal, forwarder
        self._arrival, self._prediction = arrival, prediction
        self.queue = ledger.explanations
        self.instance: str = arrival.instance
        self.arrive()

    def arrive(self) -> None:
        self.journal.arrive(self._arrival)
        self.journal.stored(self.instance)
        self._forward()

    def delete(self) -> None:
        self.journal.deleted(self.instance)
        self._forward()

    def _forward(self) -> None:
        while self._forwarder.step():
            pass

    def read(self, *wanted: Wanted) -> None:
        (job,) = self.ledger.reserve("me", 1, 60)
        assert self.ledger.acknowledge(job, [self._prediction], wanted)

    def ask(self, *wanted: Wanted) -> list[Explanation]:
        return self.queue.ask(self.instance, wanted or (WANTED,))

    def take(self, owner: str = "me") -> Explanation:
        found = self.queue.reserve(owner, 300)
        assert found is not None
        return found

    def make(self) -> Explanation:
        explanation = self.take()
        assert self.queue.done(explanation, PLACE, 0.75)
        return explanation

    @property
    def states(self) -> list[TaskState]:
        return [one.state for one in self.queue.of(self.instance)]


@pytest.fixture
def site(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: Any, prediction: Any
) -> Site:
    made = Site(journal, ledger, forwarder, arrival_of(), prediction)
    made.read()
    return made


def test_what_is_asked_is_lent_and_done(site: Site, clock: Any) -> None:
    (asked,) = site.ask()
    assert (asked.state, asked.wanted, asked.asked) == (PENDING, WANTED, True)
    lent = site.take()
    assert (lent.instance, lent.generation) == (site.instance, asked.generation)
    assert site.queue.reserve("you", 300) is None
    assert site.queue.done(lent, PLACE, 0.75)
    (done,) = site.queue.of(site.instance)
    assert (done.state, done.map, done.wanted.probability) == (DONE, PLACE, 0.75)
    assert done.updated == clock.now
    shown = done.to_json()
    assert (shown["ID"], shown["SOPInstanceUID"]) == (PLACE.instance, "2.25.71")
    assert (shown["State"], shown["Class"], shown["Frame"]) == ("done", "Malignant", 0)


def test_a_class_that_was_not_given_has_no_probability(site: Site, prediction: Prediction) -> None:
    withheld = replace(prediction, withheld="unlike its training data")
    wanted = Wanted.of("MobileNetV2", withheld, "Malignant")
    assert wanted == Wanted("MobileNetV2", "Malignant", 0, None)
    assert Wanted.of("MobileNetV2", withheld, "Benign", 1).frame == 1
    site.ask(wanted)
    assert site.queue.done(site.take(), PLACE, None)
    (done,) = site.queue.of(site.instance)
    assert (done.wanted, done.to_json()["Probability"]) == (wanted, None)
    with pytest.raises(ValueError, match="no class"):
        Wanted.of("MobileNetV2", withheld)


def test_asking_again_replaces(site: Site) -> None:
    (first,) = site.ask()
    (same,) = site.ask()
    assert same.id == first.id
    lent = site.take()
    (under_way,) = site.ask()
    assert under_way.state is TaskState.RUNNING
    assert site.queue.done(lent, PLACE, 0.75)
    (again,) = site.ask(replace(WANTED, probability=0.9))
    assert (again.id, again.state, again.map) == (first.id, PENDING, PLACE)
    assert again.wanted.probability == 0.9
    assert len(site.queue.of(site.instance)) == 1


def test_classes_and_frames_are_told_apart(site: Site) -> None:
    several = [WANTED, OTHER, replace(WANTED, frame=2), replace(WANTED, model="InceptionV3")]
    assert [one.wanted for one in site.ask(*several)] == several
    assert len({one.id for one in site.queue.of(site.instance)}) == 4


@pytest.mark.parametrize("instance", [orthanc_id("nobody"), "1.2.3", ""])
def test_nothing_is_asked_of_what_is_not_there(site: Site, instance: str) -> None:
    assert site.queue.ask(instance, [WANTED]) == []
    assert site.queue.of(instance) == []


def test_who_waits_goes_before_a_threshold(site: Site, arrival_of: Any) -> None:
    site.arrive()
    site.read(OTHER)
    site.ask(WANTED)
    assert [site.take().wanted, site.take().wanted] == [WANTED, OTHER]


def test_a_threshold_is_written_down_with_the_result(site: Site) -> None:
    site.arrive()
    site.read(WANTED, OTHER)
    found = site.queue.of(site.instance)
    assert [one.wanted for one in found] == [WANTED, OTHER]
    assert [one.asked for one in found] == [False, False]
    (result,) = site.ledger.results(Level.INSTANCE, site.instance)
    assert result.record.generation == found[0].generation


def test_a_failure_is_tried_again_and_then_told(site: Site, clock: Any) -> None:
    site.ask()
    for _ in range(2):
        assert site.queue.fail(site.take(), "Orthanc answers HTTP 500", retry=True)
        assert site.states == [PENDING]
        assert site.queue.reserve("me", 300) is None  # not at once
        clock.advance(60)
    assert site.queue.fail(site.take(), "Orthanc answers HTTP 500", retry=True)
    (failed,) = site.queue.of(site.instance)
    assert (failed.state, failed.reason) == (FAILED, "Orthanc answers HTTP 500")
    assert site.queue.reserve("me", 300) is None
    site.ask()
    assert site.take().attempts == 0


def test_what_does_not_get_better_fails_at_once(site: Site) -> None:
    site.ask()
    assert site.queue.fail(site.take(), "x" * 5000, retry=False)
    (failed,) = site.queue.of(site.instance)
    assert (failed.state, len(failed.reason)) == (FAILED, 1000)


def test_a_runner_that_dies_loses_nothing(site: Site, clock: Any) -> None:
    site.ask()
    dead = site.take("dead")
    assert site.queue.release_owner("another") == 0
    assert site.queue.release_owner("dead") == 1
    lent = site.take()
    assert lent.id == dead.id
    assert not site.queue.done(dead, PLACE, 0.5)  # it was not dead at all, only slow
    assert not site.queue.fail(dead, "late", retry=True)
    assert not site.queue.superseded(dead)
    assert not site.queue.release(dead)
    clock.advance(301)
    assert site.take().id == dead.id  # and a lease runs out


def test_what_brings_the_runner_down_ends_as_failed(site: Site) -> None:
    site.ask(WANTED, OTHER)
    first = site.take()
    assert site.queue.release_owner("me") == 1
    # The others are not held up by it.
    second = site.take()
    assert second.id != first.id
    assert site.queue.done(second, PLACE, 0.5)
    for _ in range(2):
        assert site.take().id == first.id
        site.queue.release_owner("me")
    assert site.queue.reserve("me", 300) is None
    assert site.states == [FAILED, DONE]
    assert "ended 3 times" in site.queue.of(site.instance)[0].reason


def test_what_is_given_back_is_lent_after_a_pause(site: Site, clock: Any) -> None:
    site.ask()
    assert site.queue.release(site.take(), 5.0)
    assert site.queue.reserve("me", 300) is None
    clock.advance(6)
    assert site.take().attempts == 0


def test_other_pixels_are_explained_anew(site: Site) -> None:
    site.ask()
    site.make()
    site.arrive()
    assert site.queue.of(site.instance) == []  # of the pixels that are there now
    assert [one.map for one in site.queue.withdrawn()] == [PLACE]
    site.read()
    (again,) = site.queue.of(site.instance)
    assert (again.state, again.map) == (PENDING, PLACE)
    assert site.queue.withdrawn() == []
    assert site.make().generation == again.generation


def test_an_answer_for_older_pixels_does_not_count(site: Site) -> None:
    site.ask()
    slow = site.take()
    site.arrive()
    site.read()
    assert not site.queue.done(slow, PLACE, 0.5)
    assert site.states == [PENDING]


def test_pictures_of_what_was_deleted_are_withdrawn(site: Site) -> None:
    site.ask()
    site.make()
    site.delete()
    (stale,) = site.queue.withdrawn()
    assert stale.map == PLACE
    site.queue.forget_map(stale)
    assert site.queue.withdrawn() == []
    assert site.queue.ask(site.instance, [WANTED]) == []
    assert site.queue.counts()[SUPERSEDED] == 1


def test_a_picture_that_could_not_be_made_anew_is_withdrawn(site: Site) -> None:
    site.ask()
    site.make()
    site.ask()
    site.queue.fail(site.take(), "the model is not there any more", retry=False)
    (stale,) = site.queue.withdrawn()
    site.queue.forget_map(stale)
    (failed,) = site.queue.of(site.instance)
    assert (failed.state, failed.map) == (FAILED, None)
    assert site.queue.withdrawn() == []


def test_a_picture_that_was_made_anew_meanwhile_is_not_forgotten(site: Site) -> None:
    site.ask()
    site.make()
    site.delete()
    (stale,) = site.queue.withdrawn()
    site.arrive()
    site.read()
    other = replace(PLACE, instance=orthanc_id("another map"))
    assert site.queue.done(site.take(), other, 0.5)
    site.queue.forget_map(stale)
    assert [one.map for one in site.queue.of(site.instance)] == [other]


def test_an_image_that_is_gone_supersedes(site: Site) -> None:
    site.ask()
    assert site.queue.superseded(site.take())
    assert site.states == [SUPERSEDED]
    assert "meanwhile" in site.queue.of(site.instance)[0].reason


def test_nodes_do_not_see_each_other(site: Site, open_ledger: Any) -> None:
    site.ask()
    other: Explanations = open_ledger(node="another").explanations
    assert other.reserve("me", 300) is None
    assert other.of(site.instance) == []
    assert other.counts()[PENDING] == 0
    assert site.queue.counts()[PENDING] == 1


def test_what_is_meant_without_being_said(prediction: Prediction) -> None:
    # Benign 0.3, Malignant 0.7; frames (0.2, 0.8) and (0.4, 0.6)
    assert Wanted.of("m", prediction) == Wanted("m", "Malignant", 0, 0.8)
    assert Wanted.of("m", prediction, "Benign") == Wanted("m", "Benign", 1, 0.4)
    assert Wanted.of("m", prediction, None, 1) == Wanted("m", "Malignant", 1, 0.6)
