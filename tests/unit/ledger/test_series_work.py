"""The queue of series in which networks look for regions."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import pytest

from preread.ledger.forwarder import Forwarder
from preread.ledger.journal import Journal
from preread.ledger.series_task import SeriesTask
from preread.ledger.series_work import SeriesWork
from preread.ledger.sql import SqlLedger
from preread.ledger.task import TaskState
from tests.unit.ledger.conftest import Clock, MakeArrival, orthanc_id

SERIES, OTHER = orthanc_id("series"), orthanc_id("another series")
QUIET, LEASE = 10.0, 60.0
PENDING, RUNNING, DONE = TaskState.PENDING, TaskState.RUNNING, TaskState.DONE
UNREAD, FAILED = TaskState.UNREAD, TaskState.FAILED


class Site:
    """A queue, and what may happen in the series that it is about."""

    def __init__(
        self,
        journal: Journal,
        ledger: SqlLedger,
        forwarder: Forwarder,
        arrival_of: MakeArrival,
        clock: Clock,
    ) -> None:
        self.journal, self.clock = journal, clock
        self.work: SeriesWork = ledger.series_work
        self._forwarder, self._arrival_of = forwarder, arrival_of

    def arrive(self, number: int = 0, **changes: Any) -> None:
        arrival = self._arrival_of(number, **changes)
        self.journal.arrive(arrival)
        self.journal.stored(arrival.instance)
        self.forward()

    def delete(self, number: int = 0) -> None:
        self.journal.deleted(orthanc_id(f"instance {number}"))
        self.forward()

    def forward(self) -> None:
        while self._forwarder.step():
            pass

    def lend(self, owner: str = "runner") -> SeriesTask | None:
        return self.work.reserve(owner, LEASE, QUIET)

    def lent(self, owner: str = "runner") -> SeriesTask:
        task = self.lend(owner)
        assert task is not None
        return task

    @property
    def states(self) -> list[TaskState]:
        return [each.state for each in self.work.of_series([SERIES, OTHER])]


@pytest.fixture
def site(
    journal: Journal,
    ledger: SqlLedger,
    forwarder: Forwarder,
    arrival_of: MakeArrival,
    clock: Clock,
) -> Site:
    return Site(journal, ledger, forwarder, arrival_of, clock)


def test_a_series_is_lent_when_nothing_has_come_for_a_while(site: Site) -> None:
    site.arrive(1)
    site.clock.advance(QUIET - 1)
    site.arrive(2)
    site.clock.advance(QUIET - 1)
    assert site.lend() is None
    site.clock.advance(1)
    task = site.lent()
    assert (task.series, task.scope, task.network, task.asked) == (SERIES, "", "", False)
    assert task.state is RUNNING
    assert site.lend() is None
    assert site.work.done(task, "1.2.3", 4, "2.25.9")
    [known] = site.work.of_series([SERIES])
    assert (known.state, known.ran, known.regions, known.proposal) == (DONE, "1.2.3", 4, "2.25.9")
    site.clock.advance(1000)
    assert site.lend() is None


def test_a_late_slice_and_a_deletion_have_it_looked_at_again(site: Site) -> None:
    site.arrive(1)
    site.arrive(2)
    site.clock.advance(QUIET)
    site.work.done(site.lent(), "1.2.3", 1, "2.25.9")
    changes: list[Callable[[], None]] = [
        partial(site.arrive, 3), partial(site.delete, 1), partial(site.arrive, 2),
    ]  # fmt: skip
    for change in changes:
        change()
        assert site.states == [PENDING]
        assert site.lend() is None
        site.clock.advance(QUIET)
        assert site.work.done(site.lent(), "1.2.3", 1, "2.25.9")
    # Events that say nothing new change nothing.
    site.forward()
    assert site.states == [DONE]


def test_what_changes_meanwhile_puts_it_back(site: Site) -> None:
    site.arrive(1)
    site.clock.advance(QUIET)
    task = site.lent()
    assert site.work.extend(task, LEASE)
    site.arrive(2)
    # What is found now is of a series that is no more; nobody else takes it up meanwhile.
    assert not site.work.extend(task, LEASE)
    site.clock.advance(QUIET)
    assert site.lend() is None
    assert site.work.done(task, "1.2.3", 1, "2.25.9")
    assert site.states == [PENDING]
    again = site.lent()
    assert site.work.leave(again, "no network is for it")
    assert site.states == [UNREAD]
    [known] = site.work.of_series([SERIES])
    assert (known.reason, known.ran, known.proposal) == ("no network is for it", "", "")


def test_who_asks_does_not_wait(site: Site) -> None:
    site.arrive(1)
    site.arrive(2, series=OTHER, SeriesInstanceUID="2.25.22")
    site.clock.advance(QUIET)
    image = orthanc_id("instance 1")
    one = site.work.ask(SERIES, image, "1.2.3")
    assert site.work.ask(SERIES, image, "1.2.3").id == one.id
    another = site.work.ask(SERIES, image)
    assert another.id != one.id
    first = site.lent()
    assert (first.scope, first.network, first.asked) == (image, "1.2.3", True)
    assert site.lent().id == another.id
    # Only then what nobody asked for.
    assert {site.lent().series, site.lent().series} == {SERIES, OTHER}
    site.work.done(first, "1.2.3", 0)
    settled = site.work.of(first.id)
    assert settled is not None
    assert (settled.state, settled.asked, settled.proposal) == (DONE, False, "")
    # The same again looks again; an image that arrives does not.
    site.arrive(3)
    settled = site.work.of(first.id)
    assert settled is not None
    assert settled.state is DONE
    assert site.work.ask(SERIES, image, "1.2.3").state is PENDING


def test_a_failure_is_tried_again_with_pauses_and_then_not(site: Site) -> None:
    site.arrive(1)
    site.clock.advance(QUIET)
    for attempt in range(1, 5):
        task = site.lent()
        assert task.attempts == attempt - 1
        assert site.work.fail(task, "Orthanc failed", retry=True)
        assert site.lend() is None
        site.clock.advance(2.0 * 2**attempt)
    assert site.work.fail(site.lent(), "Orthanc failed", retry=True)
    site.clock.advance(1000)
    assert site.lend() is None
    assert site.states == [FAILED]
    site.arrive(2)
    site.clock.advance(QUIET)
    task = site.lent()
    assert task.attempts == 0
    assert site.work.fail(task, "its pixels cannot be read", retry=False)
    assert site.states == [FAILED]


def test_what_a_dead_runner_held_is_taken_back_a_few_times(site: Site) -> None:
    site.arrive(1)
    site.clock.advance(QUIET)
    first = site.lent()
    assert site.work.release_owner("somebody else") == 0
    assert site.work.release_owner("runner") == 1
    second = site.lent()
    assert second.id == first.id
    # The answer of who does not hold it any more does not count.
    assert not site.work.done(first, "1.2.3", 1, "2.25.9")
    assert not site.work.extend(first, LEASE)
    site.clock.advance(LEASE + 1)
    third = site.lent("another")
    assert third.id == first.id
    assert site.work.release_owner("another") == 1
    assert site.states == [FAILED]
    [known] = site.work.of_series([SERIES])
    assert "3 times" in known.reason


def test_given_back_it_waits_for_the_pause(site: Site) -> None:
    site.arrive(1)
    site.clock.advance(QUIET)
    assert site.work.release(site.lent(), 5.0)
    assert site.lend() is None
    site.clock.advance(5)
    assert site.lent().attempts == 0
    assert site.work.counts()[RUNNING] == 1


def test_networks_are_no_images(site: Site) -> None:
    site.arrive(1, network="received", models=(), work=False, reason="trusted")
    site.clock.advance(QUIET)
    assert site.lend() is None
    assert site.states == []


def test_nodes_do_not_see_each_others_series(site: Site, open_ledger: Any) -> None:
    site.arrive(1)
    site.clock.advance(QUIET)
    other = open_ledger(node="other").series_work
    assert other.reserve("runner", LEASE, QUIET) is None
    assert other.of_series([SERIES]) == []
    assert site.lend() is not None
