"""Waiting and reading back, against a server that answers as Orthanc does."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import httpx
import pytest
from dicomweb_client.api import DICOMwebClient

from preread.demo import reading
from preread.demo.errors import DemoError
from preread.demo.reading import images, outcomes, status, wait_until_read

STUDY, SERIES, INSTANCE = "1.2.3", "1.2.3.4", "1.2.3.4.5"


def _status(pending: int = 0, waiting: int = 0, starts: int = 1) -> dict[str, Any]:
    jobs = {"pending": pending, "running": 0, "done": 0, "unread": 0, "failed": 0}
    return {
        "Mode": "incoming",
        "Journal": {"Waiting": waiting, "Arriving": 0},
        "Runner": {"Starts": starts, "LastExitCode": 1},
        "Jobs": jobs,
    }


def _job(number: int, state: str) -> dict[str, Any]:
    return {
        "ID": number,
        "State": state,
        "Reason": "",
        "StudyInstanceUID": STUDY,
        "SOPInstanceUID": INSTANCE,
    }


def _metadata() -> dict[str, Any]:
    def element(vr: str, value: object) -> dict[str, Any]:
        return {"vr": vr, "Value": [value]}

    return {
        "00080018": element("UI", INSTANCE),
        "00080060": element("CS", "CT"),
        "00100020": element("LO", "pseudonym"),
        "0020000D": element("UI", STUDY),
        "0020000E": element("UI", SERIES),
        "00200013": element("IS", 7),
        "00550010": element("LO", "UACJ_VISOR"),
        "00551010": element("LO", "{ Model : MobileNetV2 }"),
        "00551011": element("LO", "{ Dataset : IQ-OTH/NCCD }"),
        "00551012": element("LO", "{ Date : 2026 11 21 09:23:52.123 }"),
        "00551013": element("LO", "{ FileName : 1.2.3.4.5.dcm }"),
        "00551014": element("LO", "{ FileSize : 526.862kB }"),
        "00551015": element("LO", "{ Class : Prediction(%) }"),
        "00551016": element("LO", "{ Malignant : 90.00 }"),
        "00551017": element("LO", "{ Normal : 10.00 }"),
    }


Answers = dict[str, Callable[[dict[str, list[str]]], Any]]


@pytest.fixture
def answers() -> Answers:
    return {}


@pytest.fixture
def orthanc(answers: Answers) -> Iterator[httpx.Client]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = urlsplit(self.path)
            view = answers.get(path.path)
            self.send_response(200 if view else 404)
            self.send_header("Content-Type", "application/dicom+json")
            self.end_headers()
            if view:
                self.wfile.write(json.dumps(view(parse_qs(path.query))).encode())

        def log_message(self, *arguments: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    with httpx.Client(base_url=f"http://127.0.0.1:{server.server_port}") as client:
        yield client
    server.shutdown()
    server.server_close()
    thread.join()


def _dicomweb(orthanc: httpx.Client) -> DICOMwebClient:
    return DICOMwebClient(str(orthanc.base_url.join("/dicom-web")))


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(reading, "_POLL_SECONDS", 0.001)


def test_waiting_ends_when_nothing_is_on_its_way(orthanc: httpx.Client, answers: Answers) -> None:
    told = iter([_status(waiting=3), _status(pending=2), _status(pending=1), _status()])
    answers["/preread/status"] = lambda _: next(told)
    seen: list[int] = []
    wait_until_read(orthanc, seen.append)
    assert seen == [3, 2, 1, 0]


def test_a_runner_that_keeps_ending_is_told(orthanc: httpx.Client, answers: Answers) -> None:
    answers["/preread/status"] = lambda _: _status(pending=2, starts=4)
    with pytest.raises(DemoError, match=r"the runner ended 3 times \(exit code 1\)"):
        wait_until_read(orthanc)


def test_a_standstill_is_told(
    orthanc: httpx.Client, answers: Answers, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reading, "_PATIENCE_SECONDS", 0.0)
    answers["/preread/status"] = lambda _: _status(pending=2)
    with pytest.raises(DemoError, match="2 images are still not read"):
        wait_until_read(orthanc)


def test_only_jobs_made_since_count(orthanc: httpx.Client, answers: Answers) -> None:
    answers["/preread/jobs"] = lambda _: [_job(9, "done"), _job(4, "unread"), _job(8, "failed")]
    assert [outcome.number for outcome in outcomes(orthanc, after=4)] == [9, 8]


def test_images_are_found_by_qido_and_read_by_wado(orthanc: httpx.Client, answers: Answers) -> None:
    asked: list[dict[str, list[str]]] = []

    def studies(query: dict[str, list[str]]) -> Any:
        asked.append(query)
        return [{"0020000D": {"vr": "UI", "Value": [STUDY]}}]

    answers["/dicom-web/studies"] = studies
    answers[f"/dicom-web/studies/{STUDY}/metadata"] = lambda _: [_metadata()]
    (image,) = images(_dicomweb(orthanc), [STUDY])
    assert asked[0]["StudyInstanceUID"] == [STUDY]
    assert (image.Modality, image.InstanceNumber, image.PatientID) == ("CT", 7, "pseudonym")
    assert image.results[0].Model == "MobileNetV2"
    assert image.results[0].classes[0] == ("Malignant", 90.0)


def test_a_study_that_is_not_there_has_no_images(orthanc: httpx.Client, answers: Answers) -> None:
    answers["/dicom-web/studies"] = lambda _: []
    assert list(images(_dicomweb(orthanc), [STUDY])) == []


def test_a_server_that_does_not_answer_is_told(orthanc: httpx.Client) -> None:
    with pytest.raises(DemoError, match="GET /preread/status failed"):
        status(orthanc)
    with pytest.raises(DemoError, match="does not answer as DICOMweb does"):
        list(images(_dicomweb(orthanc), [STUDY]))
