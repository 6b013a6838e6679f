"""GET /preread/ui: the review page, from memory."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Final

from preread.hooks.rest import Answer, Request, RestError

_TYPES: Final = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
}
_PAGE: Final = "index.html"
_EXPLORER: Final = "explorer.js"
_HEADERS: Final = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'self'"
    ),
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    # After an update no page may run with half of its files from before.
    "Cache-Control": "no-cache",
}


@dataclass(frozen=True, slots=True)
class _File:
    content: bytes
    content_type: str


@cache
def _files() -> dict[str, _File]:
    """Read the page's files once; what is not among them is never served."""
    return {
        one.name: _File(one.read_bytes(), _TYPES[suffix])
        for one in files("preread.web").iterdir()
        if (suffix := f".{one.name.rpartition('.')[2]}") in _TYPES and one.name != _EXPLORER
    }


def page(_request: Request) -> Answer:
    """Answer ``GET /preread/ui``, which is also what Orthanc makes of ``/preread/ui/``."""
    return _answer(_PAGE)


def file(request: Request) -> Answer:
    """Answer ``GET /preread/ui/{file}``.

    Raises
    ------
    RestError
        404 for anything but the page's own files.
    """
    return _answer(request.groups[0])


def _answer(name: str) -> Answer:
    found = _files().get(name)
    if found is None:
        raise RestError(404, "there is no such file of the review page")
    return Answer(found.content, content_type=found.content_type, headers=_HEADERS)


def explorer_button() -> str:
    """Return the script that puts a button into Orthanc Explorer."""
    return files("preread.web").joinpath(_EXPLORER).read_text(encoding="utf-8")
