"""Orthanc's incoming HTTP filter: what nobody may ask, of whichever route, is refused here.

It sees the path, the method and the headers of every request before Orthanc does anything, never
the body. The method is the one that Orthanc will carry out, also where a GET asks for another by
``?_method``.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Mapping
from typing import Any, Final, Self

import orthanc

from preread.hooks import log
from preread.hooks.origins import Origins
from preread.sections import Mode, Settings

_BESIDE: Final = re.compile(
    r"/+(?:patients|studies|series|instances)/+[^/]+/+(?:attachments|metadata|labels)(?:/.*)?"
)
_UNCHECKED: Final = (
    "attachments, metadata and labels pass no de-identification; store a DICOM object, or set "
    "Preread.Rest.AllowUnchecked"
)
_TOLD: Final = 100  # different refusals that are logged
_LONGEST: Final = 300  # characters of one

Judge = Callable[..., bool]


class RequestFilter:
    """Refuses what pages of other sites send, and what would be stored past the receive hook.

    Parameters
    ----------
    origins
        Tells whose page sends.
    checks
        Whether attachments, metadata and labels are refused: no hook sees them.
    judge
        Decides on everything that is let through.
    """

    def __init__(self, origins: Origins, *, checks: bool, judge: Judge) -> None:
        self._origins = origins
        self._checks = checks
        self._judge = judge
        self._told: set[str] = set()

    @classmethod
    def of(cls, settings: Settings, judge: Judge) -> Self:
        """Make the filter that a site's settings ask for."""
        checks = settings.deidentify.mode is Mode.INCOMING and not settings.rest.allow_unchecked
        return cls(origins_of(settings), checks=checks, judge=judge)

    def __call__(self, uri: str, **request: Any) -> bool:
        """Tell whether Orthanc may carry a request out; it answers 403 to what is refused."""
        try:
            method = request.get("method")
            if method != orthanc.HttpMethod.GET:
                reason = self._refusal(uri, method, request.get("headers") or {})
                if reason:
                    self._tell(reason)
                    return False
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"an HTTP request was refused: unexpected {type(error).__name__}")
            return False
        return self._judge(uri, **request)

    def _refusal(self, uri: str, method: Any, headers: Mapping[str, str]) -> str:
        if self._checks and method == orthanc.HttpMethod.PUT and _BESIDE.fullmatch(uri):
            return _UNCHECKED
        # The router asks the same of our own routes, and its answer says what to do.
        if uri == "/preread" or uri.startswith("/preread/"):
            return ""
        return self._origins.refusal(headers)

    def _tell(self, reason: str) -> None:
        """Log a reason once: a page may ask a thousand times."""
        reason = reason[:_LONGEST]
        if reason not in self._told and len(self._told) < _TOLD:
            self._told.add(reason)
            log.warning(f"an HTTP request was refused: {reason}")


def origins_of(settings: Settings) -> Origins:
    """Return what tells whose page sends, as the site has set it."""
    return Origins(settings.rest.allowed_origins, socket.gethostname())
