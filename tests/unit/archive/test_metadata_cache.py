"""What DICOMweb keeps of a series is forgotten when a result is stored in it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from preread.archive.metadata_cache import MetadataCache
from preread.archive.pacs import OrthancPacs, PacsFailedError, Stored, Superseded

SERIES = "-".join(["5e51e500"] * 5)


class Timer:
    """One that goes off when the test says so."""

    made: list[Timer] = []  # noqa: RUF012 - emptied for each test

    def __init__(self, _seconds: float, call: Callable[..., None], arguments: list[Any]) -> None:
        self.daemon = False
        self.state = ""
        self._call, self._arguments = call, arguments
        Timer.made.append(self)

    def start(self) -> None:
        self.state = "started"

    def cancel(self) -> None:
        self.state = "cancelled"

    def go_off(self) -> None:
        self._call(*self._arguments)


class Orthanc:
    def __init__(self, version: str | None) -> None:
        self.version = version
        self.asked = 0
        self.deleted: list[str] = []

    def plugin_version(self, name: str) -> str | None:
        assert name == "dicom-web"
        self.asked += 1
        return self.version

    def delete_path(self, path: str) -> bool:
        self.deleted.append(path)
        return True


def cache_of(orthanc: Orthanc, *, enabled: bool = True) -> MetadataCache:
    Timer.made = []
    return MetadataCache(orthanc, enabled=enabled, timer=Timer)  # type: ignore[arg-type]


def test_it_is_forgotten_at_once_and_once_more_after_the_last_result() -> None:
    orthanc = Orthanc("1.20")
    cache = cache_of(orthanc)
    for _ in range(3):
        cache.forget(SERIES)
    assert orthanc.deleted == [f"/series/{SERIES}/attachments/4301"] * 3
    assert orthanc.asked == 1
    assert [timer.state for timer in Timer.made] == ["cancelled", "cancelled", "started"]
    Timer.made[-1].go_off()
    assert len(orthanc.deleted) == 4
    cache.forget(SERIES)
    cache.close()
    assert Timer.made[-1].state == "cancelled"


@pytest.mark.parametrize(("version", "enabled"), [("1.7", True), (None, True), ("1.20", False)])
def test_nothing_is_asked_of_an_orthanc_without_a_cache(version: str | None, enabled: bool) -> None:
    orthanc = Orthanc(version)
    cache_of(orthanc, enabled=enabled).forget(SERIES)
    assert orthanc.deleted == []
    assert orthanc.asked == int(enabled)


@pytest.mark.parametrize("kept", [True, False])
def test_whoever_stores_is_told_after_it(kept: bool) -> None:
    calls: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        calls.append(f"{request.method} {request.url.path}")
        if request.method == "GET":
            return httpx.Response(200, json={"Version": "1.20"})
        if request.method == "DELETE":
            return httpx.Response(200 if kept else 404, json={})
        return httpx.Response(200, json={"ID": "a", "Status": "Success", "ParentSeries": SERIES})

    transport = httpx.MockTransport(answer)
    with OrthancPacs("http://x", transport=transport, caches_metadata=True) as pacs:
        assert pacs.store(b"") == Stored("a")
    assert calls == [
        "POST /instances",
        "GET /plugins/dicom-web",
        f"DELETE /series/{SERIES}/attachments/4301",
    ]


def test_what_was_discarded_changes_nothing_and_what_fails_is_no_success() -> None:
    stored: dict[str, str] = {"ID": "", "Status": "FilteredOut"}

    def answer(request: httpx.Request) -> httpx.Response:
        if request.method == "GET":
            return httpx.Response(200, json={"Version": "mainline"})
        if request.method == "DELETE":
            return httpx.Response(500, json={"Message": "Internal error"})
        return httpx.Response(200, json=stored)

    transport = httpx.MockTransport(answer)
    with OrthancPacs("http://x", transport=transport, tries=1, caches_metadata=True) as pacs:
        assert pacs.store(b"") == Superseded()
        stored |= {"ID": "a", "ParentSeries": SERIES}
        with pytest.raises(PacsFailedError):
            pacs.store(b"")
