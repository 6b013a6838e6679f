"""Uploads that come slowly, over real sockets."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable, Iterator
from http.client import HTTPResponse
from pathlib import Path

import httpx
import pytest
import uvicorn
from structlog.testing import capture_logs

from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.service.application import MOST_WAITING, Offer, application
from preread.service.connections import ConnectionLimits, bounded
from preread.service.networks import FolderNetworks
from preread.service.upload import UploadLimits
from tests.unit.runner.bench import eventually
from tests.unit.service.conftest import UID, image

PREDICT = f"/iodeep/{UID}/predict"
DICOM = {"Content-Type": "application/dicom"}
LONG = 600.0

UNBOUNDED = ConnectionLimits(head_seconds=LONG)

Start = Callable[..., int]


@pytest.fixture
def start(folder: Path, tmp_path: Path) -> Iterator[Start]:
    """Start a service on a port of this machine."""
    ends: list[Callable[[], None]] = []

    def started(limits: UploadLimits, connections: ConnectionLimits = UNBOUNDED) -> int:
        made = application(
            FolderNetworks(folder), Predictor(WeightsFolder(tmp_path)), Offer(upload=limits)
        )
        listening = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(made, http=bounded(connections), log_config=None))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()

        def end() -> None:
            server.should_exit = True
            thread.join(30)

        ends.append(end)
        return int(listening.getsockname()[1])

    yield started
    for end in ends:
        end()


class Upload:
    """A request whose body stops, or trickles, after its first byte."""

    def __init__(self, port: int) -> None:
        self._socket = socket.create_connection(("127.0.0.1", port), timeout=60)
        head = f"POST {PREDICT} HTTP/1.1\r\nHost: here\r\nContent-Type: application/dicom\r\n"
        self._socket.sendall(f"{head}Content-Length: 1000000\r\n\r\nx".encode())

    def trickle(self) -> None:
        """Send a byte now and then, until nobody takes it any more."""

        def send() -> None:
            try:
                while True:
                    self._socket.sendall(b"x")
                    time.sleep(0.02)
            except OSError:
                return

        threading.Thread(target=send, daemon=True).start()

    def answer(self) -> tuple[int, str, dict[str, object]]:
        """Wait for the answer: status, Connection, and what it says."""
        response = HTTPResponse(self._socket)
        response.begin()
        told = json.loads(response.read())
        return response.status, str(response.getheader("Connection")), told

    def close(self) -> None:
        self._socket.close()


@pytest.mark.parametrize("kind", ["stops", "trickles", "trickles for ever"])
def test_what_comes_too_slowly_gives_its_place_back(start: Start, kind: str) -> None:
    stops = kind == "stops"
    port = start(
        UploadLimits(seconds=LONG, idle_seconds=2.0)
        if stops
        else UploadLimits(seconds=2.0, idle_seconds=LONG)
        if kind == "trickles"
        else UploadLimits(seconds=LONG, idle_seconds=2.0, idle_bytes=10_000)
    )
    uploads = [Upload(port) for _ in range(MOST_WAITING)]
    if not stops:
        for upload in uploads:
            upload.trickle()
    for upload in uploads:
        status, connection, told = upload.answer()
        assert (status, connection) == (408, "close")
        assert set(told) == {"Details", "HttpError", "HttpStatus", "Message", "Method", "Uri"}
        assert (told["HttpStatus"], told["Uri"]) == (408, PREDICT)
        assert "600 s" in str(told["Details"])
        upload.close()
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
        answer = client.post(PREDICT, content=image(), headers=DICOM)
    assert (answer.status_code, len(answer.json()["Regions"])) == (200, 1)


def test_a_sender_who_goes_is_no_fault_of_ours(start: Start) -> None:
    port = start(UploadLimits(seconds=LONG, idle_seconds=LONG))
    with capture_logs() as logs:
        Upload(port).close()
        eventually(lambda: [line for line in logs if line["event"] == "sender has gone"] or None)
    assert not [line for line in logs if line["event"] == "unexpected"]


def _unless(status: int, answer: httpx.Response) -> httpx.Response | None:
    return None if answer.status_code == status else answer


def test_what_is_slow_within_its_time_holds_its_place(start: Start) -> None:
    port = start(UploadLimits(seconds=LONG, idle_seconds=LONG))
    uploads = [Upload(port) for _ in range(MOST_WAITING)]
    try:
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=60) as client:
            # An empty body is refused with 400 until all places are taken.
            answer = eventually(lambda: _unless(400, client.post(PREDICT, headers=DICOM)))
        assert answer.status_code == 503
        assert answer.headers["Retry-After"]
    finally:
        for upload in uploads:
            upload.close()


def is_closed(connection: socket.socket) -> bool:
    connection.setblocking(False)
    try:
        return connection.recv(65536) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


def test_heads_that_never_end_keep_nobody_out(start: Start) -> None:
    port = start(UploadLimits(), ConnectionLimits(connections=6, head_seconds=LONG))
    slow = []
    for number in range(20):
        one = socket.create_connection(("127.0.0.1", port), timeout=60)
        one.sendall(b"GET /health HTTP/1.1\r\nX-Slow: ")
        slow.append(one)
        if number % 5 == 4:
            assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
    # Those that have waited longest went first.
    eventually(lambda: sum(is_closed(one) for one in slow) >= 14 or None)
    assert not is_closed(slow[-1])
    for one in slow:
        one.close()


def test_heads_and_bodies_that_nobody_waits_for_come_to_an_end(start: Start) -> None:
    port = start(UploadLimits(), ConnectionLimits(head_seconds=1.0))
    begun = [
        b"",
        b"GET /hea",
        b"GET /health HTTP/1.1\r\nHost: here\r\nX-Slow: ",
        # Answered at once, and the body goes on and on.
        b"GET /health HTTP/1.1\r\nHost: here\r\nContent-Length: 1000000\r\n\r\nx",
        b"GET /health HTTP/1.1\r\nHost: here\r\n\r\nGET /health HTTP/1.1\r\nX-Slow: ",
    ]
    connections = []
    for head in begun:
        one = socket.create_connection(("127.0.0.1", port), timeout=60)
        one.sendall(head)
        connections.append(one)

    def all_closed() -> bool | None:
        for one in connections:
            try:
                one.setblocking(True)
                one.sendall(b"x")
            except OSError:
                continue
        return all(is_closed(one) for one in connections) or None

    eventually(all_closed)
    assert httpx.get(f"http://127.0.0.1:{port}/health", timeout=60).status_code == 200
    for one in connections:
        one.close()
