"""Starting and stopping a node, and what is said when that cannot be."""

import json
import os
import socket
import sys
from collections.abc import Iterator
from pathlib import Path

import json5
import pytest

from preread.demo import __main__ as demo
from preread.demo import node as node_module
from preread.demo.errors import DemoError
from preread.demo.node import Node, check_ports, node_from, program, running
from tests.ports import free_port

STANDS_IN = """#!{python}
import http.server, json, signal, sys
port = json.load(open(sys.argv[1]))["HttpPort"]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200 if self.path == "/preread/status" else 404)
        self.end_headers()
    def log_message(self, *arguments):
        pass
signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""
FAILS = """#!{python}
print("W1121 08:37:24.9 main.cpp:1] starting")
print("E1121 08:37:25.0 PluginsManager.cpp:91] Error while initializing plugin")
print("E1121 08:37:25.0 PluginsManager.cpp:153] Preread cannot start: the key is lost")
raise SystemExit(255)
"""


@pytest.fixture
def configuration(tmp_path: Path) -> Path:
    path = tmp_path / "orthanc.json"
    content = {
        "HttpPort": free_port(),
        "DicomPort": free_port(),
        "DicomAet": "PREREAD",
        "StorageDirectory": "var/orthanc",
        "OverwriteInstances": True,
        "Preread": {"Deidentify": {"Mode": "incoming"}},
    }
    path.write_text("// a comment\n" + json.dumps(content))
    return path


@pytest.fixture
def held_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def _put_in_place_of_orthanc(monkeypatch: pytest.MonkeyPatch, folder: Path, text: str) -> None:
    script = folder / "Orthanc"
    script.write_text(text.format(python=sys.executable))
    script.chmod(0o755)
    monkeypatch.setattr(node_module, "program", lambda name, package: str(script))


def test_a_configuration_is_started_as_it_is(configuration: Path) -> None:
    node = node_from(configuration)
    assert node.configuration == configuration
    assert node.root == configuration.parent
    assert node.aet == "PREREAD"
    assert node.explorer_url == f"http://127.0.0.1:{node.http_port}/app/explorer.html"


def test_other_ports_make_a_copy_whose_paths_lead_to_the_same_places(configuration: Path) -> None:
    root = configuration.parent
    node = node_from(configuration, http_port=18042)
    assert node.configuration != configuration
    copy = json5.loads(node.configuration.read_text())
    assert copy["HttpPort"] == 18042
    assert copy["StorageDirectory"] == str(root / "var/orthanc")
    assert copy["Preread"]["Models"]["Folder"] == str(root / "models")
    assert copy["Preread"]["Runner"]["Python"] == str(root / ".venv/bin/python")
    assert node.root == root


def test_another_storage_holds_its_own_configuration(configuration: Path, tmp_path: Path) -> None:
    node = node_from(configuration, storage=tmp_path / "elsewhere")
    assert node.configuration.parent == tmp_path / "elsewhere"
    copy = json5.loads(node.configuration.read_text())
    assert copy["StorageDirectory"] == str(tmp_path / "elsewhere")


def test_an_impossible_port_is_named(configuration: Path) -> None:
    with pytest.raises(DemoError, match="dicom_port"):
        node_from(configuration, dicom_port=70000)


@pytest.mark.parametrize(("key", "variable"), [("http", "HTTP_PORT"), ("dicom", "DICOM_PORT")])
def test_a_port_that_is_taken_is_told_with_the_way_out(
    configuration: Path, held_port: int, key: str, variable: str
) -> None:
    node = node_from(configuration).model_copy(update={f"{key}_port": held_port})
    with pytest.raises(DemoError, match=rf"{held_port} cannot be used.*{variable}="):
        check_ports(node)


def test_a_missing_program_is_told_with_its_package() -> None:
    with pytest.raises(DemoError, match="Debian package orthanc"):
        program("no-such-program", "orthanc")


def test_a_node_runs_for_the_time_of_the_block(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = json5.loads(configuration.read_text())
    configuration.write_text(json.dumps(plain))
    _put_in_place_of_orthanc(monkeypatch, tmp_path, STANDS_IN)
    node = node_from(configuration)
    with running(node, tmp_path / "log") as process:
        assert process.poll() is None
    assert process.poll() == 0
    check_ports(node)


def test_a_node_is_stopped_when_the_block_fails(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = json5.loads(configuration.read_text())
    configuration.write_text(json.dumps(plain))
    _put_in_place_of_orthanc(monkeypatch, tmp_path, STANDS_IN)
    started: list[int] = []

    def fail() -> None:
        with running(node_from(configuration), tmp_path / "log") as process:
            started.append(process.pid)
            raise DemoError("planted")

    with pytest.raises(DemoError, match="planted"):
        fail()
    with pytest.raises(ProcessLookupError):
        os.kill(started[0], 0)


def test_a_node_that_does_not_start_tells_the_reason_of_its_log(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put_in_place_of_orthanc(monkeypatch, tmp_path, FAILS)
    with (
        pytest.raises(DemoError, match="did not start: Preread cannot start: the key is lost"),
        running(node_from(configuration), tmp_path / "log"),
    ):
        pass


CRASHES = """#!{python}
import http.server, json, os, pathlib, signal, sys, threading
there = pathlib.Path(sys.argv[1]).with_name("starts")
there.write_text(there.read_text() + "." if there.exists() else ".")
signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
port = json.load(open(sys.argv[1]))["HttpPort"]
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        ends = signal.SIGKILL if len(there.read_text()) < {starts} else signal.SIGTERM
        threading.Timer(0.3, os.kill, (os.getpid(), ends)).start()
    def log_message(self, *arguments):
        pass
http.server.HTTPServer(("127.0.0.1", port), Handler).serve_forever()
"""


@pytest.mark.parametrize(("ends", "starts"), [("was told to end", 3), ("6th time", 6)])
def test_an_orthanc_that_crashes_is_started_again_but_not_for_ever(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ends: str, starts: int
) -> None:
    configuration.write_text(json.dumps(json5.loads(configuration.read_text())))
    last = 3 if starts == 3 else 99
    text = CRASHES.replace("{starts}", str(last))
    _put_in_place_of_orthanc(monkeypatch, tmp_path, text)
    pauses: list[float] = []
    monkeypatch.setattr(demo, "_pause", pauses.append)
    with pytest.raises(DemoError, match=ends):
        demo.serve(configuration)
    assert len((tmp_path / "starts").read_text()) == starts
    assert pauses == [1.0, 2.0, 4.0, 8.0, 16.0][: starts - 1]
    assert list((tmp_path / "var").glob("orthanc-*.crashed.log"))


def test_the_container_comes_back_too() -> None:
    compose = (Path(__file__).parents[3] / "plugin" / "docker" / "compose.yaml").read_text()
    assert "restart: unless-stopped" in compose


def test_a_log_that_cannot_be_written_is_told(
    configuration: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _put_in_place_of_orthanc(monkeypatch, tmp_path, FAILS)
    with (
        pytest.raises(DemoError, match="cannot be written"),
        running(node_from(configuration), tmp_path),
    ):
        pass


def test_ports_have_their_range() -> None:
    with pytest.raises(ValueError, match="less than or equal to 65535"):
        Node(configuration=Path("x"), root=Path(), http_port=65536)
