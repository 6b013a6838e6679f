"""What the journal remembers so that an escaped instance is known."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from preread.ledger.journal import Journal
from tests.unit.runner.bench import arrival_of, ct

OWN, DELETED, NEVER = ("-".join([digit * 8] * 5) for digit in "abc")


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite", clock=clock) as opened:
        yield opened


def at(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)


def test_known_is_what_arrived_and_what_is_our_own(journal: Journal) -> None:
    arrived = arrival_of(ct(1), ["small"])
    journal.arrive(arrived)
    journal.watch.own(OWN)
    journal.deleted(DELETED)
    asked = [arrived.instance, OWN, DELETED, NEVER]
    assert journal.watch.unknown(asked) == {DELETED, NEVER}
    journal.deleted(arrived.instance)
    assert journal.watch.unknown([arrived.instance]) == set()


def test_a_result_in_the_place_of_an_arrival_changes_nothing(journal: Journal) -> None:
    arrived = arrival_of(ct(1), ["small"])
    journal.arrive(arrived)
    before = journal.current(arrived.instance)
    journal.watch.own(arrived.instance)
    assert journal.current(arrived.instance) == before
    assert len(journal.arriving(0)) == 1
    journal.watch.own(OWN)
    journal.deleted(OWN)
    journal.watch.own(OWN)
    assert journal.watch.unknown([OWN]) == set()


def test_covered_is_the_time_in_which_the_hooks_were_at_work(
    journal: Journal, clock: Clock
) -> None:
    watch = journal.watch
    assert not watch.covers(at(1000))
    watch.begin()
    clock.now = 1100
    watch.go_on()
    clock.now = 1200
    watch.go_on(ends=True)
    # For a while Orthanc ran without the plugin.
    clock.now = 1300.5
    watch.begin()
    clock.now = 1400
    watch.go_on()
    covered = [second for second in range(990, 1420) if watch.covers(at(second))]
    # That it ended is not known: it may have worked for a moment longer.
    assert covered == [*range(1000, 1201), *range(1301, 1411)]


def test_how_many_escaped_and_how_far_it_was_compared(journal: Journal) -> None:
    assert (journal.watch.escaped_count(), journal.watch.compared) == (0, 0)
    journal.watch.escaped("C-STORE", "why")
    journal.watch.escaped("REST", "why")
    journal.watch.compared = 17
    assert (journal.watch.escaped_count(), journal.watch.compared) == (2, 17)
    assert [each.origin for each in journal.refusals()] == ["REST", "C-STORE"]
