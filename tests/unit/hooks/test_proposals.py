"""Proposals and their review, over REST."""

from __future__ import annotations

import base64
import datetime as dt
import importlib
import json
import threading
import time
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.proposal import (
    Network,
    NewProposal,
    ProposalImage,
    ProposedRegion,
)
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.sections import Settings
from preread.settings import OrthancFacts

INSTANCE, SERIES = "-".join(["0a1b2c3d"] * 5), "-".join(["22222222"] * 5)
STUDY, PLACE = "-".join(["11111111"] * 5), "-".join(["44444444"] * 5)
UID = "2.25.81"
LINE = ((1.0, 2.0), (5.5, 2.0), (5.5, 6.25))
NEW = NewProposal(
    place=ObjectIdentity(PLACE, UID, "2.25.8", "2.25.3"),
    attached=None,
    series=SERIES,
    study=STUDY,
    SeriesInstanceUID="2.25.2",
    StudyInstanceUID="2.25.3",
    shown_series=SERIES,
    shown_study=STUDY,
    shown_SeriesInstanceUID="2.25.2",
    network=Network("U-Net", "2.25.7", "1", "a" * 64),
    images=(ProposalImage(INSTANCE, 1, INSTANCE, "2.25.11", 1),),
    regions=tuple(ProposedRegion(number, 0, 0, LINE, 9.0, 0.5) for number in (1, 2, 3)),
)
FACTS = OrthancFacts()
ONE = {"Region": 1, "Decision": "accept"}
BODY: dict[str, Any] = {"Version": 0, "Reviewer": "Doe^Jane", "Regions": [ONE], "Others": "reject"}


class Api:
    """The routes on a real ledger with one proposal."""

    def __init__(self, ledger: SqlLedger, facts: OrthancFacts = FACTS) -> None:
        self.ledger = ledger
        self._seq = 0
        self.arrive()
        assert ledger.proposals.record(NEW) is not None
        context = SimpleNamespace(
            ledger=lambda: ledger,
            site=SimpleNamespace(settings=Settings(), orthanc=facts),
            waiting=importlib.import_module("preread.hooks.waiting").Waiting(4),
        )
        self._router = importlib.import_module("preread.hooks.routes").router(context)
        self._rest = importlib.import_module("preread.hooks.rest")

    def arrive(self) -> None:
        self._seq += 1
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
        event = Event(
            self._seq, EventKind.STORED, INSTANCE, self._seq, dt.datetime.now(dt.UTC), arrival
        )
        self.ledger.apply("j", [event])

    def call(
        self, method: str, path: str, body: Any = None, headers: Any = None, **query: str
    ) -> tuple[int, Any]:
        output = self._rest.orthanc.RestOutput()
        sent = b"" if body is None else json.dumps(body).encode()
        self._router(output, path, method=method, body=sent, get=query, headers=headers or {})
        name, given = output.calls[-1]
        if name == "AnswerBuffer":
            return 200, json.loads(given[0])
        return given[0], json.loads(given[1])

    def get(self, path: str = "", **query: str) -> tuple[int, Any]:
        return self.call("GET", f"/preread/proposals{path}", **query)

    def review(self, uid: str = UID, headers: Any = None, **changes: Any) -> tuple[int, Any]:
        body = {"Asynchronous": True} | BODY | changes
        body = {key: value for key, value in body.items() if value is not None}
        return self.call("POST", f"/preread/proposals/{uid}/review", body, headers)


@pytest.fixture
def api(orthanc: ModuleType, tmp_path: Any) -> Any:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Api(ledger)
    ledger.close()


def test_proposals_are_listed_and_found(api: Api) -> None:
    for query in ({}, {"study": STUDY}, {"study": "2.25.3"}, {"series": SERIES}):
        status, (one,) = api.get(**query)
        assert (status, one["SOPInstanceUID"], one["Regions"]) == (200, UID, 3)
    assert api.get(status="approved") == (200, [])
    assert api.get(study="2.25.4") == (200, [])
    for name in (UID, PLACE):
        status, found = api.get(f"/{name}")
        assert (status, found["Version"], found["Status"]) == (200, 0, "proposed")
        assert found["Regions"][2]["Polygon"] == [list(point) for point in LINE]
        image = {"ID": INSTANCE, "Original": INSTANCE, "SOPInstanceUID": "2.25.11", "Frames": 1}
        assert found["Images"] == [image]
        assert "diagnosis" in found["Notice"]


@pytest.mark.parametrize("path", ["/2.25.99", "/2.25.99/review"])
def test_what_is_not_there(api: Api, path: str) -> None:
    method = "POST" if path.endswith("review") else "GET"
    status, error = api.call(method, f"/preread/proposals{path}", BODY)
    assert (status, "no such proposal" in error["Details"]) == (404, True)


def test_a_wrong_status_is_told(api: Api) -> None:
    status, error = api.get(status="done")
    assert (status, "superseded" in error["Details"]) == (400, True)


def test_a_review_is_recorded_and_its_object_follows(api: Api) -> None:
    edited = ONE | {"Polygon": [[1, 1], [4, 1.5], [4, 5]]}
    status, told = api.review(Regions=[edited], Comment="  a\n vessel ")
    assert (status, told["State"], told["Outcome"]) == (202, "pending", "approved")
    assert told["Path"] == f"/preread/proposals/{UID}"
    _, found = api.get(f"/{UID}")
    assert (found["Status"], found["Version"]) == ("approved", 1)
    (kept,) = found["Reviews"]
    assert (kept["Reviewer"], kept["Comment"]) == ("Doe^Jane", "a vessel")
    assert kept["Decisions"] == [
        {"Region": 1, "Decision": "accept", "Polygon": [[1.0, 1.0], [4.0, 1.5], [4.0, 5.0]]},
        {"Region": 2, "Decision": "reject", "Polygon": None},
        {"Region": 3, "Decision": "reject", "Polygon": None},
    ]


def test_a_call_waits_for_the_object(api: Api) -> None:
    def run() -> None:
        queue = api.ledger.reviews
        while (one := queue.reserve("runner", 60)) is None:
            time.sleep(0.01)
        place = ObjectIdentity(PLACE[::-1], "2.25.82", "2.25.8", "2.25.3")
        assert queue.done(one, place)

    runner = threading.Thread(target=run)
    runner.start()
    status, told = api.review(Asynchronous=False)
    runner.join()
    assert (status, told["State"], told["SOPInstanceUID"]) == (200, "done", "2.25.82")


def test_a_call_that_is_not_answered_in_time_ends(api: Api) -> None:
    status, told = api.review(Asynchronous=None, Timeout=0.15)
    assert (status, told["State"]) == (202, "pending")


def test_who_comes_second_is_told_who_was_first(api: Api) -> None:
    assert api.review()[0] == 202
    status, error = api.review(Reviewer="Roe^Rick", Regions=[], Others="reject")
    assert status == 409
    assert "Doe^Jane" in error["Details"]
    assert api.get(f"/{UID}")[1]["Status"] == "approved"


def test_the_next_review_completes_itself_from_the_last(api: Api) -> None:
    assert api.review()[0] == 202
    changed = {"Region": 2, "Decision": "accept"}
    assert api.review(Version=1, Regions=[changed], Others=None)[0] == 202
    decided = api.get(f"/{UID}")[1]["Reviews"][1]["Decisions"]
    assert [one["Decision"] for one in decided] == ["accept", "accept", "reject"]


def test_what_is_superseded_cannot_be_reviewed(api: Api) -> None:
    api.arrive()
    status, error = api.review()
    assert (status, "superseded" in error["Details"]) == (409, True)
    later = replace(NEW, images=(replace(NEW.images[0], generation=2),))
    assert api.ledger.proposals.record(later) is not None
    assert api.review()[0] == 202


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"Version": None}, "Version"),
        ({"Version": "0"}, "Version"),
        ({"Version": True}, "Version"),
        ({"Reviewer": None}, "Reviewer"),
        ({"Reviewer": " "}, "Reviewer"),
        ({"Reviewer": "a\\b"}, "Reviewer"),
        ({"Reviewer": "a\x00b"}, "Reviewer"),
        ({"Reviewer": "a" * 65}, "Reviewer"),
        ({"Reviewer": "a=b=c=d"}, "Reviewer"),
        ({"Reviewer": "a^b^c^d^e^f"}, "Reviewer"),
        ({"Comment": 7}, "Comment"),
        ({"Comment": "a" * 501}, "Comment"),
        ({"Others": None}, "no decision about 2, 3"),
        ({"Others": "perhaps"}, "Others"),
        ({"Others": []}, "Others"),
        ({"Regions": {}}, "Regions"),
        ({"Regions": [1]}, "Regions"),
        ({"Regions": [ONE, ONE]}, "once"),
        ({"Regions": [ONE | {"Region": 4}]}, "not 4"),
        ({"Regions": [ONE | {"Region": "1"}]}, "Region"),
        ({"Regions": [ONE | {"Decision": "maybe"}]}, "Decision"),
        ({"Regions": [ONE | {"Colour": "red"}]}, "Regions"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4], [5]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4], [5, "6"]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4], [5, 1e9]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4], [5, float("nan")]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": [[1, 2], [3, 4], [5, 10**400]]}]}, "Polygon of 1"),
        ({"Regions": [ONE | {"Polygon": "M0 0"}]}, "Polygon of 1"),
        (
            {"Regions": [{"Region": 1, "Decision": "reject", "Polygon": [[1, 2]] * 3}]},
            "cannot have a Polygon",
        ),
        ({"Timeout": "soon"}, "Timeout"),
        ({"Approve": True}, "Approve"),
    ],
)
def test_bodies_that_decide_nothing_clear(api: Api, changes: Any, words: str) -> None:
    status, error = api.review(**({"Asynchronous": "Timeout" not in changes} | changes))
    assert status == 400
    assert words in error["Details"]
    assert api.get(f"/{UID}")[1]["Version"] == 0


@pytest.mark.parametrize("origin", ["cross-site", "same-site"])
def test_another_sites_page_cannot_review(api: Api, origin: str) -> None:
    assert api.review(headers={"sec-fetch-site": origin})[0] == 403
    assert api.get(f"/{UID}")[1]["Version"] == 0
    assert api.review(headers={"sec-fetch-site": "same-origin"})[0] == 202


def test_another_sites_page_is_told_what_its_owner_can_do(api: Api) -> None:
    page = {"origin": "http://elsewhere.example", "host": "localhost:8042"}
    for kind in ("text/plain", "application/x-www-form-urlencoded; charset=UTF-8", ""):
        assert api.review(headers=page | {"content-type": kind})[0] == 403
    status, error = api.review(headers=page | {"content-type": "application/json"})
    assert (status, "Preread.Rest.AllowedOrigins" in error["Details"]) == (403, True)
    assert api.get(f"/{UID}")[1]["Version"] == 0
    own = {"Origin": "http://localhost:8042", "Host": "localhost:8042"}
    assert api.review(headers=own)[0] == 202


ROE = {"Authorization": "Basic " + base64.b64encode(b"roe:secret").decode()}


def test_who_reviews_is_the_authenticated_user_with_the_typed_name_beside(
    orthanc: ModuleType, tmp_path: Path
) -> None:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    api = Api(ledger, OrthancFacts(AuthenticationEnabled=True))
    status, told = api.review(headers=ROE)
    assert (status, told["Reviewer"], told["TypedName"]) == (202, "roe", "Doe^Jane")
    assert told["Authenticated"] is True
    status, told = api.review(headers=ROE, Version=1, Reviewer=None)
    assert (status, told["Reviewer"], told["TypedName"]) == (202, "roe", None)
    assert not orthanc.called("LogWarning")
    ledger.close()


def test_where_nobody_is_authenticated_that_is_said_in_the_answer_and_the_log(
    api: Api, orthanc: ModuleType
) -> None:
    status, told = api.review(headers=ROE)
    assert (status, told["Reviewer"], told["Authenticated"]) == (202, "Doe^Jane", False)
    [[words]] = orthanc.called("LogWarning")
    assert "nobody was authenticated" in words
    assert "Doe" not in words
    assert api.review(headers=ROE, Version=1, Reviewer=None)[0] == 400


def test_an_approval_whose_image_came_again_is_stale(api: Api) -> None:
    api.review()
    assert api.get(f"/{UID}")[1]["Stale"] is None
    assert api.ledger.stored_objects.stale() == 0
    api.arrive()
    _, [listed] = api.get()
    _, found = api.get(f"/{UID}")
    for told in (listed, found):
        assert (told["Status"], "image has arrived again" in told["Stale"]) == ("approved", True)
    assert api.ledger.stored_objects.stale() == 1
