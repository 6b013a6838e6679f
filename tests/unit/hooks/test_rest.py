"""The router: paths, methods, and errors as Orthanc answers them."""

import importlib
import json
import re
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def rest(orthanc: ModuleType) -> Any:
    return importlib.import_module("preread.hooks.rest")


def call(
    rest: Any, handler: Any, *, method: str = "GET", uri: str = "/preread/a", **more: Any
) -> Any:
    origins = importlib.import_module("preread.hooks.origins").Origins()
    router = rest.Router([rest.Route("GET", re.compile(r"/preread/(\w+)"), handler)], origins)
    output = rest.orthanc.RestOutput()
    router(output, uri, method=method, **more)
    return output.calls


def error_of(calls: Any) -> dict[str, Any]:
    name, (status, body, size) = calls[-1]
    assert name == "SendHttpStatus"
    assert size == len(body.encode())
    decoded: dict[str, Any] = json.loads(body)
    assert decoded["HttpStatus"] == status
    return decoded


def test_an_answer_is_json(rest: Any) -> None:
    calls = call(rest, lambda request: rest.Answer({"Id": request.groups[0]}))
    name, (body, mime) = calls[-1]
    assert name == "AnswerBuffer"
    assert mime == "application/json"
    assert json.loads(body) == {"Id": "a"}


def test_an_orthanc_that_counts_for_itself_gets_the_text_alone(
    rest: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent: list[tuple[Any, ...]] = []

    def send(_self: Any, *arguments: Any) -> None:
        if len(arguments) != 2:
            raise TypeError("Bad types for the arguments (2 arguments expected)")
        sent.append(arguments)

    monkeypatch.setattr(rest.orthanc.RestOutput, "SendHttpStatus", send)
    call(rest, lambda _: rest.Answer({}), uri="/preread/a/b")
    [(status, body)] = sent
    assert (status, json.loads(body)["HttpStatus"]) == (404, 404)


def test_an_unknown_path_is_404(rest: Any) -> None:
    error = error_of(call(rest, lambda _: rest.Answer({}), uri="/preread/a/b"))
    assert error["HttpStatus"] == 404
    assert error["Uri"] == "/preread/a/b"


def test_another_method_is_405_and_told(rest: Any) -> None:
    calls = call(rest, lambda _: rest.Answer({}), method="POST")
    assert calls == [("SendMethodNotAllowed", ("GET",))]


def test_our_own_errors_keep_their_status_and_words(rest: Any) -> None:
    def refuse(_: Any) -> Any:
        raise rest.RestError(409, "the job is running")

    error = error_of(call(rest, refuse))
    assert error["HttpStatus"] == 409
    assert error["Details"] == "the job is running"


def test_no_unexpected_error_reaches_a_client(rest: Any, orthanc: Any) -> None:
    def break_down(_: Any) -> Any:
        raise ValueError("Doe^Jane")

    error = error_of(call(rest, break_down))
    assert error["HttpStatus"] == 500
    assert "Doe" not in json.dumps(error)
    logged = " ".join(str(args) for args in orthanc.called("LogError"))
    assert "ValueError" in logged
    assert "Doe" not in logged


@pytest.mark.parametrize("body", [b"[1]", b"{", b"\xff\xfe", b"[" * 100_000])
def test_a_body_that_is_no_object_is_400(rest: Any, body: bytes) -> None:
    error = error_of(call(rest, lambda request: rest.Answer(request.json()), body=body))
    assert error["HttpStatus"] == 400


@pytest.mark.parametrize(
    ("body", "status"),
    [
        (b"[" * 17, 400),
        (b'{"a":' * 900, 400),
        # What a parser that guesses the encoding takes for strings and brackets.
        (('{"\u2222":' * 900).encode("utf-16-le"), 400),
        (b'{"a": "' + b'\\"' * 200_000, 400),
        (b'{"a": "\\', 400),
        (b'{"a": ' + b"[" * 15 + b"1" + b"]" * 15 + b"}", 200),
        (b'{"a": "\\"' + b"[" * 5000 + b'", "b": [[1], [2]]}', 200),
        (b'{"a": [' + b"[1, 2], " * 5000 + b"[3, 4]]}", 200),
        (b'{"a": "' + b"x" * 2**23 + b'"}', 413),
    ],
)
def test_json_is_judged_before_it_is_parsed(
    rest: Any, monkeypatch: pytest.MonkeyPatch, body: bytes, status: int
) -> None:
    parsed: list[str] = []
    original = json.loads

    def loads(text: str) -> Any:
        parsed.append(text)
        return original(text)

    monkeypatch.setattr(rest.json, "loads", loads)
    calls = call(rest, lambda request: rest.Answer({"Keys": len(request.json())}), body=body)
    assert (calls[-1][0] == "AnswerBuffer") == (status == 200)
    assert status == 200 or calls[-1][1][0] == status
    assert all(text.count("[") + text.count("{") < 6000 for text in parsed)


def test_an_empty_body_is_an_empty_object(rest: Any) -> None:
    calls = call(rest, lambda request: rest.Answer(request.json()), body=b"")
    assert json.loads(calls[-1][1][0]) == {}


@pytest.mark.parametrize("text", ["-1", "x", "1e9", "101", "9" * 30])
def test_a_number_out_of_range_is_400(rest: Any, text: str) -> None:
    def handler(request: Any) -> Any:
        return rest.Answer(request.number("limit", 10, smallest=1, largest=100))

    error = error_of(call(rest, handler, get={"limit": text}))
    assert error["HttpStatus"] == 400
    assert "limit" in error["Details"]
