"""The few routes of Orthanc that the runner calls, over HTTP, on an archive in memory."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self
from urllib.parse import parse_qsl, urlsplit

from preread.archive.pacs import Kept, Refused, Stored
from tests.unit.runner.archive import Archive


class Server:
    """Answers on a free port of the loopback.

    Parameters
    ----------
    archive
        What is behind it.
    token
        The ``Authorization`` header that callers must send; empty: none.
    """

    def __init__(self, archive: Archive, token: str = "") -> None:
        class Handler(_Handler):
            pass

        Handler.archive, Handler.token = archive, token
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

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


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = 65536  # an answer in one piece: in two, the second waits for an acknowledgement
    archive: Archive
    token: str

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def do_GET(self) -> None:
        if not self._is_allowed():
            return
        asked = urlsplit(self.path)
        parts = asked.path.strip("/").split("/")
        if parts == ["changes"]:
            query = dict(parse_qsl(asked.query, keep_blank_values=True))
            path = "/changes" if "since" in query else "/changes?last"
            self._answer(200, self.archive.json(path, query))
        elif parts == ["system"]:
            self._answer(200, {"Version": "1.10.1"})
        elif parts[0] == "instances" and parts[-1] == "file":
            data = self.archive.file(parts[1])
            self._answer(200 if data is not None else 404, data or b"")
        elif parts[0] == "instances" and self.archive.exists(parts[1]):
            self._answer(200, {"ID": parts[1]})
        else:
            self._answer(404, {"HttpStatus": 404})

    def do_DELETE(self) -> None:
        if self._is_allowed():
            gone = self.archive.delete(self.path.split("/")[-1])
            self._answer(200 if gone else 404, {})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"]))
        if not self._is_allowed():
            return
        if self.path == "/preread/announcements":
            self.archive.announce(json.loads(body))
            self._answer(200, {})
            return
        outcome = self.archive.store(body)
        if isinstance(outcome, Refused):
            self._answer(400, {"HttpStatus": 400, "Message": outcome.reason})
        elif isinstance(outcome, Stored):
            self._answer(200, {"ID": outcome.instance, "Status": "Success"})
        elif isinstance(outcome, Kept):
            self._answer(200, {"ID": outcome.instance, "Status": "AlreadyStored"})
        else:
            self._answer(200, {"ID": "", "Status": "FilteredOut"})

    def _is_allowed(self) -> bool:
        if self.token and self.headers.get("Authorization") != self.token:
            self._answer(401, {})
            return False
        return True

    def _answer(self, status: int, content: bytes | dict[str, Any]) -> None:
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
