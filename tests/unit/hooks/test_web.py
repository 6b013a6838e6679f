"""The review page's files and the list of studies, as the routes answer them."""

from __future__ import annotations

import datetime as dt
import importlib
import json
import re
from importlib.resources import files
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest

from preread.ledger.arrival import Arrival, Event, EventKind
from preread.ledger.sql import SqlLedger
from preread.sections import Settings
from tests.unit.runner.test_explaining import card, said


def orthanc_id(number: int) -> str:
    return "-".join([f"{number:08x}"] * 5)


class Site:
    """The routes on a real ledger."""

    def __init__(self, ledger: SqlLedger) -> None:
        self.ledger = ledger
        self._seq = 0
        self._rest = importlib.import_module("preread.hooks.rest")
        context = SimpleNamespace(ledger=lambda: ledger, site=SimpleNamespace(settings=Settings()))
        self._router = importlib.import_module("preread.hooks.routes").router(context)

    def read(self, number: int, series: int, study: int) -> None:
        """Have an image read."""
        self._seq += 1
        now = dt.datetime.now(dt.UTC)
        arrival = Arrival(
            instance=orthanc_id(number),
            series=orthanc_id(series),
            study=orthanc_id(study),
            patient=orthanc_id(9),
            SOPInstanceUID=f"2.25.1{number}",
            SeriesInstanceUID=f"2.25.2{series}",
            StudyInstanceUID=f"2.25.3{study}",
            SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
            Modality="CT",
            models=("net",),
            fingerprint="f" * 64,
            reason="",
            body_parts=(),
            work=True,
        )
        event = Event(self._seq, EventKind.STORED, arrival.instance, self._seq, now, arrival)
        self.ledger.apply("j", [event])
        (job,) = self.ledger.reserve("runner", 1, 60)
        assert self.ledger.acknowledge(job, [said(card("net")), said(card("other"))])

    def delete(self, number: int) -> None:
        self._seq += 1
        now = dt.datetime.now(dt.UTC)
        event = Event(self._seq, EventKind.DELETED, orthanc_id(number), self._seq, now, None)
        self.ledger.apply("j", [event])

    def get(self, path: str, **query: str) -> Any:
        output = self._rest.orthanc.RestOutput()
        self._router(output, path, method="GET", get=query)
        return output.calls

    def studies(self, **query: str) -> Any:
        name, (body, _) = self.get("/preread/studies", **query)[-1]
        assert name == "AnswerBuffer"
        return json.loads(body)


@pytest.fixture
def site(orthanc: ModuleType, tmp_path: Any) -> Any:
    ledger = SqlLedger(f"sqlite:///{tmp_path / 'ledger.sqlite'}")
    yield Site(ledger)
    ledger.close()


def test_studies_are_listed_with_the_series_that_were_read(site: Site) -> None:
    assert site.studies() == []
    site.read(1, 1, 1)
    site.read(2, 1, 1)
    site.read(3, 2, 1)
    site.read(4, 3, 2)
    told = {one["ID"]: one for one in site.studies()}
    assert [one["Images"] for one in told[orthanc_id(1)]["Series"]] == [2, 1]
    assert told[orthanc_id(2)]["StudyInstanceUID"] == "2.25.32"
    assert len(site.studies(limit="1")) == 1
    site.delete(4)
    assert [one["ID"] for one in site.studies()] == [orthanc_id(1)]


@pytest.mark.parametrize("path", ["/preread/ui", "/preread/ui/index.html", "/preread/index.html"])
def test_the_page_may_run_its_own_scripts_alone(site: Site, path: str) -> None:
    calls = site.get(path)
    headers = dict(given for name, given in calls if name == "SetHttpHeader")
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert headers["X-Content-Type-Options"] == "nosniff"
    name, (body, kind) = calls[-1]
    assert (name, kind) == ("AnswerBuffer", "text/html; charset=utf-8")
    assert b"Preread review" in body


@pytest.mark.parametrize("name", ["__init__.py", "explorer.js", "none.js", "..", "page.js.js"])
def test_nothing_else_is_served(site: Site, name: str) -> None:
    assert site.get(f"/preread/ui/{name}")[-1][1][0] == 404


def test_every_file_that_the_page_names_is_there(site: Site) -> None:
    folder = files("preread.web")
    for one in folder.iterdir():
        if one.name.endswith((".js", ".html")) and one.name != "explorer.js":
            text = one.read_text(encoding="utf-8")
            named = re.findall(r'(?:from|src=|href=) ?"\.?/?([\w-]+\.(?:js|css))"', text)
            for name in named:
                assert site.get(f"/preread/ui/{name}")[-1][0] == "AnswerBuffer", (one.name, name)
            assert "http://" not in text
            assert "https://" not in text
            assert "innerHTML" not in text
