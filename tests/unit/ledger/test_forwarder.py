"""The journal and the ledger continue each other, whichever of them was lost."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest

from preread.findings.prediction import Prediction
from preread.ledger.errors import LedgerError
from preread.ledger.forwarder import Forwarder
from preread.ledger.job import JobState
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger


def _store(journal: Journal, arrival_of: Any, *numbers: int) -> None:
    for number in numbers:
        journal.arrive(arrival_of(number))
        journal.stored(arrival_of(number).instance)


def _run(forwarder: Forwarder) -> None:
    while forwarder.step():
        pass


def _read_all(ledger: SqlLedger, journal: Journal, prediction: Prediction) -> set[str]:
    """Read what is pending as a runner does, and return what Orthanc's hook would have taken."""
    taken = set()
    for job in ledger.reserve("me", 1000, 60):
        current = journal.current(job.instance)
        if current == (job.generation, False) and ledger.acknowledge(job, [prediction]):
            taken.add(job.instance)
    return taken


def test_events_are_forgotten_once_the_ledger_has_them(
    journal: Journal, forwarder: Forwarder, arrival_of: Any
) -> None:
    _store(journal, arrival_of, *range(700))
    assert [forwarder.step() for _ in range(3)] == [500, 200, 0]
    assert (journal.events_after(0), journal.pruned()) == ([], 700)


def test_a_forwarder_killed_before_it_could_forget_takes_nothing_twice(
    journal: Journal, ledger: SqlLedger, arrival_of: Any
) -> None:
    _store(journal, arrival_of, 1, 2)
    _run(Forwarder(journal, ledger))
    _store(journal, arrival_of, 3)
    ledger.apply(journal.uuid, journal.events_after(2))
    _run(Forwarder(journal, ledger))
    assert ledger.counts()[JobState.PENDING] == 3
    assert journal.pruned() == 3


def test_a_ledger_that_is_away_costs_nothing(
    journal: Journal, ledger: SqlLedger, arrival_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    forwarder = Forwarder(journal, ledger)
    _store(journal, arrival_of, 1)

    def away(*_: object) -> None:
        raise LedgerError("away")

    with monkeypatch.context() as patch:
        patch.setattr(ledger, "apply", away)
        with pytest.raises(LedgerError):
            forwarder.step()
    _run(forwarder)
    assert ledger.counts()[JobState.PENDING] == 1


@pytest.mark.parametrize("seconds", [60.0, -1e9], ids=["clock goes on", "clock was set back"])
def test_a_lost_journal_is_replaced_by_one_that_goes_on(
    *,
    tmp_path: Path,
    ledger: SqlLedger,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
    seconds: float,
) -> None:
    with Journal(tmp_path / "lost.sqlite", clock=clock.seconds) as lost:
        _store(lost, arrival_of, 1, 2, 3)
        _run(Forwarder(lost, ledger))
        (running,) = ledger.reserve("me", 1, 60)
    clock.advance(seconds)
    with Journal(tmp_path / "new.sqlite", clock=clock.seconds) as new:
        _store(new, arrival_of, 2, 4)
        current = new.current(running.instance)
        assert current is None, "a result for it would be discarded"
        ledger.release([running])
        _run(Forwarder(new, ledger))
        clock.advance(1e9 + 10)
        wanted = {arrival_of(number).instance for number in (1, 2, 3, 4)}
        assert _read_all(ledger, new, prediction) == wanted
        assert new.arrive(arrival_of(2)) > max(job.generation for job in ledger.jobs())


def test_a_journal_restored_from_a_backup_goes_on(
    *,
    tmp_path: Path,
    ledger: SqlLedger,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
) -> None:
    path, backup = tmp_path / "journal.sqlite", tmp_path / "backup.sqlite"
    with Journal(path, clock=clock.seconds) as journal:
        _store(journal, arrival_of, 1)
        _run(Forwarder(journal, ledger))
    shutil.copy(path, backup)
    with Journal(path, clock=clock.seconds) as journal:
        _store(journal, arrival_of, 1, 2, 3)
        _run(Forwarder(journal, ledger))
    for leftover in tmp_path.glob("journal.sqlite*"):
        leftover.unlink()
    with Journal(backup, clock=clock.seconds) as journal:
        _store(journal, arrival_of, 1, 4)
        _run(Forwarder(journal, ledger))
        wanted = {arrival_of(number).instance for number in (1, 2, 3, 4)}
        assert _read_all(ledger, journal, prediction) == wanted


def test_a_new_ledger_learns_all_that_the_journal_knows(
    *,
    tmp_path: Path,
    journal: Journal,
    ledger: SqlLedger,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
) -> None:
    _store(journal, arrival_of, 1, 2, 3)
    journal.deleted(arrival_of(3).instance)
    _run(Forwarder(journal, ledger))
    other = SqlLedger(f"sqlite:///{tmp_path}/other.sqlite", clock=clock)
    _store(journal, arrival_of, 4)
    _run(Forwarder(journal, other))
    wanted = {arrival_of(number).instance for number in (1, 2, 4)}
    assert _read_all(other, journal, prediction) == wanted
    other.close()


def test_a_ledger_restored_from_a_backup_learns_what_it_missed(
    *,
    tmp_path: Path,
    journal: Journal,
    arrival_of: Any,
    clock: Any,
    prediction: Prediction,
) -> None:
    path, backup = tmp_path / "ledger.sqlite", tmp_path / "backup.sqlite"
    ledger = SqlLedger(f"sqlite:///{path}", clock=clock)
    _store(journal, arrival_of, 1)
    _run(Forwarder(journal, ledger))
    ledger.close()
    shutil.copy(path, backup)
    ledger = SqlLedger(f"sqlite:///{path}", clock=clock)
    _store(journal, arrival_of, 1, 2)
    _run(Forwarder(journal, ledger))
    ledger.close()
    restored = SqlLedger(f"sqlite:///{backup}", clock=clock)
    _run(Forwarder(journal, restored))
    wanted = {arrival_of(number).instance for number in (1, 2)}
    assert _read_all(restored, journal, prediction) == wanted
    restored.close()
