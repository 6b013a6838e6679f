"""Several processes at once, and processes that are killed."""

from __future__ import annotations

import random
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from preread.ledger.forwarder import Forwarder
from preread.ledger.job import JobState
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture
def start() -> Iterator[Start]:
    started: list[subprocess.Popen[str]] = []

    def run(*arguments: object) -> subprocess.Popen[str]:
        process = subprocess.Popen(
            [sys.executable, str(Path(__file__).with_name("child.py")), *map(str, arguments)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        started.append(process)
        return process

    yield run
    for process in started:
        process.kill()
        process.communicate()


def _line(process: subprocess.Popen[str]) -> list[str]:
    assert process.stdout is not None
    return process.stdout.readline().split()


def _go(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert _line(process) == ["ready"]
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("go\n")
        process.stdin.flush()


def _store(journal: Journal, arrival_of: Any, count: int) -> None:
    for number in range(count):
        journal.arrive(arrival_of(number))
        journal.stored(arrival_of(number).instance)


def test_two_processes_never_hold_the_same_job(
    journal: Journal, open_ledger: Any, url: str, arrival_of: Any, start: Start
) -> None:
    ledger: SqlLedger = open_ledger(clock=None)
    _store(journal, arrival_of, 90)
    forwarder = Forwarder(journal, ledger)
    while forwarder.step():
        pass
    processes = [start("reserve", url, owner) for owner in ("a", "b")]
    _go(*processes)
    first = [[_line(process) for _ in range(3)] for process in processes]
    _go(*processes)
    told = [process.communicate()[0].splitlines() for process in processes]
    assert all(process.returncode == 0 for process in processes)
    lines = [line.split() for text in told for line in text] + [line for f in first for line in f]
    assert {what for what, _ in lines} == {"reserved"}
    assert len(lines) == len({number for _, number in lines}) == 90
    assert ledger.counts() == {**dict.fromkeys(JobState, 0), JobState.DONE: 90}


def test_processes_may_open_a_new_ledger_at_the_same_time(url: str, start: Start) -> None:
    processes = [start("connect", url) for _ in range(3)]
    _go(*processes)
    assert [process.communicate()[0] for process in processes] == ["opened\n"] * 3


def test_what_returned_survives_a_kill(tmp_path: Path, start: Start) -> None:
    path = tmp_path / "journal.sqlite"
    chance = random.Random(2)
    arrived: dict[str, int] = {}
    stored: set[str] = set()
    for turn in range(6):
        process = start("arrive", path, turn)
        for _ in range(chance.randrange(1, 120)):
            what, uid, *generation = _line(process)
            if what == "arrived":
                arrived[uid] = int(generation[0])
            else:
                stored.add(uid)
        process.kill()
        # What was told between the last line that was read and the kill counts too.
        for line in process.communicate()[0].splitlines(keepends=True):
            if line.endswith("\n") and line.startswith("stored"):
                stored.add(line.split()[1])
    with Journal(path) as journal:
        events = journal.events_after(0, 1_000_000)
        known = {event.arrival.SOPInstanceUID for event in events if event.arrival is not None}
        assert stored <= known
        assert [event.seq for event in events] == list(range(1, len(events) + 1))
        from_journal = {e.arrival.SOPInstanceUID: e.generation for e in events if e.arrival}
        waiting = journal.arriving(-60)
        for uid, told in arrived.items():
            assert from_journal.get(uid, told) == told
        assert len(waiting) <= 6, "at most one per kill was between the two calls"
        assert len(known) + len(waiting) >= len(arrived)


def test_a_runner_that_is_killed_again_and_again_loses_nothing(
    tmp_path: Path, url: str, open_ledger: Any, arrival_of: Any, start: Start
) -> None:
    ledger: SqlLedger = open_ledger(clock=None)
    chance = random.Random(3)
    with Journal(tmp_path / "journal.sqlite", busy_timeout=10) as journal:
        _store(journal, arrival_of, 60)
        for turn in range(4):
            process = start("work", journal.path, url)
            assert _line(process) == ["ready"]
            for _ in range(chance.randrange(0, 8)):
                _line(process)
            process.kill()
            process.wait()
            _store(journal, lambda n, t=turn: arrival_of(50 + 5 * t + n), 5)
        process = start("work", journal.path, url)
        while (line := _line(process)) != ["idle"]:
            assert line, "it ended"
        process.kill()
        process.wait()
        done = {job.instance: job for job in ledger.jobs(JobState.DONE, limit=1000)}
        for number in range(70):
            current = journal.current(arrival_of(number).instance)
            assert current is not None
            assert done[arrival_of(number).instance].generation == current.generation
        counts = ledger.counts()
        assert (counts[JobState.FAILED], counts[JobState.PENDING], counts[JobState.RUNNING]) == (
            0,
            0,
            0,
        )
