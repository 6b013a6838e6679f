"""OHIF's published build beside an Orthanc, as a site would put it; loopback only.

The build comes from npm's registry once, by npm itself or, where that is not installed, by HTTP; it
is held against the hash below, and lies in the user's cache folder afterwards.
"""

from __future__ import annotations

import base64
import hashlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path, PurePosixPath
from types import TracebackType
from typing import Any, Final, Self, cast
from urllib.parse import unquote, urlsplit

import httpx

VERSION: Final = "3.13.2"
_SHA512: Final = (
    "WZdxmpmG7rqFgW9ZJLcbgr3XCtLi1KDNPoMaeY5PPe6j4G4fjEjjkycZM6C6Zk2F87BKxFfpq+jd5xXZB9E8EA=="
)
_DIST: Final = PurePosixPath("package/dist")
_PACKAGE: Final = "@ohif/app"
_DOWNLOAD_SECONDS: Final = 240
_IDLE_SECONDS: Final = 30
_REGISTRY: Final = "https://registry.npmjs.org/"
_MOST_BYTES: Final = 512 * 2**20
_KINDS: Final = {
    ".css": "text/css",
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".json": "application/json",
    ".svg": "image/svg+xml",
    ".wasm": "application/wasm",
}
_PASSED_ON: Final = ("accept", "content-type")

CONFIGURATION: Final[dict[str, Any]] = {
    "routerBasename": "/",
    "showStudyList": True,
    "extensions": [],
    "modes": [],
    "defaultDataSourceName": "orthanc",
    "dataSources": [
        {
            "namespace": "@ohif/extension-default.dataSourcesModule.dicomweb",
            "sourceName": "orthanc",
            "configuration": {
                "friendlyName": "Orthanc",
                "name": "orthanc",
                "wadoUriRoot": "/wado",
                "qidoRoot": "/dicom-web",
                "wadoRoot": "/dicom-web",
                "qidoSupportsIncludeField": False,
                "supportsFuzzyMatching": False,
                "supportsWildcard": True,
                "imageRendering": "wadors",
                "thumbnailRendering": "wadors",
                "enableStudyLazyLoad": True,
                "omitQuotationForMultipartRequest": True,
            },
        }
    ],
}
"""What docs/viewers.md tells a site to write."""


class NoViewerError(Exception):
    """OHIF's build is not there and cannot be had; the message says why."""


def viewer(cache: Path | None = None) -> Path:
    """Return the folder of OHIF's build; it is downloaded if it is not there.

    Parameters
    ----------
    cache
        Where it is kept; without it, `preread` in the user's cache folder.

    Raises
    ------
    NoViewerError
        If it does not come, or is not what was expected.
    """
    if cache is None:
        home = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
        cache = Path(home) / "preread"
    folder = cache / f"ohif-{VERSION}"
    if folder.is_dir():
        return folder
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=cache, prefix="ohif-") as made:
        unpacked = Path(made) / "dist"
        npm = shutil.which("npm")
        archive = _fetched(Path(made)) if npm is None else _packed(npm, Path(made))
        unpack(archive, unpacked, _SHA512)
        try:
            unpacked.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another test was faster
                raise
    return folder


def _fetched(folder: Path) -> Path:
    """Fetch the archive from the registry that npm would ask."""
    registry = os.environ.get("npm_config_registry") or _REGISTRY  # noqa: SIM112 - npm's own name
    url = f"{registry.rstrip('/')}/{_PACKAGE}/-/app-{VERSION}.tgz"
    archive = folder / "app.tgz"
    ends, size = time.monotonic() + _DOWNLOAD_SECONDS, 0
    options: dict[str, Any] = {"follow_redirects": True, "timeout": _IDLE_SECONDS}
    try:
        with httpx.stream("GET", url, **options) as told, archive.open("wb") as file:
            told.raise_for_status()
            for chunk in told.iter_bytes():
                size += len(chunk)
                if size > _MOST_BYTES:
                    raise NoViewerError(f"{_PACKAGE}: more than {_MOST_BYTES} bytes came")
                if time.monotonic() > ends:
                    raise NoViewerError(f"{_PACKAGE}: not here in {_DOWNLOAD_SECONDS} s")
                file.write(chunk)
    except httpx.HTTPStatusError as error:
        reason = f"HTTP {error.response.status_code}"
    except (httpx.HTTPError, httpx.InvalidURL) as error:
        reason = type(error).__name__
    else:
        return archive
    # The registry's address may hold a password.
    raise NoViewerError(
        f"{_PACKAGE}: npm is not installed, and its registry gives nothing ({reason})"
    )


def _packed(npm: str, folder: Path) -> Path:
    package = f"{_PACKAGE}@{VERSION}"
    command = [npm, "pack", package, "--ignore-scripts", "--pack-destination", str(folder)]
    try:
        told = subprocess.run(
            command,
            cwd=folder,
            capture_output=True,
            text=True,
            check=False,
            timeout=_DOWNLOAD_SECONDS,
        )
    except subprocess.TimeoutExpired:
        raise NoViewerError(f"npm pack {package}: not done in {_DOWNLOAD_SECONDS} s") from None
    found = list(folder.glob("*.tgz"))
    if told.returncode or len(found) != 1:
        lines = told.stderr.strip().splitlines()
        raise NoViewerError(f"npm pack {package}: {lines[-1] if lines else 'failed'}")
    return found[0]


def unpack(archive: Path, folder: Path, sha512: str) -> None:
    """Unpack the build from npm's archive.

    Raises
    ------
    NoViewerError
        If the archive is not the one whose hash is known; nothing of it is unpacked then.
    """
    with archive.open("rb") as file:
        digest = hashlib.file_digest(file, "sha512").digest()
    if base64.b64encode(digest).decode() != sha512:
        raise NoViewerError(f"{archive.name}: not the archive that is expected (its SHA-512)")
    with tarfile.open(archive) as archived:
        for member in archived:
            path = PurePosixPath(member.name)
            if not (member.isreg() and path.is_relative_to(_DIST)) or path.suffix == ".map":
                continue
            if ".." in path.parts:
                raise NoViewerError(f"{archive.name}: a path leads out of its folder")
            target = folder / path.relative_to(_DIST)
            target.parent.mkdir(parents=True, exist_ok=True)
            content = archived.extractfile(member)
            assert content is not None
            with target.open("wb") as file:
                shutil.copyfileobj(content, file)


class OhifServer:
    """OHIF at the root, an Orthanc's DICOMweb under ``/dicom-web``.

    Parameters
    ----------
    folder
        OHIF's build.
    orthanc
        Where Orthanc listens, such as ``http://127.0.0.1:8042``.
    """

    def __init__(self, folder: Path, orthanc: str) -> None:
        self._server = _Server(folder, orthanc)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._server.orthanc.close()
        self._thread.join(30)


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, folder: Path, orthanc: str) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.folder = folder.resolve()
        anew = httpx.Limits(max_keepalive_connections=0)  # see tests.integration.pacs
        self.orthanc = httpx.Client(base_url=orthanc, timeout=120, limits=anew)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = unquote(urlsplit(self.path).path)
        if path.startswith("/dicom-web/"):
            self._pass_on()
        elif path == "/app-config.js":
            told = f"window.config = {json.dumps(CONFIGURATION)};"
            self._answer(200, "text/javascript", told.encode())
        else:
            self._file(path)

    def _file(self, path: str) -> None:
        folder = cast(_Server, self.server).folder
        file = (folder / path.lstrip("/")).resolve()
        if not (file.is_file() and file.is_relative_to(folder)):
            if PurePosixPath(path).suffix:
                self._answer(404, "text/plain", b"not found")
                return
            file = folder / "index.html"  # a page of the one-page application
        kind = _KINDS.get(file.suffix, "application/octet-stream")
        self._answer(200, kind, file.read_bytes())

    def _pass_on(self) -> None:
        headers = {key: self.headers[key] for key in _PASSED_ON if key in self.headers}
        try:
            told = cast(_Server, self.server).orthanc.get(self.path, headers=headers)
        except httpx.TransportError as error:
            self._answer(502, "text/plain", type(error).__name__.encode())
            return
        self._answer(told.status_code, told.headers.get("content-type", ""), told.content)

    def _answer(self, status: int, kind: str, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        try:
            self.wfile.write(content)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the page went on without waiting

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the base class's name
        pass
