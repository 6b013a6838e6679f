"""From the journal into the ledger, as long as the runner lives."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from structlog.typing import EventDict

from preread.ledger.errors import LedgerError
from preread.ledger.journal import Journal
from preread.runner import forwarding as module
from preread.runner.forwarding import Forwarding
from tests.unit.runner.bench import Bench, arrival_of, ct, eventually


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite") as opened:
        yield opened


def forwarding_of(bench: Bench, journal: Journal, moved: list[int]) -> Forwarding:
    return Forwarding(
        journal, bench.ledger, bench.archive, bench.meter, lambda: moved.append(len(moved))
    )


def test_what_is_stored_becomes_work(bench: Bench, journal: Journal) -> None:
    moved: list[int] = []
    forwarding = forwarding_of(bench, journal, moved)
    forwarding.start()
    eventually(lambda: forwarding.settled)
    for number in range(3):
        arrival = arrival_of(ct(number), ["small"])
        journal.arrive(arrival)
        journal.stored(arrival.instance)
    eventually(lambda: bench.states() == {"pending": 3})
    eventually(lambda: moved)
    eventually(lambda: forwarding.settled)
    forwarding.stop(5)


def test_what_a_crash_left_open_is_settled(
    bench: Bench, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "_UNDER_WAY", 0.0)
    there, gone = ct(1), ct(2)
    bench.archive.arrive(there)
    for data in (there, gone):
        journal.arrive(arrival_of(data, ["small"]))
    forwarding = forwarding_of(bench, journal, [])
    forwarding.start()
    eventually(lambda: bench.states() == {"pending": 1})
    eventually(lambda: forwarding.settled)
    assert journal.arriving(0.0) == []
    forwarding.stop(5)


def test_it_goes_on_after_the_ledger_was_out_of_reach(
    bench: Bench, journal: Journal, monkeypatch: pytest.MonkeyPatch, logged: list[EventDict]
) -> None:
    real = bench.ledger.apply
    failures = iter([LedgerError("ledger: away"), ValueError("DOE^JANE")])

    def apply(*args: object) -> None:
        if (error := next(failures, None)) is not None:
            raise error
        real(*args)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(bench.ledger, "apply", apply)
    monkeypatch.setattr(module, "_LONGEST_TROUBLE_PAUSE", 0.05)
    arrival = arrival_of(ct(1), ["small"])
    journal.arrive(arrival)
    journal.stored(arrival.instance)
    forwarding = forwarding_of(bench, journal, [])
    forwarding.start()
    eventually(lambda: bench.states() == {"pending": 1})
    forwarding.stop(5)
    assert "ledger: away" in [event.get("reason") for event in logged]
    assert "ValueError" in bench.meter.status.last_error


def test_an_orthanc_that_is_away_does_not_keep_events_back(bench: Bench, journal: Journal) -> None:
    bench.archive.down = True
    arrival = arrival_of(ct(1), ["small"])
    journal.arrive(arrival)
    journal.stored(arrival.instance)
    forwarding = forwarding_of(bench, journal, [])
    forwarding.start()
    eventually(lambda: bench.states() == {"pending": 1})
    forwarding.stop(5)
