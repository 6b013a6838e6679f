"""POST .../analyze and GET /preread/jobs, on a real journal and ledger."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import ExitStack, closing
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.deidentify import Pseudonyms, Secret
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from preread.models.catalogue import Catalogue
from preread.models.model import Model
from preread.sections import Settings
from tests.unit.hooks.test_explanations import NET

PSEUDONYMS = Pseudonyms(Secret(b"s" * 32))
SERIES, STUDY = "-".join(["22222222"] * 5), "-".join(["11111111"] * 5)


def orthanc_id(number: int) -> str:
    return "-".join([f"{number:08x}"] * 5)


def arrival(number: int) -> Arrival:
    return Arrival(
        instance=orthanc_id(number),
        series=SERIES,
        study=STUDY,
        patient=STUDY,
        SOPInstanceUID=f"2.25.{number}",
        SeriesInstanceUID="2.25.2",
        StudyInstanceUID="2.25.3",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        Modality="CT",
        models=(NET.Name,),
        fingerprint="f" * 64,
        reason="",
        body_parts=(),
        work=True,
    )


class Api:
    """The routes before a runner that forwards when it is told to."""

    def __init__(self, orthanc: Any, ledger: SqlLedger, journal: Journal, mode: str) -> None:
        self.orthanc, self.ledger, self.journal = orthanc, ledger, journal
        settings = Settings.model_validate(
            {"Deidentify": {"Mode": mode}, "Predictions": {"Placement": "derived"}}
        )
        self.looked = list[str]()
        self.context = SimpleNamespace(
            catalogue=Catalogue([Model(NET.Name, NET, Path())]),
            ledger=lambda: ledger,
            journal=journal,
            look_at=self._look_at,
            site=SimpleNamespace(settings=settings),
            pseudonyms=PSEUDONYMS,
            waiting=importlib.import_module("preread.hooks.waiting").Waiting(4),
        )
        self._router = importlib.import_module("preread.hooks.routes").router(self.context)
        self._rest = importlib.import_module("preread.hooks.rest")
        views: Any = importlib.import_module("preread.hooks.views_results")
        views._FORWARDED = 0.3

    def _look_at(self, _data: bytes, instance: str) -> Arrival:
        self.looked.append(instance)
        return arrival(int(instance[:8], 16))

    def arrive(self, number: int) -> None:
        self.journal.arrive(arrival(number))
        self.journal.stored(orthanc_id(number))

    def forward(self) -> None:
        self.ledger.apply(self.journal.uuid, self.journal.events_after(0))

    def call(self, method: str, path: str, body: Any = None, **query: str) -> tuple[int, Any]:
        output = self._rest.orthanc.RestOutput()
        sent = b"" if body is None else json.dumps(body).encode()
        self._router(output, f"/preread/{path}", method=method, body=sent, get=query)
        name, args = output.calls[-1]
        return (
            (200, json.loads(args[0]))
            if name == "AnswerBuffer"
            else (args[0], args[1] and json.loads(args[1]))
        )

    def analyze(self, path: str, **body: Any) -> tuple[int, Any]:
        return self.call("POST", f"{path}/analyze", {"Asynchronous": True} | body)


@pytest.fixture(params=["incoming"])
def api(orthanc: ModuleType, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Api]:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    with closing(ledger), Journal(tmp_path / "journal.sqlite") as journal:
        yield Api(orthanc, ledger, journal, request.param)


def test_what_has_only_just_arrived_is_not_taken_for_something_older(api: Api) -> None:
    api.arrive(1)
    status, told = api.analyze(f"instances/{orthanc_id(1)}")
    assert (status, told["Jobs"], told["Status"]) == (202, [], "arriving")
    api.orthanc.answers["RestApiGet"] = json.dumps([{"ID": orthanc_id(1)}, {"ID": orthanc_id(2)}])
    assert api.analyze(f"series/{SERIES}")[0] == 202
    status, error = api.analyze(f"instances/{orthanc_id(1)}", Models=[NET.Name])
    assert (status, "just arrived" in error["Details"]) == (503, True)
    assert not api.looked


def test_what_was_stored_before_preread_is_refused(api: Api) -> None:
    api.orthanc.answers["RestApiGet"] = json.dumps([{"ID": orthanc_id(1)}])
    for path in (f"instances/{orthanc_id(1)}", f"studies/{STUDY}"):
        status, error = api.analyze(path)
        assert (status, "send it again" in error["Details"]) == (409, True)
    api.arrive(1)
    api.journal.deleted(orthanc_id(1))
    assert api.analyze(f"instances/{orthanc_id(1)}")[0] == 409


def test_a_call_that_does_not_wait_names_the_jobs_of_what_arrives(
    api: Api, monkeypatch: pytest.MonkeyPatch
) -> None:
    views = importlib.import_module("preread.hooks.views_results")
    monkeypatch.setattr(views, "_FORWARDED", 60)
    monkeypatch.setattr(views.time, "sleep", lambda _: api.forward())
    api.arrive(1)
    status, told = api.analyze(f"instances/{orthanc_id(1)}")
    assert (status, len(told["Jobs"])) == (202, 1)


@pytest.mark.parametrize("api", ["off"], indirect=True)
def test_only_what_is_unknown_is_looked_at(api: Api) -> None:
    api.orthanc.answers["RestApiGet"] = json.dumps([{"ID": orthanc_id(1)}, {"ID": orthanc_id(2)}])
    api.arrive(1)
    assert api.analyze(f"series/{SERIES}")[0] == 202
    assert api.looked == [orthanc_id(2)]


def test_nobody_waits_where_no_place_is_free(api: Api) -> None:
    api.arrive(1)
    api.forward()
    with ExitStack() as others:
        for _ in range(4):
            others.enter_context(api.context.waiting.patience(60))
        status, told = api.analyze(f"instances/{orthanc_id(1)}", Asynchronous=False)
    assert (status, len(told["Jobs"])) == (202, 1)


def test_jobs_are_passed_over_and_what_a_path_does_not_know_is_refused(api: Api) -> None:
    for number in range(1, 6):
        api.arrive(number)
    api.forward()
    everything = [job["ID"] for job in api.call("GET", "jobs")[1]]
    assert len(everything) == 5
    assert [job["ID"] for job in api.call("GET", "jobs", limit="2", offset="3")[1]] == everything[
        3:
    ]
    for path, query in (
        ("jobs", "Limit"),
        ("jobs", "state"),
        ("jobs/1", "limit"),
        ("status", "x"),
        ("studies", "offset"),
        ("proposals", "patient"),
    ):
        status, error = api.call("GET", path, **{query: "1"})
        assert (status, f"?{query} is no parameter" in error["Details"]) == (400, True), path
    assert api.call("GET", "jobs", offset="-1")[0] == 400


def test_a_sender_finds_what_it_sent_by_the_uids_that_it_knows(api: Api) -> None:
    sent = {"instances": "1.2.3.1", "series": "1.2.3.2", "studies": "1.2.3.3"}
    stored = {level: PSEUDONYMS.uid(uid) for level, uid in sent.items()}
    for level, uid in sent.items():
        assert api.call("GET", f"{level}/{uid}")[0] == 404
    # Orthanc has it, and the ledger not yet.
    api.orthanc.answers |= {"LookupInstance": orthanc_id(1)}
    api.orthanc.answers |= {"LookupSeries": SERIES, "LookupStudy": STUDY}
    expected = {"instances": orthanc_id(1), "series": SERIES, "studies": STUDY}
    for level, uid in sent.items():
        status, told = api.call("GET", f"{level}/{uid}")
        assert (status, told["ID"], told["Status"]) == (200, expected[level], "arriving")
    assert api.orthanc.called("LookupStudy")[-1] == (stored["studies"],)
    api.journal.arrive(
        replace(
            arrival(1),
            SOPInstanceUID=stored["instances"],
            SeriesInstanceUID=stored["series"],
            StudyInstanceUID=stored["studies"],
        )
    )
    api.journal.stored(orthanc_id(1))
    assert api.analyze(f"instances/{sent['instances']}")[0] == 202
    api.forward()
    for level, uid in sent.items():
        assert api.call("GET", f"{level}/{uid}") == api.call("GET", f"{level}/{stored[level]}")
        assert api.call("GET", f"{level}/{uid}")[1]["ID"] == expected[level]
