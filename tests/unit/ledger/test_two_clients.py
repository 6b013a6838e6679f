"""Two clients of one PostgreSQL that write the same for the first time, at the same moment."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from datetime import UTC, datetime
from typing import Any

import pytest
from sqlalchemy import event, text

from preread.ledger.arrival import Event, EventKind
from preread.ledger.explanation import Wanted
from preread.ledger.network import NetworkState
from preread.ledger.sql import SqlLedger
from preread.ledger.task import TaskState
from tests.postgres_server import PostgresServer
from tests.unit.ledger.conftest import MakeArrival, orthanc_id

pytestmark = pytest.mark.postgres

SERIES = orthanc_id("series")
INSTANCE = orthanc_id("instance 0")
_WAITING = text(
    "SELECT count(*) FROM pg_stat_activity "
    "WHERE wait_event_type = 'Lock' AND application_name = 'preread'"
)


class Clients:
    """Two ledgers on one database, each with connections of its own."""

    def __init__(self, url: str) -> None:
        self.one, self.other = SqlLedger(url), SqlLedger(url)
        self._on_commit: Callable[[], None] = lambda: None
        event.listen(self.one.database.engine, "commit", lambda _: self._on_commit())

    def at_once(
        self, first: Callable[[SqlLedger], Any], second: Callable[[SqlLedger], Any]
    ) -> tuple[Any, Any]:
        """Do something in each: the second waits for a lock, or ends, before the first commits."""
        written, goes_on = threading.Event(), threading.Event()

        def hold() -> None:
            written.set()
            assert goes_on.wait(60)

        self._on_commit = hold
        with ThreadPoolExecutor(2) as pool:
            try:
                begun = pool.submit(first, self.one)
                assert written.wait(60)
                waiting = pool.submit(second, self.other)
                self._await(waiting)
            finally:
                goes_on.set()
                self._on_commit = lambda: None
            return begun.result(60), waiting.result(60)

    def _await(self, waiting: Future[Any]) -> None:
        with self.other.database.engine.connect() as connection:
            while not waiting.done() and not connection.scalar(_WAITING):
                time.sleep(0.01)

    def close(self) -> None:
        self.one.close()
        self.other.close()


@pytest.fixture
def clients(postgres_server: PostgresServer) -> Iterator[Clients]:
    made = Clients(postgres_server.url())
    yield made
    made.close()


def arrived(arrival_of: MakeArrival) -> Event:
    return Event(1, EventKind.STORED, INSTANCE, 1, datetime.now(UTC), arrival_of())


def test_a_series_is_asked_for_twice(clients: Clients) -> None:
    first, second = clients.at_once(
        lambda ledger: ledger.series_work.ask(SERIES), lambda ledger: ledger.series_work.ask(SERIES)
    )
    assert first.id == second.id
    assert (first.revision, second.revision) == (1, 2)
    # One that is known is asked for twice as well.
    third, fourth = clients.at_once(
        lambda ledger: ledger.series_work.ask(SERIES), lambda ledger: ledger.series_work.ask(SERIES)
    )
    assert (third.revision, fourth.revision) == (3, 4)
    assert (fourth.id, fourth.asked, fourth.state) == (first.id, True, TaskState.PENDING)


def test_a_series_is_asked_for_while_its_last_image_is_looked_at(clients: Clients) -> None:
    """What was read before a task ended must not be written over its end."""
    clients.one.series_work.ask(SERIES)
    task = clients.one.series_work.reserve("runner", 60, 0)
    assert task is not None
    done, asked = clients.at_once(
        lambda ledger: ledger.series_work.done(task, "1.2", 0),
        lambda ledger: ledger.series_work.ask(SERIES),
    )
    assert done
    assert (asked.state, asked.asked) == (TaskState.PENDING, True)
    assert clients.other.series_work.reserve("runner", 60, 0) is not None


@pytest.mark.parametrize("comes_first", ["the image", "the wish"])
def test_a_series_is_asked_for_while_its_first_image_comes(
    clients: Clients, arrival_of: MakeArrival, comes_first: str
) -> None:
    event_of_it = arrived(arrival_of)

    def takes(ledger: SqlLedger) -> None:
        ledger.apply("journal", [event_of_it])

    def asks(ledger: SqlLedger) -> None:
        ledger.series_work.ask(SERIES)

    both = (takes, asks) if comes_first == "the image" else (asks, takes)
    clients.at_once(*both)
    (task,) = clients.one.series_work.of_series([SERIES])
    assert (task.asked, task.revision, task.state) == (True, 2, TaskState.PENDING)
    assert clients.one.cursor("journal") == 1


def test_an_explanation_is_asked_for_twice(clients: Clients, arrival_of: MakeArrival) -> None:
    clients.one.apply("journal", [arrived(arrival_of)])
    wanted = [Wanted("MobileNetV2", "Malignant", 0, 0.7)]
    first, second = clients.at_once(
        lambda ledger: ledger.explanations.ask(INSTANCE, wanted),
        lambda ledger: ledger.explanations.ask(INSTANCE, wanted),
    )
    assert [one.id for one in first] == [one.id for one in second]
    assert len(clients.one.explanations.of(INSTANCE)) == 1


def test_the_models_folder_is_listed_twice(clients: Clients) -> None:
    files = {"a.dcm": "1" * 64, "b.dcm": "2" * 64}
    clients.at_once(
        lambda ledger: ledger.networks.keep_files(files),
        lambda ledger: ledger.networks.keep_files(files | {"b.dcm": "3" * 64, "c.dcm": "4" * 64}),
    )
    found = {one.file: (one.digest[0], one.state) for one in clients.one.networks.all()}
    received = NetworkState.RECEIVED
    assert found == {"a.dcm": ("1", received), "b.dcm": ("3", received), "c.dcm": ("4", received)}
