"""The networks that are DICOM objects, and which one an image is for, over REST."""

from __future__ import annotations

import importlib
import json
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preread.iodeep.trust import STRANGER
from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.network import NetworkDescription
from preread.ledger.sql import SqlLedger
from preread.models.anatomy import code_of
from preread.models.catalogue import Catalogue
from preread.sections import Settings
from tests.unit.ledger.conftest import Clock, MakeArrival, arrival_of, orthanc_id  # noqa: F401
from tests.unit.ledger.test_networks import DESCRIBED

LUNG = code_of("lung")
CHEST = replace(DESCRIBED, DnnUID="1.2.1", DnnName="chest")
HEAD = replace(DESCRIBED, DnnUID="1.2.2", DnnName="head", Modality="MR", BodyPartExamined="HEAD")
LIVER = replace(DESCRIBED, DnnUID="1.2.3", DnnName="liver", BodyPartExamined="LIVER")


class Api:
    """The routes on a real ledger."""

    def __init__(self, orthanc: Any, ledger: SqlLedger, arrival: MakeArrival) -> None:
        self.orthanc, self.ledger, self._arrival = orthanc, ledger, arrival
        self._seq = 0
        context = SimpleNamespace(
            catalogue=Catalogue(()),
            ledger=lambda: ledger,
            site=SimpleNamespace(settings=Settings()),
        )
        self._router = importlib.import_module("preread.hooks.routes").router(context)

    def arrive(self, number: int, **facts: Any) -> Arrival:
        arrival = self._arrival(number, **{"models": (), "work": False} | facts)
        self._seq += 1
        moment = Clock()()
        event = Event(self._seq, EventKind.STORED, arrival.instance, self._seq, moment, arrival)
        self.ledger.apply("journal", [event])
        return arrival

    def network(self, number: int, described: NetworkDescription) -> None:
        self.arrive(number, network="received", reason="sent by a trusted user")
        network = self.ledger.network_checks.reserve("runner", 60)
        assert network is not None
        assert self.ledger.network_checks.accept(network, described)

    def get(self, path: str = "", **query: str) -> tuple[int, Any]:
        output = self.orthanc.RestOutput()
        self._router(output, f"/preread/iodeep{path}", method="GET", get=query)
        name, arguments = output.calls[-1]
        if name == "AnswerBuffer":
            return 200, json.loads(arguments[0])
        return arguments[0], json.loads(arguments[1])["Details"]


@pytest.fixture
def api(orthanc: Any, tmp_path: Path, arrival_of: MakeArrival) -> Any:  # noqa: F811
    ledger = SqlLedger(f"sqlite:///{tmp_path}/ledger.sqlite", clock=Clock())
    yield Api(orthanc, ledger, arrival_of)
    ledger.close()


@pytest.fixture
def several(api: Api) -> Api:
    for number, described in enumerate((CHEST, HEAD, LIVER)):
        api.network(number, described)
    api.arrive(7, network="untrusted", reason=STRANGER)
    return api


def test_all_networks_are_listed_with_where_they_stand(several: Api) -> None:
    status, listed = several.get()
    assert status == 200
    assert {each.get("DnnUID"): each["State"] for each in listed} == {
        "1.2.1": "valid",
        "1.2.2": "valid",
        "1.2.3": "valid",
        None: "untrusted",
    }
    (stranger,) = (each for each in listed if each["State"] == "untrusted")
    assert "never run" in stranger["Reason"]
    assert stranger["Trusted"] is None
    assert several.get("/1.2.2")[1]["DnnName"] == "head"
    status, why = several.get("/1.2.9")
    assert status == 404
    assert "GET /preread/iodeep" in why


def test_nothing_is_an_empty_list(api: Api) -> None:
    assert api.get() == (200, [])
    status, told = api.get(Modality="CT", SamplesPerPixel="1")
    assert (status, told["DnnUID"], told["Candidates"]) == (200, None, [])
    assert "no network" in told["Warning"]


def test_each_candidate_is_answered_with_what_it_failed_on(several: Api) -> None:
    _, told = several.get(Modality="CT", SamplesPerPixel="1", BodyPartExamined="CHEST")
    assert (told["DnnUID"], told["Warning"]) == ("1.2.1", "")
    found = {each["DnnName"]: (each["Fits"], each["FailedOn"]) for each in told["Candidates"]}
    assert found == {
        "chest": (True, None),
        "head": (False, "Modality"),
        "liver": (False, "BodyPartExamined"),
    }
    assert told["Candidates"][0]["ByTheArticle"]
    assert [each["State"] for each in told["NotConsidered"]] == ["untrusted"]
    _, told = several.get(Modality="CT", SamplesPerPixel="3", BodyPartExamined="CHEST")
    failed = {each["DnnName"]: each["FailedOn"] for each in told["Candidates"]}
    assert failed == {"chest": "SamplesPerPixel", "head": "Modality", "liver": "SamplesPerPixel"}


def test_a_description_counts_where_nothing_names_a_part(several: Api) -> None:
    _, told = several.get(Modality="CT", SamplesPerPixel="1", StudyDescription="CT CHEST ROUTINE")
    assert told["DnnUID"] == "1.2.1"
    assert "ROUTINE" not in json.dumps(told)


def test_codes_that_were_kept_at_arrival_count_for_networks_that_come_later(api: Api) -> None:
    image = api.arrive(5, body_parts=(LUNG,))
    tags = {"Modality": "CT", "SamplesPerPixel": "1", "Rows": "512"}
    api.orthanc.answers["RestApiGet"] = json.dumps(tags).encode()
    _, told = api.get(instance=image.instance)
    assert told["DnnUID"] is None
    api.network(0, CHEST)
    for identifier in (image.instance, image.SOPInstanceUID):
        _, told = api.get(instance=identifier)
        assert told["DnnUID"] == "1.2.1"
        assert told["Image"]["BodyParts"] == [LUNG]
    asked = api.orthanc.called("RestApiGet")[-1]
    assert asked == (f"/instances/{image.instance}/simplified-tags",)


def test_coded_regions_of_a_stored_image_count(several: Api) -> None:
    image = several.arrive(5, body_parts=())
    tags = {
        "Modality": "CT",
        "SamplesPerPixel": "1",
        "AnatomicRegionSequence": [{"CodeValue": code_of("liver")}],
    }
    several.orthanc.answers["RestApiGet"] = json.dumps(tags).encode()
    assert several.get(instance=image.instance)[1]["DnnUID"] == "1.2.3"


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"Modality": "CT"}, "?SamplesPerPixel"),
        ({"SamplesPerPixel": "1"}, "?Modality"),
        ({"Modality": "CT", "SamplesPerPixel": "one"}, "?SamplesPerPixel"),
        ({"Modality": "CT", "SamplesPerPixel": "1", "Rows": "5"}, "?Rows"),
        ({"instance": "1.2", "Modality": "CT"}, "?instance"),
    ],
)
def test_a_query_that_means_nothing_is_refused(
    several: Api, query: dict[str, str], words: str
) -> None:
    status, why = several.get(**query)
    assert status == 400
    assert words in why


def test_an_image_that_nobody_knows_is_not_found(several: Api) -> None:
    assert several.get(instance=orthanc_id("nobody"))[0] == 404
    image = several.arrive(5)

    def fail(_: str) -> bytes:
        raise several.orthanc.OrthancException

    several.orthanc.RestApiGet = fail
    assert several.get(instance=image.instance)[0] == 404
