"""What pages of other sites, and requests past the receive hook, can do to a running Orthanc."""

from __future__ import annotations

import http.server
import shutil
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import sync_playwright

from tests.integration.images import ct_series
from tests.integration.pacs import Pacs

CHROMIUM = shutil.which("chromium")
NO_RUNNER: dict[str, Any] = {"Deidentify": {"Mode": "incoming"}, "Runner": {"Start": False}}

_ASK = """async ([url, asked]) => {
    const told = [];
    for (const [method, path, body] of asked) {
        const request = {method, mode: 'no-cors', body};
        if (method === 'PUT' || method === 'DELETE') delete request.mode;
        try { told.push((await fetch(url + path, request)).status) } catch { told.push(0) }
    }
    return told;
}"""
_PICTURE = """([url, path]) => new Promise((done) => {
    const image = new Image();
    image.onload = image.onerror = () => done();
    image.src = url + path;
})"""


class _Page(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "text/html")
        self.end_headers()
        self.wfile.write(b"<h1>a page of another site</h1>")

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def elsewhere() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Page)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
def test_a_page_of_another_site_changes_nothing_and_an_own_page_may(
    make_pacs: Callable[..., Pacs], tmp_path: Path, elsewhere: str
) -> None:
    pacs = make_pacs(NO_RUNNER).start()
    first, second = ct_series(tmp_path / "ct", 2).files
    assert pacs.upload(first.read_bytes()).status_code == 200
    (instance,) = pacs.instances()
    file = second.read_bytes().decode("latin-1")
    asked = [
        ("POST", "/tools/create-dicom", '{"Tags": {"Modality": "OT"}}'),
        ("POST", "/instances", file),
        ("POST", f"/preread/instances/{instance}/analyze", "{}"),
        ("POST", "/preread/images", file),
        ("POST", "/preread/announcements", "[" * 900),
        ("POST", "/tools/find", '{"a":' * 900),
        ("DELETE", f"/instances/{instance}", None),
        ("PUT", f"/instances/{instance}/metadata/1024", "x"),
        ("POST", "/tools/shutdown", ""),
    ]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        page = browser.new_page()
        page.goto(elsewhere)
        page.evaluate(_ASK, [pacs.url, asked])
        page.evaluate(_PICTURE, [pacs.url, f"/instances/{instance}?_method=DELETE"])
        page.evaluate(_PICTURE, [pacs.url, f"/instances/{instance}/metadata/1024?_method=PUT"])
        assert pacs.instances() == [instance]
        assert pacs.get(f"/instances/{instance}/metadata").count("1024") == 0
        page.goto(f"{pacs.url}/app/explorer.html")
        own = [("POST", "/tools/find", '{"Level": "Instance", "Query": {}}')]
        assert page.evaluate(_ASK, [pacs.url, [*own, ("DELETE", f"/instances/{instance}", None)]])
        assert pacs.instances() == []
        browser.close()


def test_deep_json_of_a_program_is_refused_and_orthanc_goes_on(
    make_pacs: Callable[..., Pacs],
) -> None:
    pacs = make_pacs(NO_RUNNER).start()
    for path in (
        "announcements",
        "images",
        "instances/x/analyze",
        "instances/x/explain",
        "series/x/propose",
        "proposals/1.2/review",
        "iodeep/1.2/predict",
    ):
        for shape in ("[", '{"a":'):
            answer = pacs.http.post(f"/preread/{path}", content=shape * 1200)
            # A body that does not begin with { is no JSON but a picture.
            assert answer.status_code == 400, (path, answer.text)
    assert pacs.answers()


def test_bytes_that_pass_no_hook_are_refused_where_identities_may_not_enter(
    make_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    assert_no_way_past_the_hook(make_pacs(NO_RUNNER).start(), tmp_path)


@pytest.mark.trixie
@pytest.mark.slow
@pytest.mark.timeout(900)
def test_they_are_refused_on_a_newer_orthanc_too(
    make_trixie_pacs: Callable[..., Pacs], tmp_path: Path
) -> None:
    pacs = make_trixie_pacs(NO_RUNNER).start()
    assert_no_way_past_the_hook(pacs, tmp_path)
    for study in pacs.get("/studies"):
        assert pacs.get(f"/studies/{study}/labels") == []


def assert_no_way_past_the_hook(pacs: Pacs, tmp_path: Path) -> None:
    """Try all ways by which Orthanc can be told what it does not have from the hook."""
    pacs.send(ct_series(tmp_path / "ct", 1).files)
    (instance,) = pacs.instances()
    here = {"instances": instance, "studies": pacs.get("/studies")[0]}
    for level, identifier in here.items():
        for what in ("attachments", "metadata", "labels"):
            for path in (
                f"/{level}/{identifier}/{what}/1024",
                f"//{level}/{identifier}//x/../{what}/1024/",
                f"/{level}/{identifier}/%{ord(what[0]):x}{what[1:]}/1024",
            ):
                answer = pacs.http.request("PUT", pacs.url + path, content=b"PLANTEDNAME")
                assert answer.status_code == 403, path
            path = f"/{level}/{identifier}/{what}/1024"
            override = {"X-HTTP-Method-Override": "PUT"}
            answer = pacs.http.post(path, content=b"PLANTEDNAME", headers=override)
            assert answer.status_code == 403
            assert pacs.http.get(f"{path}?_method=PUT").status_code == 403
        assert "1024" not in pacs.get(f"/{level}/{identifier}/attachments")
        assert "1024" not in pacs.get(f"/{level}/{identifier}/metadata")
    # What Orthanc makes anew passes the hook: nothing that is put into it stays.
    planted: dict[str, Any] = {
        "Replace": {"PatientName": "PLANTEDNAME", "PatientID": "PLANTEDID77"},
        "Force": True,
    }
    study = here["studies"]
    made = {"Tags": planted["Replace"] | {"Modality": "OT"}, "Content": "data:image/png;base64,"}
    for path, body in (
        (f"/studies/{study}/modify", planted),
        (f"/studies/{study}/anonymize", planted | {"Keep": ["StudyDescription"]}),
        ("/tools/bulk-modify", planted | {"Resources": [study]}),
        ("/tools/create-dicom", made | {"Content": "data:application/pdf;base64,JVBERi0="}),
    ):
        answer = pacs.http.post(path, json=body)
        # 404: a newer Orthanc looks for what it made under the identifiers that it gave.
        assert answer.status_code in (200, 400, 404), (path, answer.text)
    assert len(pacs.instances()) >= 3
    for one in pacs.instances():
        assert b"PLANTED" not in pacs.file(one)
