"""Whatever happens in whatever order, the newest pixels end with exactly one result."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, precondition, rule, run_state_machine_as_test

from preread.findings.prediction import Prediction
from preread.ledger.forwarder import Forwarder, reconcile
from preread.ledger.job import Job, JobState, Level
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger

_COUNT = 2
_INSTANCES = st.integers(0, _COUNT - 1)


class Node(RuleBasedStateMachine):
    """Orthanc as a dictionary of pixel versions, with the real journal, ledger and forwarder."""

    def __init__(self, folder: Path, arrival_of: Any, prediction: Prediction) -> None:
        super().__init__()
        self._arrival_of = arrival_of
        self._prediction = prediction
        self._now = datetime(2026, 11, 21, tzinfo=UTC)
        self._journal = Journal(folder / "journal.sqlite", clock=self._seconds)
        self._ledger = SqlLedger(
            f"sqlite:///{folder}/ledger.sqlite", clock=lambda: self._now, max_attempts=1000
        )
        self._forwarder = Forwarder(self._journal, self._ledger)
        self._versions = itertools.count(1)
        self._passed: list[tuple[int, int]] = []
        self._stored: dict[int, int] = {}
        self._block: dict[int, int] = {}
        self._held: list[tuple[Job, int | None]] = []

    def _seconds(self) -> float:
        return self._now.timestamp()

    def _instance(self, number: int) -> str:
        identifier: str = self._arrival_of(number).instance
        return identifier

    def _number(self, job: Job) -> int:
        return next(number for number in range(_COUNT) if self._instance(number) == job.instance)

    @rule(number=_INSTANCES)
    def receive(self, number: int) -> None:
        """An image passes the receive hook."""
        self._journal.arrive(self._arrival_of(number))
        self._passed.append((number, next(self._versions)))

    @precondition(lambda self: self._passed)
    @rule(data=st.data())
    def store(self, data: st.DataObject) -> None:
        """Orthanc stores one of those that passed; not always the first."""
        number, version = self._passed.pop(data.draw(st.integers(0, len(self._passed) - 1)))
        self._stored[number] = version
        self._block.pop(number, None)
        self._journal.stored(self._instance(number))

    @precondition(lambda self: self._passed)
    @rule()
    def lose(self) -> None:
        """Orthanc could not store it."""
        self._passed.pop(0)

    @rule(number=_INSTANCES)
    def delete(self, number: int) -> None:
        if self._stored.pop(number, None) is not None:
            self._block.pop(number, None)
            self._journal.deleted(self._instance(number))

    @rule(number=_INSTANCES)
    def analyze(self, number: int) -> None:
        self._ledger.request([self._instance(number)])

    @rule()
    def forward(self) -> None:
        self._forwarder.step()

    @rule()
    def forward_in_a_new_process(self) -> None:
        self._forwarder = Forwarder(self._journal, self._ledger)
        self._forwarder.step()

    @rule(limit=st.integers(1, 3))
    def reserve(self, limit: int) -> None:
        """The runner reserves and fetches."""
        jobs = self._ledger.reserve("runner", limit, 60)
        self._held += [(job, self._stored.get(self._number(job))) for job in jobs]

    def _write(self, job: Job, version: int | None) -> bool:
        """Post a result; the hook compares generations."""
        if self._journal.current(job.instance) != (job.generation, False):
            return False
        number = self._number(job)
        assert self._stored[number] == version, "a result for other pixels would be stored"
        self._block[number] = self._stored[number]
        return True

    @precondition(lambda self: self._held)
    @rule(crash=st.booleans())
    def finish(self, *, crash: bool) -> None:
        job, version = self._held.pop(0)
        if version is None:
            self._ledger.fail(job, "not there", retry=True)
        elif not self._write(job, version):
            self._ledger.superseded(job)
        elif not crash:
            self._ledger.acknowledge(job, [self._prediction])

    @precondition(lambda self: self._held)
    @rule()
    def fail(self) -> None:
        self._ledger.fail(self._held.pop()[0], "a reason")

    @rule()
    def restart(self) -> None:
        self._held.clear()
        self._ledger.release_owner("runner")

    @rule()
    def wait(self) -> None:
        self._now += timedelta(seconds=61)

    def teardown(self) -> None:
        """Let everything come to rest, and look at what is there."""
        self._passed.clear()
        there = {self._instance(number) for number in self._stored}
        reconcile(self._journal, there.__contains__, older_than_seconds=0)
        while self._forwarder.step():
            pass
        self._now += timedelta(days=1)
        for _ in range(10):
            self.reserve(limit=3)
            while self._held:
                self.finish(crash=False)
            self._now += timedelta(days=1)
        counts = self._ledger.counts()
        assert counts[JobState.PENDING] == counts[JobState.RUNNING] == counts[JobState.FAILED] == 0
        assert self._block == self._stored
        for number in range(_COUNT):
            results = self._ledger.results(Level.INSTANCE, self._instance(number))
            assert len(results) == (number in self._stored)
            assert all(len(result.predictions) == 1 for result in results)
        self._ledger.close()
        self._journal.close()


def test_the_newest_pixels_end_with_exactly_one_result(
    tmp_path: Path, arrival_of: Any, prediction: Prediction
) -> None:
    runs = itertools.count()

    class FreshNode(Node):
        def __init__(self) -> None:
            folder = tmp_path / str(next(runs))
            folder.mkdir()
            super().__init__(folder, arrival_of, prediction)

    run_state_machine_as_test(
        FreshNode,
        settings=settings(max_examples=30, stateful_step_count=30, deadline=None, database=None),
    )
