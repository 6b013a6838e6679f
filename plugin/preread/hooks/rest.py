"""REST as Orthanc's own feels: paths, JSON, and errors with HttpStatus, Message and Details."""

from __future__ import annotations

import http
import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orthanc

from preread.errors import PrereadError
from preread.hooks import log
from preread.hooks.origins import Origins
from preread.ledger.errors import LedgerError


class RestError(PrereadError):
    """An error that is answered with a status code of its own.

    Parameters
    ----------
    status
        The HTTP status, 400 to 599.
    details
        What was expected and what to do.
    headers
        Of the answer, such as Retry-After.
    """

    def __init__(self, status: int, details: str, headers: Mapping[str, str] | None = None) -> None:
        super().__init__(details)
        self.status = status
        self.headers = headers or {}


_LARGEST_JSON: Final = 8 * 2**20
_DEEPEST_JSON: Final = 16
# A string, closed or not, so that each letter is looked at once; or a bracket.
_NESTING: Final = re.compile(rb'"[^"\\]*(?:\\.[^"\\]*)*(?:"|\\?\Z)|[][{}]', flags=re.DOTALL)
_DEEPER: Final = {ord("["): 1, ord("{"): 1, ord("]"): -1, ord("}"): -1}


def _is_too_deep(body: bytes) -> bool:
    if body.count(b"[") + body.count(b"{") <= _DEEPEST_JSON:
        return False
    depth = 0
    for found in _NESTING.finditer(body):
        depth += _DEEPER.get(body[found.start()], 0)
        if depth > _DEEPEST_JSON:
            return True
    return False


@dataclass(frozen=True, slots=True)
class Request:
    """One call of the API."""

    method: str
    path: str
    groups: tuple[str, ...]
    query: Mapping[str, str]
    headers: Mapping[str, str]
    body: bytes

    def json(self, largest: int = _LARGEST_JSON) -> dict[str, Any]:
        """Return the body as a JSON object; an empty body is an empty object.

        Parameters
        ----------
        largest
            Bytes that it may have.

        Raises
        ------
        RestError
            400, if it is anything else, or nested deeper than anything that is asked for; 413, if
            it is larger.
        """
        if len(self.body) > largest:
            raise RestError(413, f"expected at most {largest} bytes of JSON")
        if not self.body.strip():
            return {}
        # Before it is parsed: the parser calls itself for each level, and the threads of Orthanc
        # that call us have room for few.
        if _is_too_deep(self.body):
            raise RestError(400, f"expected JSON nested at most {_DEEPEST_JSON} deep")
        try:
            # As text: of bytes the parser would guess the encoding, and find another nesting.
            value = json.loads(self.body.decode("utf-8"))
        except (ValueError, RecursionError):
            raise RestError(400, "the body is not JSON; expected a JSON object") from None
        if not isinstance(value, dict):
            raise RestError(400, "expected a JSON object in the body")
        return value

    def number(self, name: str, default: int, *, smallest: int, largest: int) -> int:
        """Return a whole number of the query.

        Raises
        ------
        RestError
            400, if it is not one in the range.
        """
        text = self.query.get(name, str(default))
        if not re.fullmatch(r"\d{1,9}", text) or not smallest <= int(text) <= largest:
            raise RestError(400, f"?{name}: expected a whole number from {smallest} to {largest}")
        return int(text)


@dataclass(frozen=True, slots=True)
class Answer:
    """What a call is answered with; `body` is encoded as JSON unless it is text or bytes."""

    body: Any
    status: int = 200
    content_type: str = "application/json"
    headers: Mapping[str, str] = field(default_factory=dict)


Handler = Callable[[Request], Answer]


@dataclass(frozen=True, slots=True)
class Route:
    """A method and a path (a regular expression for the whole of it), and who answers.

    `query` are the parameters that it knows, None for any.
    """

    method: str
    pattern: re.Pattern[str]
    handler: Handler
    query: frozenset[str] | None = None


class Router:
    """Sends each call below ``/preread`` to its handler, and every error back as JSON.

    Parameters
    ----------
    routes
        The first one that matches answers.
    origins
        Tells whose page sends: those of other sites may only read.
    """

    def __init__(self, routes: Sequence[Route], origins: Origins) -> None:
        self._routes = tuple(routes)
        self._origins = origins

    def __call__(self, output: orthanc.RestOutput, uri: str, **request: Any) -> None:
        """Answer a call; this is what Orthanc gets as its callback."""
        method = str(request.get("method", "GET"))
        try:
            answer = self._dispatch(method, uri, request)
        except RestError as error:
            answer = _error(error.status, str(error), method, uri, error.headers)
        except LedgerError as error:
            log.error(f"{method} {_pattern_of(uri)}: {error}")
            answer = _error(503, str(error), method, uri)
        except PrereadError as error:
            log.error(f"{method} {_pattern_of(uri)}: {error}")
            answer = _error(500, str(error), method, uri)
        except Exception as error:  # noqa: BLE001 - no traceback may reach a client
            log.error(f"{method} {_pattern_of(uri)}: unexpected {type(error).__name__}")
            answer = _error(500, "unexpected error; see Orthanc's log", method, uri)
        _send(output, answer)

    def _dispatch(self, method: str, uri: str, request: Mapping[str, Any]) -> Answer:
        path = uri.rstrip("/") or "/"
        if method != "GET" and (reason := self._origins.refusal(request.get("headers") or {})):
            raise RestError(403, reason)
        allowed: list[str] = []
        for route in self._routes:
            found = route.pattern.fullmatch(path)
            if found is None:
                continue
            if route.method != method:
                allowed.append(route.method)
                continue
            query = request.get("get") or {}
            _check_query(route, query)
            return route.handler(
                Request(
                    method,
                    path,
                    found.groups(),
                    query,
                    request.get("headers") or {},
                    request.get("body") or b"",
                )
            )
        if allowed:
            return Answer("", 405, headers={"Allow": ",".join(allowed)})
        raise RestError(404, "there is no such resource; GET /preread lists what there is")


def _check_query(route: Route, query: Mapping[str, str]) -> None:
    """Refuse parameters that a route does not know: without them it would answer all there is."""
    if route.query is None or route.query.issuperset(query):
        return
    known = ", ".join(f"?{name}" for name in sorted(route.query)) or "none"
    unknown = min(set(query) - route.query)[:40]
    raise RestError(400, f"?{unknown} is no parameter of this path; it knows {known}")


def _pattern_of(uri: str) -> str:
    """Return the path without what a caller put into it: somebody may ask for an original."""
    return re.sub(r"(?<=/)[^/]*[\d.^=][^/]*", "{id}", re.sub(r"[^\w/.^=-]", "_", uri))[:120]


def _error(
    status: int, details: str, method: str, uri: str, headers: Mapping[str, str] | None = None
) -> Answer:
    phrase = http.HTTPStatus(status).phrase
    body = {
        "Details": details,
        "HttpError": phrase,
        "HttpStatus": status,
        "Message": phrase,
        "Method": method,
        "Uri": uri,
    }
    return Answer(body, status, headers=headers or {})


def _send(output: orthanc.RestOutput, answer: Answer) -> None:
    if answer.status == 405:
        # Orthanc answers this one itself, without a body, and refuses it as an ordinary status.
        output.SendMethodNotAllowed(answer.headers["Allow"])
        return
    for key, value in answer.headers.items():
        output.SetHttpHeader(key, value)
    body = answer.body
    if not isinstance(body, str | bytes):
        # ASCII only: Orthanc wants the length in bytes beside a text.
        body = json.dumps(body, indent=2, ensure_ascii=True) + "\n"
    if answer.status == 200:
        output.AnswerBuffer(body, answer.content_type)
        return
    text = body if isinstance(body, str) else body.decode("ascii", "replace")
    output.SetHttpHeader("Content-Type", answer.content_type)
    try:
        output.SendHttpStatus(answer.status, text, len(text.encode()))
    except TypeError:
        # orthanc-python 5 (Debian 13) counts for itself, and has sent nothing yet.
        output.SendHttpStatus(answer.status, text)
