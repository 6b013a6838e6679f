"""Orthanc over HTTP, as far as it can be told without one."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import pytest

from preread.archive import pacs as module
from preread.archive.pacs import (
    Kept,
    OrthancPacs,
    PacsFailedError,
    PacsRefusedError,
    PacsUnreachableError,
    Refused,
    Stored,
    Superseded,
)

INSTANCE = "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d"
Handler = Callable[[httpx.Request], httpx.Response]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_FIRST_PAUSE", 0.001)
    monkeypatch.setattr(module, "_LONGEST_PAUSE", 0.001)
    monkeypatch.setattr(module, "_JITTER", 0.0)


def connected(handler: Handler, **options: Any) -> OrthancPacs:
    return OrthancPacs("http://orthanc:8042", transport=httpx.MockTransport(handler), **options)


def answering(*answers: httpx.Response | Exception) -> tuple[OrthancPacs, list[httpx.Request]]:
    left: Iterator[httpx.Response | Exception] = iter(answers)
    asked: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        answer = next(left)
        if isinstance(answer, Exception):
            raise answer
        return answer

    return connected(handle), asked


def test_a_file_is_fetched_and_a_missing_one_is_none() -> None:
    pacs, asked = answering(httpx.Response(200, content=b"DICM"), httpx.Response(404))
    assert pacs.file(INSTANCE) == b"DICM"
    assert pacs.file(INSTANCE) is None
    assert asked[0].url.path == f"/instances/{INSTANCE}/file"


def test_what_may_be_repeated_is_repeated() -> None:
    refused = httpx.ConnectError("refused")
    pacs, asked = answering(refused, httpx.Response(503), httpx.Response(200, json={}))
    assert pacs.exists(INSTANCE)
    assert len(asked) == 3
    pacs, asked = answering(refused, refused, httpx.Response(404))
    assert not pacs.delete(INSTANCE)
    assert [request.method for request in asked] == ["DELETE"] * 3


def test_after_some_tries_it_is_given_up() -> None:
    pacs, asked = answering(*[httpx.ReadTimeout("slow")] * 10)
    with pytest.raises(PacsUnreachableError, match=r"GET /instances/\{id\}/file.*ReadTimeout"):
        pacs.file(INSTANCE)
    assert len(asked) == 4
    pacs, _ = answering(*[httpx.Response(500, json={"Message": "Disk full"})] * 10)
    with pytest.raises(PacsFailedError, match=r"HTTP 500 \(Disk full"):
        pacs.announce({})


def test_storing_is_not_repeated() -> None:
    pacs, asked = answering(httpx.ReadError("reset"), httpx.Response(200))
    with pytest.raises(PacsUnreachableError):
        pacs.store(b"DICM")
    assert len(asked) == 1


@pytest.mark.parametrize(
    ("answer", "outcome"),
    [
        (httpx.Response(200, json={"ID": INSTANCE, "Status": "Success"}), Stored(INSTANCE)),
        (httpx.Response(200, json={"ID": INSTANCE, "Status": "AlreadyStored"}), Kept(INSTANCE)),
        (httpx.Response(200, json={"ID": "", "Status": "FilteredOut"}), Superseded()),
        (
            httpx.Response(400, json={"Message": "Bad file format", "HttpStatus": 400}),
            Refused("Orthanc answers HTTP 400 (Bad file format)"),
        ),
        (httpx.Response(413), Refused("Orthanc answers HTTP 413")),
    ],
)
def test_the_outcomes_of_storing(answer: httpx.Response, outcome: module.StoreOutcome) -> None:
    pacs, asked = answering(answer)
    assert pacs.store(b"DICM") == outcome
    assert asked[0].url.path == "/instances"
    assert asked[0].content == b"DICM"


def test_what_is_not_orthanc_is_told() -> None:
    pacs, _ = answering(*[httpx.Response(200, text="<html>")] * 2)
    with pytest.raises(PacsRefusedError, match="is the URL that of"):
        pacs.store(b"DICM")
    with pytest.raises(PacsRefusedError, match="is the URL that of"):
        pacs.json("/preread/status")


def test_denied_access_is_no_fault_of_an_image() -> None:
    pacs, _ = answering(*[httpx.Response(401)] * 20)
    with pytest.raises(PacsUnreachableError, match=r"denies access \(HTTP 401\)"):
        pacs.file(INSTANCE)
    with pytest.raises(PacsUnreachableError, match="denies access"):
        pacs.store(b"DICM")
    assert not pacs.answers()


def test_a_token_or_a_user_is_sent() -> None:
    seen: list[str] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers.get("Authorization", ""))
        return httpx.Response(200, json={})

    assert connected(handle, token="Bearer t", username="u", password="p").answers()
    assert connected(handle, username="u", password="p").answers()
    assert connected(handle).answers()
    basic = "Basic " + base64.b64encode(b"u:p").decode()
    assert seen == ["Bearer t", basic, ""]
