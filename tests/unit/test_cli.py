"""The command ``preread``, as a person meets it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from preread import __version__

HEAVY = {"torch", "openvino", "pydicom", "numpy", "httpx", "sqlalchemy", "highdicom", "rich.table"}
STATUS = {
    "Version": "0.1.0",
    "Models": ["MobileNetV2"],
    "Runner": {"Pid": 12, "Status": None},
    "Jobs": {"pending": 3, "done": 4},
}
JOBS = [
    {
        "ID": 7,
        "State": "failed",
        "Attempts": 5,
        "Instance": "0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d",
        "Reason": "frame 3: [bold]the codestream ends early[/bold]",
    }
]


class Handler(BaseHTTPRequestHandler):
    """Answers as Orthanc with Preread does."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536
    posted: list[tuple[str, bytes, str]]

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - the base's name
        pass

    def do_GET(self) -> None:
        self.posted.append((self.path, b"", self.headers.get("Authorization", "")))
        if self.path == "/preread/status":
            self.answer(200, STATUS)
        elif self.path == "/preread/jobs?limit=50&status=failed":
            self.answer(200, JOBS)
        else:
            self.answer(400, {"Message": "Bad Request", "Details": "?status: expected one of"})

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["Content-Length"] or 0))
        self.posted.append((self.path, body, self.headers.get("Authorization", "")))
        if self.path == "/preread/jobs/9/retry":
            self.answer(409, {"Message": "Conflict", "Details": "only a failed job"})
        elif body == b"broken":
            self.answer(400, {"Message": "Bad file format"})
        else:
            self.answer(200, {"ID": "i", "Status": "Success"})

    def answer(self, status: int, content: Any) -> None:
        body = json.dumps(content).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


@pytest.fixture
def orthanc() -> Iterator[tuple[str, list[tuple[str, bytes, str]]]]:
    class Own(Handler):
        pass

    Own.posted = []
    server = ThreadingHTTPServer(("127.0.0.1", 0), Own)
    server.daemon_threads = True
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", Own.posted
    server.shutdown()
    server.server_close()


def preread(*words: str, folder: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "preread", *words],
        capture_output=True,
        text=True,
        check=False,
        cwd=folder,
        env={"COLUMNS": "200", "PATH": "/usr/bin:/bin"},
    )


def assert_one_line(text: str, *words: str) -> None:
    assert len(text.strip().splitlines()) == 1, text
    for word in words:
        assert word in text


def test_help_needs_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['preread', '--help']\n"
        "from preread.cli import main\n"
        "try:\n    main()\nexcept SystemExit:\n    print('loaded:', *sys.modules)"
    )
    shown, _, loaded = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True
    ).stdout.partition("loaded:")
    assert "Research only" in shown
    for command in ("runner", "import", "status", "jobs", "retry", "train", "settings"):
        assert command in shown
    assert not HEAVY & set(loaded.split())


def test_version() -> None:
    assert preread("--version").stdout == f"preread {__version__}\n"


@pytest.mark.parametrize(
    "words",
    [("nothing",), ("jobs", "--limit", "0"), ("retry", "x"), ("runner", "--config", "/missing")],
)
def test_wrong_use_ends_with_2(words: tuple[str, ...]) -> None:
    done = preread(*words)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


def test_the_status_is_a_table(orthanc: tuple[str, Any]) -> None:
    done = preread("status", "--url", orthanc[0])
    assert done.returncode == 0, done.stderr
    rows = dict(line.split(maxsplit=1) for line in done.stdout.strip().splitlines())
    assert rows["Jobs.pending"].strip() == "3"
    assert rows["Runner.Pid"].strip() == "12"
    assert rows["Runner.Status"].strip() == "-"
    assert rows["Models"].strip() == "MobileNetV2"


def test_jobs_are_listed_with_their_reason(orthanc: tuple[str, Any]) -> None:
    done = preread("jobs", "--status", "failed", "--url", orthanc[0])
    assert done.returncode == 0, done.stderr
    assert str(JOBS[0]["Reason"]) in done.stdout
    assert str(JOBS[0]["Instance"]) in done.stdout
    done = preread("jobs", "--status", "odd", "--url", orthanc[0])
    assert done.returncode == 1
    assert_one_line(done.stderr, "?status: expected one of")


def test_retry_says_which_could_not_be(orthanc: tuple[str, Any]) -> None:
    done = preread("retry", "7", "9", "--url", orthanc[0])
    assert done.returncode == 1
    assert done.stdout == "1 of 2 are tried again\n"
    assert_one_line(done.stderr, "9: ", "only a failed job")
    assert preread("retry", "7", "--url", orthanc[0]).returncode == 0


def test_import_tells_what_failed(orthanc: tuple[str, Any], tmp_path: Path) -> None:
    url, posted = orthanc
    (tmp_path / "good.dcm").write_bytes(b"\0" * 128 + b"DICM")
    (tmp_path / "bad.dcm").write_bytes(b"broken")
    (tmp_path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n")
    done = preread(
        *("import", str(tmp_path), str(tmp_path / "missing"), "--url", url),
        *("--study", "2.25.1", "--tag", "Modality=CT"),
    )
    assert done.returncode == 1
    assert done.stdout == "2 of 4 files imported\n"
    assert f"{tmp_path / 'bad.dcm'}: Orthanc answers HTTP 400 (Bad file format)" in done.stderr
    assert f"{tmp_path / 'missing'}: cannot be read" in done.stderr
    picture = next(body for path, body, _ in posted if path == "/preread/images")
    assert json.loads(picture)["Tags"] == {"Modality": "CT", "StudyInstanceUID": "2.25.1"}
    done = preread("import", str(tmp_path / "good.dcm"), "--url", url)
    assert (done.returncode, done.stdout) == (0, "1 of 1 files imported\n")
    assert preread("import", str(tmp_path), "--url", url, "--tag", "odd").returncode == 2


def test_url_and_user_come_from_the_configuration(orthanc: tuple[str, Any], tmp_path: Path) -> None:
    url, asked = orthanc
    runner = {"Url": url, "Username": "u", "Password": "p"}
    file = tmp_path / "orthanc.json"
    file.write_text(json.dumps({"OverwriteInstances": False, "Preread": {"Runner": runner}}))
    assert preread("status", folder=tmp_path).returncode == 0
    assert preread("status", "--config", str(file)).returncode == 0
    assert [authorization for _, _, authorization in asked] == ["Basic dTpw"] * 2


def test_nobody_there_is_one_line() -> None:
    done = preread("status", "--url", "http://127.0.0.1:9")
    assert done.returncode == 1
    assert_one_line(done.stderr, "Orthanc does not answer at 127.0.0.1:9")


def test_a_wrong_configuration_is_one_line(tmp_path: Path) -> None:
    done = preread("runner", folder=tmp_path)
    assert done.returncode == 2
    assert_one_line(done.stderr, "--config")
    (tmp_path / "orthanc.json").write_text('{"Preread": {"Runer": {}}}')
    for command in ("runner", "status"):
        done = preread(command, folder=tmp_path)
        assert done.returncode == 2
        assert_one_line(done.stderr, "Preread.Runer is not a setting")


def test_settings_are_printed_as_markdown() -> None:
    done = preread("settings")
    assert done.returncode == 0
    assert done.stdout.startswith("# Settings\n")


def test_train_has_its_own_help() -> None:
    done = preread("train", "--help")
    assert done.returncode == 0
    assert "--architecture" in done.stdout
    done = preread("train", "/missing", "--output", "x", "--description", "y")
    assert done.returncode == 2
    assert "preread train" in done.stderr
