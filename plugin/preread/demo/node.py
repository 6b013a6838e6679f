"""One Orthanc of our own, started on a configuration and stopped again by its process id."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import httpx
import json5
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from preread.demo.errors import DemoError
from preread.settings import site_from_file

_START_SECONDS: Final = 120.0
_STOP_SECONDS: Final = 60.0
_SEARCH: Final = os.pathsep.join((os.environ.get("PATH", ""), "/usr/sbin", "/usr/bin"))
_LOG_LINE: Final = re.compile(r"E\d{4} [\d:.]+ [^\]]*\] (.*)")


class Node(BaseModel):
    """Where a node is found.

    Attributes
    ----------
    configuration
        The file that Orthanc reads.
    root
        The folder in which Orthanc is started.
    http_port, dicom_port
        1 to 65535.
    aet
        The application entity title that it is called by.
    """

    model_config = ConfigDict(frozen=True)

    configuration: Path
    root: Path
    http_port: int = Field(8042, ge=1, le=65535)
    dicom_port: int = Field(4242, ge=1, le=65535)
    aet: str = Field("ORTHANC", min_length=1, max_length=16)

    @property
    def url(self) -> str:
        """Root of the REST API, without a trailing slash."""
        # Not "localhost": a bare system may not resolve it, or to ::1 alone.
        return f"http://127.0.0.1:{self.http_port}"

    @property
    def explorer_url(self) -> str:
        """Orthanc Explorer."""
        return f"{self.url}/app/explorer.html"

    @property
    def dicomweb_url(self) -> str:
        """The DICOMweb root."""
        return f"{self.url}/dicom-web"


def program(name: str, package: str) -> str:
    """Return the path of a program.

    Raises
    ------
    DemoError
        If it is not installed; the message names the Debian package.
    """
    path = shutil.which(name, path=_SEARCH)
    if path is None:
        raise DemoError(f"{name} is missing: install the Debian package {package}")
    return path


def node_from(
    configuration: Path,
    *,
    http_port: int | None = None,
    dicom_port: int | None = None,
    storage: Path | None = None,
) -> Node:
    """Read where the node of a configuration will be; write a changed copy if anything is given.

    Parameters
    ----------
    configuration
        An ``orthanc.json``; Orthanc is started in its folder.
    http_port, dicom_port, storage
        Used in place of ``HttpPort``, ``DicomPort`` and ``StorageDirectory``. The copy that
        Orthanc then reads lies in `storage`, or in ``var`` beside the configuration.

    Raises
    ------
    DemoError
        If a port is impossible, or the copy cannot be written.
    preread.errors.SettingsError
        If the configuration cannot be used.
    """
    site = site_from_file(configuration)
    content: dict[str, Any] = json5.loads(configuration.read_text(encoding="utf-8"))
    changes = {
        "HttpPort": http_port,
        "DicomPort": dicom_port,
        "StorageDirectory": str(storage.resolve()) if storage is not None else None,
    }
    changes = {key: value for key, value in changes.items() if value is not None}
    try:
        node = Node(
            configuration=configuration.resolve(),
            root=site.root,
            http_port=changes.get("HttpPort", content.get("HttpPort", 8042)),
            dicom_port=changes.get("DicomPort", content.get("DicomPort", 4242)),
            aet=content.get("DicomAet", "ORTHANC"),
        )
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        raise DemoError(f"{'.'.join(map(str, first['loc']))}: {first['msg']}") from None
    if not changes:
        return node
    folder = storage.resolve() if storage is not None else site.root / "var"
    # In another folder relative paths would start elsewhere.
    content["StorageDirectory"] = str(site.root / site.orthanc.storage_directory)
    content.update(changes)
    section = content.setdefault("Preread", {})
    section.setdefault("Models", {})["Folder"] = str(site.models_folder)
    section.setdefault("Runner", {})["Python"] = str(site.python)
    copy = folder / f"orthanc-{node.http_port}-{node.dicom_port}.json"
    with _writing(copy):
        copy.parent.mkdir(parents=True, exist_ok=True)
        copy.write_text(json.dumps(content, indent=2), encoding="utf-8")
    return node.model_copy(update={"configuration": copy})


def check_ports(node: Node) -> None:
    """See that nobody holds the node's ports.

    Raises
    ------
    DemoError
        If one is taken; the message says how to choose another.
    """
    for name, variable, port in (
        ("HTTP", "HTTP_PORT", node.http_port),
        ("DICOM", "DICOM_PORT", node.dicom_port),
    ):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("", port))
            except OSError as error:
                raise DemoError(
                    f"{name} port {port} cannot be used ({error.strerror}): stop what holds it "
                    f"(Debian's own Orthanc: systemctl stop orthanc) or choose another, "
                    f"such as {variable}={port + 1 if port < 65535 else port - 1}"
                ) from None


@contextmanager
def running(node: Node, log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Run Orthanc for the time of the block; give its process.

    Parameters
    ----------
    node
        What to start.
    log
        The file that takes Orthanc's log, written anew.

    Raises
    ------
    DemoError
        If a port is taken, or Orthanc does not start; the message is the reason from its log.
    """
    check_ports(node)
    orthanc = program("Orthanc", "orthanc")
    with _writing(log):
        log.parent.mkdir(parents=True, exist_ok=True)
        log.write_bytes(b"")
    with log.open("ab") as output:
        process = subprocess.Popen(
            [orthanc, str(node.configuration)],
            cwd=node.root,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            # Ctrl-C reaches us alone: what Orthanc is doing ends in order.
            start_new_session=True,
        )
    try:
        _wait_for_answer(node, process, log)
        yield process
    finally:
        stop(process)


@contextmanager
def _writing(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DemoError(
            f"{path} cannot be written ({error.strerror}): is it another user's?"
        ) from None


def keep_log(log: Path) -> Path:
    """Put the log of an Orthanc that crashed aside, and return where it is."""
    kept = log.with_suffix(".crashed.log")
    with _writing(kept):
        log.replace(kept)
    return kept


def stop(process: subprocess.Popen[bytes]) -> None:
    """End Orthanc, and with it the runner that it started."""
    process.terminate()
    try:
        process.wait(timeout=_STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_for_answer(node: Node, process: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + _START_SECONDS
    while time.monotonic() < deadline:
        if process.poll() is not None:
            raise DemoError(f"Orthanc did not start: {_reason(log)} (its log: {log})")
        try:
            if httpx.get(f"{node.url}/preread/status", timeout=5).is_success:
                return
        except httpx.HTTPError:
            # Not listening yet.
            pass
        time.sleep(0.2)
    raise DemoError(
        f"{node.url}/preread/status did not answer within {_START_SECONDS:.0f} s: {_reason(log)} "
        f"(Orthanc's log: {log})"
    )


def _reason(log: Path) -> str:
    """Return the line of Orthanc's log that says best why it ended."""
    text = log.read_text(encoding="utf-8", errors="replace")
    errors = [match[1] for line in text.splitlines() if (match := _LOG_LINE.match(line))]
    ours = [line for line in errors if "Preread" in line]
    return (ours or errors or ["no error in its log"])[0]
