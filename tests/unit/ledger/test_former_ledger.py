"""A ledger that the version before the table of tasks wrote opens, and its work goes on.

The file was written by commit 5118d26 with the calls that runner and API make: of each queue
something that waits, is held by a runner, is done, and has failed.
"""

from __future__ import annotations

import gzip
from collections.abc import Iterator
from pathlib import Path

import pytest

from preread.ledger.explanation import Wanted
from preread.ledger.network import NetworkState
from preread.ledger.proposal import ProposalStatus
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.ledger.task import TaskState
from tests.unit.ledger.conftest import Clock, orthanc_id
from tests.unit.ledger.test_networks import DESCRIBED

FILE = Path(__file__).parent / "ledger_v0010.sqlite.gz"
IMAGE, SERIES, OTHER = orthanc_id("instance 0"), orthanc_id("series"), orthanc_id("other")
PLACE = ObjectIdentity(orthanc_id("map"), "2.25.71", "2.25.72", "2.25.3")
DONE, FAILED, PENDING = TaskState.DONE, TaskState.FAILED, TaskState.PENDING
RUNNING, UNREAD = TaskState.RUNNING, TaskState.UNREAD
LEASE = 300


@pytest.fixture
def clock() -> Clock:
    made = Clock()
    made.advance(600)
    return made


@pytest.fixture
def ledger(tmp_path: Path, clock: Clock) -> Iterator[SqlLedger]:
    path = tmp_path / "ledger.sqlite"
    path.write_bytes(gzip.decompress(FILE.read_bytes()))
    opened = SqlLedger(f"sqlite:///{path}", clock=clock)
    yield opened
    opened.close()


def test_images_and_what_was_said_of_them_are_there(ledger: SqlLedger) -> None:
    assert {str(state): number for state, number in ledger.counts().items() if number} == {
        "pending": 2,
        "done": 1,
        "unread": 4,
    }
    assert len(ledger.generations("", 100)) == 7


def test_explanations_go_on(ledger: SqlLedger) -> None:
    queue = ledger.explanations
    found = {(one.wanted.label, one.wanted.frame): one for one in queue.of(IMAGE)}
    done = found["Malignant", 0]
    assert (done.state, done.map, done.wanted.probability) == (DONE, PLACE, 0.75)
    failed = found["Benign", 0]
    assert (failed.state, failed.reason) == (FAILED, "the copy is not there")
    assert found["Benign", 1].wanted == Wanted("MobileNetV2", "Benign", 1, None)
    assert found["Malignant", 1].state is RUNNING
    # Its runner is gone: what it held is taken back, and comes after what nobody held.
    first, second = queue.reserve("new", LEASE), queue.reserve("new", LEASE)
    assert first is not None
    assert second is not None
    assert [(one.wanted.label, one.wanted.frame) for one in (first, second)] == [
        ("Benign", 1),
        ("Malignant", 1),
    ]
    assert queue.done(first, PLACE, None)
    assert queue.reserve("new", LEASE) is None
    assert all(one.asked for one in queue.of(IMAGE))


def test_series_go_on(ledger: SqlLedger) -> None:
    work = ledger.series_work
    tasks = {(one.series, one.scope): one for one in work.of_series([SERIES, OTHER])}
    done = tasks[OTHER, ""]
    assert (done.state, done.ran, done.regions, done.proposal) == (DONE, "1.2.3", 2, "2.25.81")
    assert [one.reason for one in done.skipped] == ["it is a localizer"]
    left = tasks[SERIES, IMAGE]
    assert (left.state, left.network) == (UNREAD, "1.2.3")
    assert tasks[SERIES, orthanc_id("instance 1")].state is FAILED
    lent = work.reserve("new", LEASE, 10)
    assert lent is not None
    assert (lent.series, lent.scope, lent.network) == (SERIES, "", "")
    assert work.done(lent, "1.2.3", 0)
    assert work.ask(OTHER).id == done.id


def test_reviews_go_on(ledger: SqlLedger) -> None:
    told, waits, undecided = sorted(
        (ledger.proposals.of(one.id) for one in ledger.proposals.listed()),
        key=lambda one: one.id if one else 0,
    )
    assert told is not None
    assert waits is not None
    assert undecided is not None
    [review] = told.reviews
    assert (review.state, review.reviewer, review.comment) == (DONE, "Doe^Jane", "so")
    assert review.place == ObjectIdentity(
        orthanc_id("reviewed"), "2.25.91", "2.25.810", "2.25.33", "d" * 64
    )
    assert (undecided.status, undecided.reviews) == (ProposalStatus.PROPOSED, ())
    lent = ledger.reviews.reserve("new", LEASE)
    assert lent is not None
    assert (lent.id, lent.proposal) == (waits.reviews[0].id, waits.id)
    assert ledger.reviews.done(lent, review.place)
    assert {one.id for one in ledger.stored_objects.due(10, 0) if one.is_review} == {
        review.id,
        lent.id,
    }


def test_networks_go_on(ledger: SqlLedger) -> None:
    assert [state for state, number in ledger.networks.counts().items() if number] == [
        NetworkState.RECEIVED,
        NetworkState.VALID,
        NetworkState.INVALID,
        NetworkState.UNTRUSTED,
    ]
    [valid] = ledger.networks.valid()
    assert valid.described == DESCRIBED
    checks = ledger.network_checks
    lent = checks.reserve("new", LEASE)
    assert lent is not None
    assert (lent.instance, lent.digest) == (orthanc_id("instance 13"), "1" * 64)
    assert checks.accept(lent, DESCRIBED)
    assert checks.reserve("new", LEASE) is None
    assert ledger.networks.reconsider() == 1
    again = checks.reserve("new", LEASE)
    assert again is not None
    assert again.instance == orthanc_id("instance 11")
