"""What brings OHIF to the tests: the archive that is known, and nothing of it elsewhere."""

import base64
import hashlib
import io
import json
import tarfile
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import ClassVar

import httpx
import pytest

from tests import ohif_server as module
from tests.ohif_server import CONFIGURATION, VERSION, NoViewerError, OhifServer, unpack, viewer

VIEWERS = Path(__file__).parents[2] / "docs" / "viewers.md"


@contextmanager
def serving(handler: type[BaseHTTPRequestHandler]) -> Iterator[str]:
    """Serve on a port of this machine."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def archive(folder: Path, **files: bytes) -> tuple[Path, str]:
    """Write an archive of files, and a link; return it with its hash."""
    made = folder / "app.tgz"
    with tarfile.open(made, "w:gz") as packed:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
        link = tarfile.TarInfo("package/dist/link")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc"
        packed.addfile(link)
    digest = hashlib.sha512(made.read_bytes()).digest()
    return made, base64.b64encode(digest).decode()


def test_the_build_alone_is_unpacked(tmp_path: Path) -> None:
    made, digest = archive(
        tmp_path, **{"package/dist/a/b.js": b"1", "package/x.js": b"2", "package/dist/b.map": b"3"}
    )
    unpack(made, tmp_path / "out", digest)
    found = [str(path.relative_to(tmp_path / "out")) for path in (tmp_path / "out").rglob("*")]
    assert sorted(found) == ["a", "a/b.js"]


def test_another_archive_is_refused(tmp_path: Path) -> None:
    made, _ = archive(tmp_path, **{"package/dist/a.js": b"1"})
    with pytest.raises(NoViewerError, match="SHA-512"):
        unpack(made, tmp_path / "out", "another")
    assert not (tmp_path / "out").exists()


def test_a_path_that_leads_elsewhere_is_refused(tmp_path: Path) -> None:
    made, digest = archive(tmp_path, **{"package/dist/../../../a.js": b"1"})
    with pytest.raises(NoViewerError, match="leads out"):
        unpack(made, tmp_path / "out", digest)
    assert not list(tmp_path.rglob("a.js"))


class _Registry(BaseHTTPRequestHandler):
    """Gives the archive that a test has put there; it was moved to another path."""

    archives: ClassVar[dict[str, bytes]] = {}

    def do_GET(self) -> None:
        if self.path == f"/npm/@ohif/app/-/app-{VERSION}.tgz":
            self.send_response(302)
            self.send_header("Location", "/elsewhere.tgz")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        content = self.archives.get(self.path)
        self.send_response(404 if content is None else 200)
        # Nobody says how much will come.
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def registry(monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, bytes]]:
    """Have a registry of this machine and no npm; return its archives by path."""
    archives: dict[str, bytes] = {}
    monkeypatch.setattr(_Registry, "archives", archives)
    with serving(_Registry) as url:
        monkeypatch.setenv("PATH", "")
        monkeypatch.setenv("npm_config_registry", f"{url}/npm/")
        monkeypatch.setenv("NO_PROXY", "127.0.0.1")
        yield archives


def test_without_npm_it_comes_from_the_registry(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: dict[str, bytes]
) -> None:
    made, digest = archive(tmp_path, **{"package/dist/index.html": b"page"})
    registry["/elsewhere.tgz"] = made.read_bytes()
    with pytest.raises(NoViewerError, match="SHA-512"):
        viewer(tmp_path / "cache")
    monkeypatch.setattr(module, "_SHA512", digest)
    folder = viewer(tmp_path / "cache")
    assert (folder / "index.html").read_bytes() == b"page"
    registry.clear()
    assert viewer(tmp_path / "cache") == folder


def test_no_more_is_fetched_than_it_may_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, registry: dict[str, bytes]
) -> None:
    monkeypatch.setattr(module, "_MOST_BYTES", 1000)
    registry["/elsewhere.tgz"] = b"x" * 1001
    with pytest.raises(NoViewerError, match="more than 1000 bytes"):
        viewer(tmp_path / "cache")
    assert list((tmp_path / "cache").iterdir()) == []


@pytest.mark.parametrize(
    ("address", "reason"),
    [
        ("", "HTTP 404"),
        ("http://user:secret@127.0.0.1:1/", "ConnectError"),
        ("ftp://user:secret@127.0.0.1/", "UnsupportedProtocol"),
        ("http://user:secret@127.0.0.1:many/", "InvalidURL"),
    ],
)
def test_what_does_not_come_is_said(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    registry: dict[str, bytes],
    address: str,
    reason: str,
) -> None:
    assert registry == {}
    if address:
        monkeypatch.setenv("npm_config_registry", address)
    with pytest.raises(NoViewerError, match=f"npm is not installed.*{reason}") as caught:
        viewer(tmp_path / "cache")
    assert "secret" not in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


class _Orthanc(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        told = f"{self.path} {self.headers['Accept']}".encode()
        self.send_response(206)
        self.send_header("Content-Type", "x/y")
        self.send_header("Content-Length", str(len(told)))
        self.end_headers()
        self.wfile.write(told)

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass


@pytest.fixture
def orthanc() -> Iterator[str]:
    with serving(_Orthanc) as url:
        yield url


def test_pages_files_and_dicomweb(tmp_path: Path, orthanc: str) -> None:
    folder = tmp_path / "dist"
    folder.mkdir()
    (folder / "index.html").write_text("page")
    (folder / "a.js").write_text("script")
    (tmp_path / "secret.txt").write_text("secret")
    with OhifServer(folder, orthanc) as server, httpx.Client(base_url=server.url) as client:
        for path in ("/", "/viewer?StudyInstanceUIDs=1.2.3"):
            assert client.get(path).text == "page"
        assert client.get("/a.js").headers["content-type"] == "text/javascript"
        assert "/dicom-web" in client.get("/app-config.js").text
        for path in ("/..%2fsecret.txt", "/b.js", "/%2e%2e/secret.txt"):
            assert client.get(path).status_code == 404, path
        told = client.get("/dicom-web/studies?limit=1", headers={"Accept": "a/b"})
        assert (told.status_code, told.text) == (206, "/dicom-web/studies?limit=1 a/b")
        assert client.post("/dicom-web/studies").status_code == 501


def test_a_site_is_told_what_is_tested() -> None:
    told = VIEWERS.read_text()
    assert f"@ohif/app@{VERSION}" in told
    script = told.split("```js\nwindow.config = ")[1].split(";\n```")[0]
    assert json.loads(script) == CONFIGURATION
