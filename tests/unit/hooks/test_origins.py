"""Whose page a request comes from, and what the HTTP filter lets through."""

from __future__ import annotations

import importlib
from types import ModuleType
from typing import Any

import pytest
from pydantic import ValidationError

from preread.sections import RestSettings, Settings

BROWSER = {"user-agent": "Mozilla/5.0 (X11) Firefox/128.0", "accept-language": "en"}
INSTANCE = "-".join(["0a1b2c3d"] * 5)


@pytest.fixture
def origins(orthanc: ModuleType) -> Any:
    module = importlib.import_module("preread.hooks.origins")
    return module.Origins(("https://pacs.example.org", "http://viewer.example.org:3000"), "reader")


@pytest.mark.parametrize(
    "headers",
    [
        {"host": "pacs.example.org:8042"},
        {"host": "10.0.0.5:8042", "user-agent": "curl/8.0"},
        {"host": "x", "user-agent": "Mozilla/5.0 (Windows NT) WindowsPowerShell/5.1"},
        # Node's own fetch is no browser, and says whose page it is as little as curl does.
        {"host": "x", "user-agent": "node", "accept-language": "*", "sec-fetch-mode": "cors"},
    ],
)
def test_a_client_that_is_no_browser_is_let_through(origins: Any, headers: dict[str, str]) -> None:
    assert origins.refusal(headers) == ""


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://127.0.0.1:8042", "127.0.0.1:8042"),
        ("http://localhost:8042", "LocalHost:8042"),
        ("http://[::1]:8042", "[::1]:8042"),
        ("http://10.0.0.5", "10.0.0.5:80"),
        ("https://10.0.0.5:443", "10.0.0.5"),
        ("http://pacs:8042", "pacs:8042"),
        ("https://pacs.example.org", "127.0.0.1:8042"),
        ("https://PACS.example.org:443", "whatever"),
        ("http://viewer.example.org:3000", "127.0.0.1:8042"),
    ],
)
def test_own_pages_and_those_of_allowed_origins_are_let_through(
    origins: Any, origin: str, host: str
) -> None:
    assert origins.refusal(BROWSER | {"Origin": origin, "Host": host}) == ""


@pytest.mark.parametrize(
    ("origin", "host"),
    [
        ("http://evil.example", "127.0.0.1:8042"),
        ("http://localhost:3000", "localhost:8042"),
        ("https://127.0.0.1", "127.0.0.1:80"),
        ("http://127.0.0.1:8042", "localhost:8042"),
        # A name that was made to mean this machine: the page and the host agree.
        ("http://evil.example:8042", "evil.example:8042"),
        ("http://pacs.example.org", "pacs.example.org"),
        ("null", "127.0.0.1:8042"),
        ("", "127.0.0.1:8042"),
        ("http://127.0.0.1:8042 http://evil.example", "127.0.0.1:8042"),
        ("http://a@127.0.0.1:8042", "127.0.0.1:8042"),
        ("http://127.0.0.1:8042/x", "127.0.0.1:8042"),
        ("http://127.0.0.1:99999", "127.0.0.1:99999"),
        ("http://[::1", "[::1"),
        ("file://", "127.0.0.1:8042"),
        ("http://127.0.0.1:8042", ""),
    ],
)
def test_pages_of_other_sites_are_refused(origins: Any, origin: str, host: str) -> None:
    assert "AllowedOrigins" in origins.refusal({"origin": origin, "host": host})


@pytest.mark.parametrize("site", ["cross-site", "same-site"])
def test_a_browser_that_says_it_is_another_site_is_refused(origins: Any, site: str) -> None:
    told = {"host": "127.0.0.1:8042", "sec-fetch-site": site}
    assert origins.refusal(told)


def test_a_browsers_get_that_is_to_do_more_is_refused(origins: Any) -> None:
    # An image of another site: /instances/...?_method=DELETE. Orthanc calls that a DELETE; a
    # browser's own DELETE would name its origin.
    assert origins.refusal(BROWSER | {"host": "127.0.0.1:8042"})


@pytest.mark.parametrize("origin", ["pacs.example.org", "https://pacs/x", "ftp://pacs", "null", ""])
def test_a_setting_that_is_no_origin_is_told(origin: str) -> None:
    with pytest.raises(ValidationError, match=r"https://pacs\.example\.org"):
        RestSettings.model_validate({"AllowedOrigins": [origin]})


class Filter:
    """The filter before one that notes what reaches it."""

    def __init__(self, orthanc: Any, **settings: Any) -> None:
        self.orthanc, self.reached = orthanc, list[str]()
        module = importlib.import_module("preread.hooks.request_filter")
        told = Settings.model_validate({"Deidentify": {"Mode": "incoming"}} | settings)
        self._filter = module.RequestFilter.of(told, self._judge)

    def _judge(self, uri: str, **_: Any) -> bool:
        self.reached.append(uri)
        return True

    def ask(self, method: str, uri: str, headers: dict[str, str] | None = None) -> bool:
        self.reached.clear()
        allowed = self._filter(
            uri,
            method=getattr(self.orthanc.HttpMethod, method),
            headers=headers or {"host": "127.0.0.1:8042"},
            ip="127.0.0.1",
            get=None,
        )
        assert allowed == (self.reached == [uri])
        return bool(allowed)


FOREIGN = {"origin": "http://evil.example", "host": "127.0.0.1:8042"}


def test_no_page_of_another_site_changes_anything_of_orthancs(orthanc: ModuleType) -> None:
    asked = Filter(orthanc)
    assert asked.ask("GET", "/instances", FOREIGN)
    for method in ("POST", "PUT", "DELETE"):
        assert not asked.ask(method, "/instances", FOREIGN)
        assert asked.ask(method, "/studies")
    # Those of our own routes are answered by the router, which says what to do.
    assert asked.ask("POST", "/preread/images", FOREIGN)
    assert not asked.ask("POST", "/prereadx", FOREIGN)


def test_a_refusal_is_told_once_and_names_no_more_than_it_needs(orthanc: Any) -> None:
    asked = Filter(orthanc)
    for number in range(3):
        assert not asked.ask("POST", f"/instances/{number}", FOREIGN)
    assert not asked.ask("POST", "/x", FOREIGN | {"origin": "http://e\nvil" + "x" * 4000})
    told = [args[0] for args in orthanc.called("LogWarning")]
    assert len(told) == 2
    assert "http://evil.example" in told[0]
    assert "Preread.Rest.AllowedOrigins" in told[0]
    assert all(len(line) < 400 and "\n" not in line for line in told)


@pytest.mark.parametrize("level", ["patients", "studies", "series", "instances"])
@pytest.mark.parametrize("what", ["attachments", "metadata", "labels"])
def test_nothing_is_put_beside_deidentified_objects(
    orthanc: ModuleType, level: str, what: str
) -> None:
    asked = Filter(orthanc)
    for path in (f"/{level}/{INSTANCE}/{what}/1024", f"//{level}//{INSTANCE}/{what}/x/"):
        assert not asked.ask("PUT", path)
        assert asked.ask("GET", path)
        assert asked.ask("DELETE", path)
    assert asked.ask("POST", f"/{level}/{INSTANCE}/attachments/dicom/verify-md5")
    assert Filter(orthanc, Deidentify={"Mode": "off"}, Predictions={"Placement": "derived"}).ask(
        "PUT", f"/{level}/{INSTANCE}/{what}/1024"
    )
    assert Filter(orthanc, Rest={"AllowUnchecked": True}).ask(
        "PUT", f"/{level}/{INSTANCE}/{what}/1024"
    )


def test_a_request_that_cannot_be_judged_is_refused_and_reading_goes_on(
    orthanc: ModuleType,
) -> None:
    asked = Filter(orthanc)
    odd: Any = {"origin": 7}
    assert not asked.ask("POST", "/instances", odd)
    assert asked.ask("GET", "/instances", odd)
