"""Whose page a request comes from: a browser sends what any page that it shows tells it to.

Orthanc asks nobody where a request comes from, so a page of the internet that somebody opens beside
a viewer could store, change and delete what that somebody may.
"""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from preread.sections import ORIGIN

_PORTS: Final = {"http": 80, "https": 443}
_LONGEST: Final = 120  # characters of an origin that are repeated to anybody
_ADVICE: Final = (
    "list it in Preread.Rest.AllowedOrigins if it is a page of yours (docs/settings.md)"
)
_FOREIGN: Final = "it comes from the page of another site"
_DISGUISED: Final = (
    "a browser's GET asks for another method; expected that method itself, from a page of this "
    "server"
)


class _Place(NamedTuple):
    scheme: str
    host: str
    port: int


class Origins:
    """Tells requests of this server's own pages, and of programs, from those of other sites.

    Parameters
    ----------
    allowed
        Origins (RFC 6454), such as ``https://pacs.example.org``, whose pages are taken for ours: a
        proxy may stand before Orthanc, or Orthanc have a name.
    own_name
        The name of this machine.
    """

    def __init__(self, allowed: Iterable[str] = (), own_name: str = "") -> None:
        self._allowed = frozenset(_place_of(origin) for origin in allowed) - {None}
        self._own_name = own_name.lower()

    def refusal(self, headers: Mapping[str, str]) -> str:
        """Return why a request that may change something is refused; empty if it is not.

        A browser names the origin of the page in every request but GET and HEAD (Fetch Standard,
        3.2). It has to be the host that the request is sent to. That host must also be one that no
        stranger can make a name of theirs mean: an address, a name without a dot, this machine's
        own name. Whoever names no origin is a program, and is let through.

        Parameters
        ----------
        headers
            Of the request.
        """
        told = {key.lower(): value for key, value in headers.items()}
        origin = told.get("origin")
        if origin is None:
            if told.get("sec-fetch-site", "none") not in ("none", "same-origin"):
                return f"{_FOREIGN}; {_ADVICE}"
            return _DISGUISED if _is_browser(told) else ""
        page = _place_of(origin)
        if page in self._allowed:
            return ""
        if page is not None and page == _host_of(told.get("host", ""), page.scheme):
            if self._is_safe(page.host):
                return ""
            return f"{_shown(origin)} is a name that Preread does not know; {_ADVICE}"
        return f"{_FOREIGN}, {_shown(origin)}; {_ADVICE}"

    def _is_safe(self, host: str) -> bool:
        if "." not in host or host == self._own_name:
            return True
        try:
            ipaddress.ip_address(host)
        except ValueError:
            return False
        return True


def _is_browser(told: Mapping[str, str]) -> bool:
    # Programs that call themselves Mozilla, as PowerShell does, say nothing of their language.
    return "accept-language" in told and told.get("user-agent", "").startswith("Mozilla/")


def _place_of(origin: str) -> _Place | None:
    """Read an origin; None for ``null`` and for what is none."""
    text = origin.lower()
    if not ORIGIN.fullmatch(text):
        return None
    scheme, _, rest = text.partition("://")
    return _host_of(rest, scheme)


def _host_of(text: str, scheme: str) -> _Place | None:
    try:
        parts = urlsplit(f"//{text.lower()}")
        host, port = parts.hostname, parts.port
    except ValueError:
        return None
    if not host or parts.netloc != text.lower() or "@" in text:
        return None
    return _Place(scheme, host, _PORTS[scheme] if port is None else port)


def _shown(origin: str) -> str:
    return "".join(letter for letter in origin[:_LONGEST] if letter.isprintable()) or "unnamed"
