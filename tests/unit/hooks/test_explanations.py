"""Asking what a network looked at, over REST."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.findings.prediction import Prediction
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.sql import SqlLedger
from preread.ledger.stored import ObjectIdentity
from preread.models.catalogue import Catalogue
from preread.models.model import Model
from preread.sections import Settings
from tests.unit.runner.test_explaining import card, said

INSTANCE, STUDY = "-".join(["0a1b2c3d"] * 5), "-".join(["11111111"] * 5)
UID = "2.25.11"
NET, OTHER = card("net"), card("other", "b" * 64, ("Bright", "Dark"))


class Api:
    """The routes on a real ledger with one image."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        models = (Model(one.Name, one, Path()) for one in (NET, OTHER))
        context = SimpleNamespace(
            catalogue=Catalogue(models),
            ledger=lambda: ledger,
            site=SimpleNamespace(settings=Settings()),
            waiting=importlib.import_module("preread.hooks.waiting").Waiting(4),
        )
        routes = importlib.import_module("preread.hooks.routes")
        self._router = routes.router(context)
        self._rest = importlib.import_module("preread.hooks.rest")

    def arrive(self) -> None:
        arrival = Arrival(
            instance=INSTANCE,
            series=STUDY,
            study=STUDY,
            patient=STUDY,
            SOPInstanceUID=UID,
            SeriesInstanceUID="2.25.2",
            StudyInstanceUID="2.25.3",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            Modality="CT",
            models=("net", "other"),
            fingerprint="f" * 64,
            reason="",
            body_parts=(),
            work=True,
        )
        moment = dt.datetime.now(dt.UTC)
        self.ledger.apply("j", [Event(1, EventKind.STORED, INSTANCE, 1, moment, arrival)])

    def read(self, *predictions: Prediction) -> None:
        (job,) = self.ledger.reserve("runner", 1, 60)
        assert self.ledger.acknowledge(job, predictions or (said(NET), said(OTHER, (0.4, 0.6))))

    def post(self, identifier: str = INSTANCE, **body: Any) -> tuple[int, Any]:
        return self.call("POST", f"/preread/instances/{identifier}/explain", body)

    def call(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        output = self._rest.orthanc.RestOutput()
        sent = b"" if body is None else json.dumps(body).encode()
        self._router(output, path, method=method, body=sent)
        name, given = output.calls[-1]
        if name == "SendMethodNotAllowed":
            return 405, None
        return (
            (200, json.loads(given[0]))
            if name == "AnswerBuffer"
            else (given[0], json.loads(given[1]))
        )

    def make(self) -> None:
        """Be the runner: make what is asked."""
        while (one := self.ledger.explanations.reserve("runner", 300)) is not None:
            place = ObjectIdentity(INSTANCE[::-1], "2.25.7", "2.25.8", "2.25.3")
            assert self.ledger.explanations.done(one, place, one.wanted.probability)


@pytest.fixture
def unread(orthanc: ModuleType, tmp_path: Path) -> Any:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    api = Api(ledger)
    api.arrive()
    yield api
    ledger.close()


@pytest.fixture
def api(unread: Api) -> Api:
    unread.read()
    return unread


def shown(told: Any) -> list[tuple[str, str, int]]:
    return [(one["Model"], one["Class"], one["Frame"]) for one in told["Explanations"]]


def test_every_model_explains_its_likeliest_class(api: Api) -> None:
    status, told = api.post(Asynchronous=True)
    assert status == 202
    assert shown(told) == [("net", "Malignant", 0), ("other", "Dark", 0)]
    assert {one["State"] for one in told["Explanations"]} == {"pending"}
    assert told["Path"] == f"/preread/instances/{INSTANCE}"
    assert "diagnosis" in told["Notice"]


def test_a_call_waits_for_the_pictures(api: Api) -> None:
    stop = threading.Event()

    def work() -> None:
        while not stop.wait(0.01):
            api.make()

    runner = threading.Thread(target=work)
    runner.start()
    try:
        status, told = api.post(UID, Models=["net"], Timeout=30)
    finally:
        stop.set()
        runner.join()
    assert status == 200
    (made,) = told["Explanations"]
    assert (made["State"], made["SOPInstanceUID"]) == ("done", "2.25.7")
    assert "Path" not in told
    _, known = api.call("GET", f"/preread/instances/{INSTANCE}")
    assert known["Explanations"] == told["Explanations"]


def test_a_failure_is_an_answer(api: Api) -> None:
    api.post(Models=["net"], Asynchronous=True)
    lent = api.ledger.explanations.reserve("runner", 300)
    assert lent is not None
    api.ledger.explanations.fail(lent, "the copy is not there", retry=False)
    _, known = api.call("GET", f"/preread/instances/{INSTANCE}")
    (failed,) = known["Explanations"]
    assert (failed["State"], failed["Reason"]) == ("failed", "the copy is not there")


def test_a_class_is_asked_of_those_that_know_it(api: Api) -> None:
    assert shown(api.post(Class="Bright", Timeout=0)[1]) == [("other", "Bright", 0)]
    assert shown(api.post(Class="Normal", Models=["net"], Timeout=0)[1]) == [("net", "Normal", 0)]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"Models": ["nothing"]}, "Models: expected a list of net, other"),
        ({"Models": "net"}, "Models"),
        ({"Models": []}, "Models"),
        ({"Models": [["net"]]}, "Models"),
        ({"Class": "Cat"}, "Class: expected one of Benign, Malignant, Normal, Bright, Dark"),
        ({"Class": 7}, "Class"),
        ({"Class": ["Benign"]}, "Class"),
        ({"Class": "Bright", "Models": ["net", "other"]}, "Benign, Malignant, Normal of net"),
        ({"Frame": 1}, "Frame: expected a whole number from 0 to 0"),
        ({"Frame": -1}, "Frame"),
        ({"Frame": 0.0}, "Frame"),
        ({"Frame": False}, "Frame"),
        ({"Timeout": -1}, "Timeout"),
        ({"Colour": 1}, "Colour"),
    ],
)
def test_what_cannot_be_asked(api: Api, body: dict[str, Any], words: str) -> None:
    status, told = api.post(**body)
    assert (status, words in told["Details"]) == (400, True), told
    assert not any(api.ledger.explanations.counts().values())


def test_an_image_that_is_not_known(api: Api) -> None:
    for identifier in ("1.2.3", STUDY):
        assert api.post(identifier)[0] == 404
    assert api.call("GET", f"/preread/instances/{INSTANCE}/explain")[0] == 405
    assert api.call("POST", f"/preread/studies/{STUDY}/explain", {})[0] == 404


def test_an_image_that_was_not_read(unread: Api) -> None:
    status, told = unread.post()
    assert status == 409
    assert "no model has read it (pending)" in told["Details"]


def test_other_weights_read_it(unread: Api) -> None:
    unread.read(said(card("net", "c" * 64)), said(OTHER, (0.4, 0.6)))
    status, told = unread.post(Models=["net"])
    assert (status, "net has not read it" in told["Details"]) == (400, True)
    assert shown(unread.post(Timeout=0)[1]) == [("other", "Dark", 0)]


def test_nobody_here_read_it(unread: Api) -> None:
    unread.read(said(card("net", "c" * 64)), said(card("gone")))
    status, told = unread.post()
    assert (status, "analyze it again" in told["Details"]) == (409, True)


def test_a_model_that_gave_no_class_is_asked_for_one_by_name(unread: Api) -> None:
    unread.read(said(NET, unlike=2.0), said(OTHER, (0.4, 0.6)))
    assert shown(unread.post(Timeout=0)[1]) == [("other", "Dark", 0)]
    status, told = unread.post(Models=["net"])
    assert (status, "unlike its training data" in told["Details"]) == (400, True)
    assert shown(unread.post(Class="Malignant", Timeout=0)[1]) == [("net", "Malignant", 0)]


def test_what_a_model_was_not_made_for_is_not_explained(unread: Api) -> None:
    reason = "made for pictures, not for Hounsfield units"
    unread.read(replace(said(NET), withheld=reason), said(OTHER, (0.4, 0.6)))
    assert shown(unread.post(Timeout=0)[1]) == [("other", "Dark", 0)]
    assert unread.post(Class="Malignant", Models=["net"])[0] == 400


def test_where_no_model_was_made_for_it_the_reason_is_the_answer(unread: Api) -> None:
    reason = "made for pictures, not for Hounsfield units"
    unread.read(*(replace(said(one), withheld=reason) for one in (NET,)))
    status, told = unread.post(Class="Malignant")
    assert (status, reason in told["Details"]) == (409, True)


def test_a_class_that_was_not_given_has_no_probability(unread: Api) -> None:
    unread.read(said(NET, unlike=2.0), said(OTHER, (0.4, 0.6)))
    (made,) = unread.post(Class="Malignant", Timeout=0)[1]["Explanations"]
    assert (made["Withheld"], made["Probability"]) == ("unlike its training data", None)
    (listed,) = unread.call("GET", f"/preread/instances/{INSTANCE}")[1]["Explanations"]
    assert (listed["Withheld"], listed["Probability"]) == ("unlike its training data", None)


def test_the_likeliest_frame_is_meant_unless_one_is_named(unread: Api) -> None:
    unread.read(said(NET, (0.6, 0.3, 0.1), (0.1, 0.9, 0.0)))
    assert shown(unread.post(Timeout=0)[1]) == [("net", "Malignant", 1)]
    assert shown(unread.post(Timeout=0, Frame=0)[1]) == [("net", "Malignant", 0)]
