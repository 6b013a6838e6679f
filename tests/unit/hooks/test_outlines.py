"""Asking a network to look for regions, over REST."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.network import NetworkDescription
from preread.ledger.series_task import SeriesTask
from preread.ledger.series_work import SeriesWork
from preread.ledger.sql import SqlLedger
from preread.sections import Settings

INSTANCE, SERIES = "-".join(["0a1b2c3d"] * 5), "-".join(["22222222"] * 5)
STUDY = "-".join(["11111111"] * 5)
NETWORK = "1.2.826.0.1"


class Api:
    """The routes on a real ledger with one image and one network."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        arrival = Arrival(
            instance=INSTANCE,
            series=SERIES,
            study=STUDY,
            patient=STUDY,
            SOPInstanceUID="2.25.11",
            SeriesInstanceUID="2.25.2",
            StudyInstanceUID="2.25.3",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            Modality="CT",
            models=(),
            fingerprint="",
            reason="",
            body_parts=(),
            work=False,
        )
        ledger.apply(
            "journal",
            [Event(1, EventKind.STORED, INSTANCE, 1, dt.datetime.now(dt.UTC), arrival)],
        )
        ledger.networks.keep_files({"toy.dcm": "a" * 64})
        lent = ledger.network_checks.reserve("runner", 60)
        assert lent is not None
        assert ledger.network_checks.accept(
            lent,
            NetworkDescription(
                DnnUID=NETWORK,
                DnnName="toy",
                Modality="CT",
                BodyPartExamined="CHEST",
                SamplesPerPixel=1,
                PhotometricInterpretation="MONOCHROME2",
                Rows=16,
                Columns=16,
                Description="",
                Layout="iodeep",
                body_parts=("816094009",),
                created="",
                parameters=2,
                weights_sha256="b" * 64,
            ),
        )
        context = SimpleNamespace(
            ledger=lambda: ledger,
            site=SimpleNamespace(settings=Settings()),
            waiting=importlib.import_module("preread.hooks.waiting").Waiting(4),
        )
        self._router = importlib.import_module("preread.hooks.routes").router(context)
        self._rest = importlib.import_module("preread.hooks.rest")

    def call(
        self, method: str, path: str, body: Any = None, headers: Any = None, **query: str
    ) -> tuple[int, Any]:
        output = self._rest.orthanc.RestOutput()
        sent = b"" if body is None else json.dumps(body).encode()
        given = {"get": query, "headers": headers or {}}
        self._router(output, f"/preread/{path}", method=method, body=sent, **given)
        name, given = output.calls[-1]
        if name == "AnswerBuffer":
            return 200, json.loads(given[0])
        return given[0], json.loads(given[1])

    @contextmanager
    def runner(
        self, outcome: Callable[[SeriesWork, SeriesTask], None]
    ) -> Iterator[list[SeriesTask]]:
        """Stand in for the runner: bring what is asked for to its end."""
        lent: list[SeriesTask] = []
        ended = threading.Event()

        def work() -> None:
            queue = self.ledger.series_work
            while not ended.is_set():
                task = queue.reserve("runner", 60, 1e6)
                if task is not None:
                    lent.append(task)
                    outcome(queue, task)
                time.sleep(0.02)

        thread = threading.Thread(target=work)
        thread.start()
        try:
            yield lent
        finally:
            ended.set()
            thread.join()


@pytest.fixture
def api(orthanc: ModuleType, tmp_path: Path) -> Iterator[Api]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Api(ledger)
    ledger.close()


def finding(queue: SeriesWork, task: SeriesTask) -> None:
    queue.done(task, NETWORK, 2, "2.25.99")


@pytest.mark.parametrize(
    ("path", "body", "scope", "network"),
    [
        (f"series/{SERIES}/propose", None, "", ""),
        ("series/2.25.2/propose", {"DnnUID": NETWORK}, "", NETWORK),
        ("instances/2.25.11/propose", None, INSTANCE, ""),
        (f"iodeep/{NETWORK}/predict", {"Instance": INSTANCE}, INSTANCE, NETWORK),
        (f"iodeep/{NETWORK}/predict", {"Series": "2.25.2"}, "", NETWORK),
    ],
)
def test_who_asks_is_answered_when_it_is_done(
    api: Api, path: str, body: Any, scope: str, network: str
) -> None:
    with api.runner(finding) as lent:
        status, told = api.call("POST", path, body)
    assert status == 200, told
    assert [(task.series, task.scope, task.network) for task in lent] == [(SERIES, scope, network)]
    assert (told["State"], told["Regions"], told["Proposal"]) == ("done", 2, "2.25.99")
    assert told["DnnUID"] == NETWORK
    assert "diagnosis" in told["Notice"]
    status, told = api.call("GET", told["Path"].removeprefix("/preread/"))
    assert status == 200
    assert "2.25.99" in [task["Proposal"] for task in told["Tasks"]]


def test_who_does_not_wait_is_told_where_to_look(api: Api) -> None:
    status, told = api.call("POST", f"series/{SERIES}/propose", {"Asynchronous": True})
    assert (status, told["State"]) == (202, "pending")
    assert told["Path"] == f"/preread/series/{SERIES}/propose"
    status, told = api.call("POST", f"instances/{INSTANCE}/propose", {"Timeout": 0.2})
    assert (status, told["Instance"]) == (202, INSTANCE)


def test_an_answer_from_before_is_not_taken_for_one_of_now(api: Api) -> None:
    """A call during a look waits for the look that follows, which sees what is there now."""
    queue = api.ledger.series_work
    queue.ask(SERIES)
    before = queue.reserve("runner", 60, 0)
    assert before is not None
    api.call("POST", f"series/{SERIES}/propose", {"Asynchronous": True})
    queue.done(before, NETWORK, 0)
    with api.runner(finding):
        status, told = api.call("POST", f"series/{SERIES}/propose")
    assert (status, told["Regions"]) == (200, 2)


@pytest.mark.parametrize(("method", "status"), [("leave", 409), ("fail", 500)])
def test_why_nothing_came_of_it_is_told(api: Api, method: str, status: int) -> None:
    def outcome(queue: SeriesWork, task: SeriesTask) -> None:
        if method == "leave":
            queue.leave(task, "no network is for this image (Modality)")
        else:
            queue.fail(task, "no network is for this image (Modality)", retry=False)

    with api.runner(outcome):
        found, told = api.call("POST", f"series/{SERIES}/propose")
    assert found == status
    assert told["Details"] == "no network is for this image (Modality)"


@pytest.mark.parametrize(
    ("path", "body", "status", "part"),
    [
        ("series/2.25.4/propose", None, 404, "nothing is known"),
        (f"series/{SERIES}/propose", {"DnnUID": "1.2.3"}, 404, "no network of this DnnUID"),
        (f"series/{SERIES}/propose", {"DnnUID": 7}, 400, "expected a UID"),
        (f"series/{SERIES}/propose", {"Model": "x"}, 400, "unknown in the body: Model"),
        ("iodeep/1.2.3/predict", {"Series": SERIES}, 404, "no network of this DnnUID"),
        (f"iodeep/{NETWORK}/predict", {}, 400, "expected Instance or Series"),
        (f"iodeep/{NETWORK}/predict", {"Series": 7}, 400, "expected Instance or Series"),
        (f"iodeep/{NETWORK}/predict", {"Instance": "2.25.4"}, 404, "nothing is known"),
    ],
)
def test_what_cannot_be_asked_is_told(
    api: Api, path: str, body: Any, status: int, part: str
) -> None:
    found, told = api.call("POST", path, body)
    assert (found, part in told["Details"]) == (status, True), told
    assert all(not task.asked for task in api.ledger.series_work.of_series([SERIES]))


def test_nobody_knows_how_an_unknown_series_fares(api: Api) -> None:
    assert api.call("GET", "series/2.25.4/propose")[0] == 404


@pytest.mark.parametrize("path", [f"series/{SERIES}/propose", f"iodeep/{NETWORK}/predict"])
@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Content-Type": "application/json"},
        {"Origin": "http://elsewhere.example", "Content-Type": "text/plain"},
    ],
)
def test_another_sites_page_asks_for_nothing(api: Api, path: str, headers: Any) -> None:
    status, _ = api.call("POST", path, {"Asynchronous": True}, headers)
    assert status == 403
    assert all(not task.asked for task in api.ledger.series_work.of_series([SERIES]))


def test_all_tasks_are_listed_whatever_their_kind(api: Api) -> None:
    api.ledger.tasks("toy").ask(SERIES, payload={"Wanted": 1})
    with api.runner(finding):
        assert api.call("POST", f"series/{SERIES}/propose")[0] == 200
    _, told = api.call("GET", "tasks")
    assert [(one["Kind"], one["State"]) for one in told["Tasks"]] == [
        ("regions", "done"),
        ("toy", "pending"),
        ("network", "done"),
    ]
    assert told["Notice"]
    _, told = api.call("GET", "tasks", kind="regions", status="done", subject=SERIES)
    [task] = told["Tasks"]
    assert task["Outcome"]["Proposal"] == "2.25.99"
    assert api.call("GET", "tasks", status="failed")[1]["Tasks"] == []
    assert api.call("GET", "tasks", limit="1")[1]["Tasks"][0]["Kind"] == "regions"
    for query, words in (({"kind": "x"}, "kind: expected"), ({"status": "x"}, "status: expected")):
        status, told = api.call("GET", "tasks", **query)
        assert (status, words in json.dumps(told)) == (400, True)


def test_the_kinds_of_work_are_listed(api: Api) -> None:
    status, told = api.call("GET", "kinds")
    assert status == 200
    assert {"Name": "regions", "BeginsWithSeries": True} in told
    assert {"Name": "review", "BeginsWithSeries": False} in told
