"""The container's start: no users, no start."""

import base64
import json
import stat
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import NoReturn

import json5
import pytest

from preread import container
from preread.container import (
    ContainerError,
    check_health,
    main,
    registered_users,
    start,
    write_configuration,
)

SOURCE = Path(__file__).parents[3] / "plugin" / "docker" / "orthanc.json"
USERS = {"PREREAD_USERS": '{"alice": "se cret"}'}


class _Replaced(Exception):
    """The process would now be another one."""


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "no users"),
        ("  ", "no users"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        ("[]", "expected one user"),
        ("{}", "expected one user"),
        ('{"": "x"}', "a user needs a name"),
        ('{"a:b": "x"}', "a user needs a name"),
        ('{"alice": ""}', "a user needs a name"),
        ('{"alice": 1}', "a user needs a name"),
    ],
)
def test_users_that_cannot_be_are_refused_in_one_line(text: str, message: str) -> None:
    with pytest.raises(ContainerError, match=message) as caught:
        registered_users({"PREREAD_USERS": text})
    assert "\n" not in str(caught.value)


def test_users_may_come_from_a_file(tmp_path: Path) -> None:
    file = tmp_path / "users"
    file.write_text('{"alice": "secret"}')
    assert registered_users({"PREREAD_USERS_FILE": str(file)}) == {"alice": "secret"}
    with pytest.raises(ContainerError, match="cannot be read"):
        registered_users({"PREREAD_USERS_FILE": str(tmp_path / "none")})


def test_the_message_holds_no_password() -> None:
    with pytest.raises(ContainerError) as caught:
        registered_users({"PREREAD_USERS": '{"a:b": "hunter2"}'})
    assert "hunter2" not in str(caught.value)


def test_the_configuration_gets_the_users_and_nobody_else_reads_them(tmp_path: Path) -> None:
    target = tmp_path / "written.json"
    write_configuration(SOURCE, {"alice": 'a "${HOME}" b'}, target)
    assert stat.S_IMODE(target.stat().st_mode) == 0o600
    assert "${" not in target.read_text()  # Orthanc would put a variable in its place
    written = json.loads(target.read_text())
    assert written.pop("RegisteredUsers") == {"alice": 'a "${HOME}" b'}
    assert written == json5.loads(SOURCE.read_text())


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ('{"AuthenticationEnabled": false}', "AuthenticationEnabled must be true"),
        ("{}", "AuthenticationEnabled must be true"),
        ('{"AuthenticationEnabled": true, "RegisteredUsers": {}}', "leave RegisteredUsers out"),
        ("[]", "leave RegisteredUsers out"),
        ("nonsense", "is not a configuration"),
    ],
)
def test_a_configuration_without_passwords_is_refused(
    tmp_path: Path, text: str, message: str
) -> None:
    source = tmp_path / "orthanc.json"
    source.write_text(text)
    target = tmp_path / "written.json"
    with pytest.raises(ContainerError, match=message):
        write_configuration(source, {"alice": "secret"}, target)
    assert not target.exists()


def test_start_becomes_orthanc_without_the_users_in_its_environment() -> None:
    seen: list[tuple[str, list[str], dict[str, str]]] = []

    def replace(path: str, arguments: list[str], environment: dict[str, str]) -> NoReturn:
        seen.append((path, arguments, environment))
        raise _Replaced

    with pytest.raises(_Replaced):
        start(USERS | {"TZ": "UTC"}, replace, SOURCE)
    ((path, arguments, environment),) = seen
    assert path == "/usr/sbin/Orthanc"
    assert environment == {"TZ": "UTC"}
    written = Path(arguments[1])
    assert stat.S_IMODE(written.parent.stat().st_mode) == 0o700
    assert "alice" in json.loads(written.read_text())["RegisteredUsers"]


def test_without_users_the_command_ends_with_one_line(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PREREAD_USERS", raising=False)
    monkeypatch.delenv("PREREAD_USERS_FILE", raising=False)
    assert main(["start"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("preread: no users: PREREAD_USERS must hold")
    assert said.count("\n") == 1
    assert main([]) == 1


@pytest.fixture
def server() -> Iterator[tuple[HTTPServer, list[str]]]:
    asked: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            expected = "Basic " + base64.b64encode(b"alice:se cret").decode()
            asked.append(self.path)
            self.send_response(200 if self.headers.get("Authorization") == expected else 401)
            self.end_headers()

        def log_message(self, *arguments: object) -> None:
            pass

    made = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=made.serve_forever, daemon=True)
    thread.start()
    yield made, asked
    made.shutdown()
    made.server_close()
    thread.join()


def test_health_is_what_status_answers_to_a_user(
    server: tuple[HTTPServer, list[str]], tmp_path: Path
) -> None:
    made, asked = server
    source = tmp_path / "orthanc.json"
    source.write_text(json.dumps({"HttpPort": made.server_port}))
    check_health(USERS, source)
    assert asked == ["/preread/status"]
    with pytest.raises(ContainerError, match="answers 401"):
        check_health({"PREREAD_USERS": '{"alice": "wrong"}'}, source)


def test_health_of_nothing_is_bad(tmp_path: Path) -> None:
    source = tmp_path / "orthanc.json"
    source.write_text(json.dumps({"HttpPort": 1}))
    with pytest.raises(ContainerError, match="does not answer"):
        check_health(USERS, source)


def test_the_image_has_its_own_configuration() -> None:
    assert Path("/etc/preread/orthanc.json") == container.CONFIGURATION
    assert "RegisteredUsers" not in SOURCE.read_text().replace("PREREAD_USERS", "")
