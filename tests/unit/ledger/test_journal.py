from __future__ import annotations

import sqlite3
import stat
import threading
from pathlib import Path
from typing import Any

import pytest

from preread.ledger.arrival import Current, EventKind
from preread.ledger.errors import JournalCorrupt, JournalError
from preread.ledger.forwarder import reconcile
from preread.ledger.journal import Journal


def test_the_file_is_for_its_owner_only(tmp_path: Path, arrival_of: Any) -> None:
    path = tmp_path / "new" / "journal.sqlite"
    with Journal(path) as journal:
        journal.arrive(arrival_of())
        modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in path.parent.iterdir()}
    assert modes == dict.fromkeys(
        ("journal.sqlite", "journal.sqlite-wal", "journal.sqlite-shm"), 0o600
    )
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700


def test_generations_rise_with_each_arrival(journal: Journal, arrival_of: Any) -> None:
    first = journal.arrive(arrival_of())
    assert journal.current(arrival_of().instance) == Current(first, deleted=False)
    journal.stored(arrival_of().instance)
    assert journal.arrive(arrival_of()) == first + 1
    assert journal.current(arrival_of(1).instance) is None


def test_a_stored_instance_travels_whole(journal: Journal, arrival_of: Any, clock: Any) -> None:
    generation = journal.arrive(arrival_of())
    assert journal.events_after(0) == []
    clock.advance(3)
    assert journal.stored(arrival_of().instance)
    (event,) = journal.events_after(0)
    assert (event.seq, event.kind, event.generation) == (1, EventKind.STORED, generation)
    assert (event.arrival, event.time) == (arrival_of(), clock.now)


def test_two_stores_of_one_instance_at_a_time_end_in_a_new_generation(
    journal: Journal, arrival_of: Any
) -> None:
    older, newer = arrival_of(Modality="CR"), arrival_of(Modality="CT")
    journal.arrive(older)
    generation = journal.arrive(newer)
    journal.stored(newer.instance)
    journal.stored(newer.instance)
    assert [event.generation for event in journal.events_after(0)] == [generation, generation + 1]
    assert all(event.arrival == newer for event in journal.events_after(0))


def test_what_was_stored_without_arriving_is_an_error(journal: Journal, arrival_of: Any) -> None:
    with pytest.raises(JournalError, match="never arrived"):
        journal.stored(arrival_of().instance)
    assert journal.last_seq() == 0


def test_a_deletion_raises_the_generation(journal: Journal, arrival_of: Any) -> None:
    arrival = arrival_of()
    generation = journal.arrive(arrival)
    journal.stored(arrival.instance)
    assert journal.deleted(arrival.instance) == generation + 1
    assert journal.current(arrival.instance) == Current(generation + 1, deleted=True)
    event = journal.events_after(0)[-1]
    assert (event.kind, event.arrival) == (EventKind.DELETED, arrival)
    assert journal.arrive(arrival) == generation + 2
    assert journal.current(arrival.instance) == Current(generation + 2, deleted=False)


def test_the_deletion_of_an_unknown_instance_is_kept_too(journal: Journal, arrival_of: Any) -> None:
    journal.deleted(arrival_of().instance)
    (event,) = journal.events_after(0)
    assert (event.kind, event.arrival) == (EventKind.DELETED, None)


def test_what_never_reached_the_database_is_found_and_settled(
    journal: Journal, arrival_of: Any, clock: Any
) -> None:
    there, gone, late = arrival_of(1), arrival_of(2), arrival_of(3)
    journal.arrive(there)
    journal.arrive(gone)
    clock.advance(100)
    journal.arrive(late)
    assert [a.instance for a in journal.arriving(60)] == [there.instance, gone.instance]
    assert reconcile(journal, {there.instance}.__contains__, older_than_seconds=60) == 2
    assert [(e.kind, e.instance) for e in journal.events_after(0)] == [
        (EventKind.STORED, there.instance),
        (EventKind.DELETED, gone.instance),
    ]
    assert [a.instance for a in journal.arriving(0)] == [late.instance]


def test_reconciliation_leaves_alone_what_was_settled_meanwhile(
    journal: Journal, arrival_of: Any
) -> None:
    arrival = arrival_of()
    journal.arrive(arrival)

    def stored_while_asked(instance: str) -> bool:
        journal.stored(instance)
        return True

    assert reconcile(journal, stored_while_asked, older_than_seconds=0) == 0
    assert journal.last_seq() == 1


def test_an_arrival_that_was_abandoned_may_still_be_stored(
    journal: Journal, arrival_of: Any
) -> None:
    arrival = arrival_of()
    generation = journal.arrive(arrival)
    assert journal.abandon(arrival.instance)
    assert not journal.abandon(arrival.instance)
    journal.stored(arrival.instance)
    assert journal.current(arrival.instance) == Current(generation + 2, deleted=False)


def test_refusals_are_a_ring_with_a_count(journal: Journal) -> None:
    for number in range(1010):
        journal.refuse("C-STORE", f"reason {number}")
    assert journal.refused_count() == 1010
    assert [refusal.reason for refusal in journal.refusals(2)] == ["reason 1009", "reason 1008"]
    assert len(journal.refusals(5000)) == 1000


def test_what_is_remembered_survives_a_restart(tmp_path: Path, arrival_of: Any) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path) as journal:
        assert journal.key_fingerprint is None
        journal.key_fingerprint = "ab" * 8
        journal.refuse("REST", "reason")
        generation = journal.arrive(arrival_of())
        identity = journal.uuid
    with Journal(path) as journal:
        assert (journal.uuid, journal.key_fingerprint) == (identity, "ab" * 8)
        assert journal.refused_count() == 1
        assert journal.arrive(arrival_of()) == generation + 1


def test_pruned_events_are_gone_and_their_numbers_are_not_used_again(
    journal: Journal, arrival_of: Any
) -> None:
    for number in range(3):
        journal.arrive(arrival_of(number))
        journal.stored(arrival_of(number).instance)
    journal.prune(3)
    assert (journal.events_after(0), journal.pruned()) == ([], 3)
    journal.deleted(arrival_of().instance)
    assert [event.seq for event in journal.events_after(0)] == [4]


def test_a_new_journal_begins_above_a_lost_one(tmp_path: Path, arrival_of: Any, clock: Any) -> None:
    with Journal(tmp_path / "lost.sqlite", clock=clock.seconds) as lost:
        highest = [lost.arrive(arrival_of()) for _ in range(100)][-1]
    clock.advance(1)
    with Journal(tmp_path / "new.sqlite", clock=clock.seconds) as new:
        assert new.arrive(arrival_of()) > highest


def test_a_journal_made_with_a_slow_clock_is_raised(journal: Journal, arrival_of: Any) -> None:
    generation = journal.arrive(arrival_of())
    journal.stored(arrival_of().instance)
    assert journal.rebase(generation + 5)
    assert not journal.rebase(generation + 5)
    raised = journal.current(arrival_of().instance)
    assert raised is not None
    assert raised.generation > generation + 5
    assert journal.events_after(0)[0].generation == raised.generation
    assert journal.arrive(arrival_of(1)) > generation + 5


def test_threads_may_share_a_journal(journal: Journal, arrival_of: Any) -> None:
    generations: list[int] = []

    def work(number: int) -> None:
        for turn in range(25):
            own, shared = arrival_of(number * 100 + turn), arrival_of(999)
            journal.arrive(own)
            generations.append(journal.arrive(shared))
            journal.stored(own.instance)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(set(generations)) == 200
    assert len({event.instance for event in journal.events_after(0, 1000)}) == 200


def test_another_process_that_writes_is_waited_for_a_bounded_time(
    tmp_path: Path, arrival_of: Any
) -> None:
    path = tmp_path / "journal.sqlite"
    with Journal(path, busy_timeout=0.05) as journal:
        other = sqlite3.connect(path, isolation_level=None)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(JournalError, match="another process holds it"):
            journal.arrive(arrival_of())
        assert journal.current(arrival_of().instance) is None
        other.execute("ROLLBACK")
        other.close()
        assert journal.arrive(arrival_of())


def test_a_journal_that_was_removed_takes_nothing_more(journal: Journal, arrival_of: Any) -> None:
    journal.path.unlink()
    with pytest.raises(JournalError, match="removed or replaced"):
        journal.arrive(arrival_of())


def test_a_newer_version_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    Journal(path).close()
    with sqlite3.connect(path) as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(JournalError, match="newer Preread"):
        Journal(path)


def test_another_programs_database_is_not_touched(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    with sqlite3.connect(path) as database:
        database.execute("CREATE TABLE instance (a)")
    database.close()
    with pytest.raises(JournalCorrupt, match="another program"):
        Journal(path)


def test_what_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "journal.sqlite"
    path.write_bytes(b"something else" * 1000)
    with pytest.raises(JournalCorrupt, match="SQLITE_NOTADB"):
        Journal(path)


def _filled(path: Path, arrival_of: Any) -> None:
    with Journal(path) as journal:
        for number in range(200):
            journal.arrive(arrival_of(number))
            journal.stored(arrival_of(number).instance)


def test_overwritten_pages_are_found_when_it_is_opened(tmp_path: Path, arrival_of: Any) -> None:
    path = tmp_path / "journal.sqlite"
    _filled(path, arrival_of)
    data = bytearray(path.read_bytes())
    data[8 * 4096 : 20 * 4096] = b"\xa5" * (12 * 4096)
    path.write_bytes(data)
    with pytest.raises(JournalCorrupt, match="restore the file, or move it away"):
        Journal(path)


def test_a_truncated_file_is_found_when_it_is_opened(tmp_path: Path, arrival_of: Any) -> None:
    path = tmp_path / "journal.sqlite"
    _filled(path, arrival_of)
    path.write_bytes(path.read_bytes()[: 5 * 4096])
    with pytest.raises(JournalCorrupt):
        Journal(path)


def test_an_event_that_cannot_be_read_is_corruption(journal: Journal, arrival_of: Any) -> None:
    journal.arrive(arrival_of())
    journal.stored(arrival_of().instance)
    with sqlite3.connect(journal.path) as database:
        database.execute("UPDATE event SET record = '{'")
    database.close()
    with pytest.raises(JournalCorrupt, match="an event cannot be read"):
        journal.events_after(0)


def test_a_folder_in_its_place_is_refused(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="expected a file"):
        Journal(tmp_path)
