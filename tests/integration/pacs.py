"""A real Orthanc for tests: own folder, own ports, loopback only, stopped by its pid."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import httpx
from dicomweb_client.api import DICOMwebClient

from tests.ports import free_port

ROOT = Path(__file__).parents[2]
PLUGINS = Path("/usr/share/orthanc/plugins")
ORTHANC = Path("/usr/sbin/Orthanc")


def eventually(condition: Callable[[], Any], seconds: float = 60, what: str = "") -> Any:
    """Wait until `condition` is true and return what it gave."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        assert time.monotonic() < deadline, f"did not happen in {seconds} s: {what or condition}"
        time.sleep(0.05)


class Pacs:
    """One Orthanc with Preread, or bare.

    Parameters
    ----------
    folder
        Where its configuration, index, storage and logs go.
    preread
        The ``Preread`` section; ``None`` starts Orthanc without the plugin.
    configuration
        Further keys of Orthanc's configuration.
    script
        The Python script that Orthanc loads.
    """

    def __init__(
        self,
        folder: Path,
        preread: Mapping[str, Any] | None = None,
        configuration: Mapping[str, Any] | None = None,
        script: Path = ROOT / "plugin" / "preread_plugin.py",
    ) -> None:
        self.folder = folder
        self.storage = folder / "storage"
        self.http_port, self.dicom_port = free_port(), free_port()
        self.url = f"http://127.0.0.1:{self.http_port}"
        # Orthanc closes a connection that was idle for a second, be it while a request is on its
        # way there from a process that had to wait for its turn.
        anew = httpx.Limits(max_keepalive_connections=0)
        self.http = httpx.Client(base_url=self.url, timeout=60, limits=anew)
        self.log = folder / "orthanc.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._jobs_before: dict[str, int] = {}
        mode = (preread or {}).get("Deidentify", {}).get("Mode", "copy")
        body: dict[str, Any] = {
            "Name": "Preread under test",
            "StorageDirectory": str(self.storage),
            "IndexDirectory": str(self.storage),
            "HttpPort": self.http_port,
            "DicomPort": self.dicom_port,
            "RemoteAccessAllowed": False,
            "AuthenticationEnabled": False,
            "DicomCheckCalledAet": False,
            "OverwriteInstances": preread is not None and mode == "incoming",
            "Plugins": [str(PLUGINS / "libOrthancDicomWeb.so")],
        }
        if preread is not None:
            body["Plugins"].append(str(PLUGINS / "libOrthancPython.so"))
            body["PythonScript"] = str(script)
            body["Preread"] = _section(preread)
        body.update(configuration or {})
        self.configuration = folder / "orthanc.json"
        folder.mkdir(parents=True, exist_ok=True)
        self.configuration.write_text(json.dumps(body, indent=2))

    @property
    def own_folder(self) -> Path:
        """Where Preread keeps its key, journal, ledger and logs."""
        return self.storage / "preread"

    def command(self) -> list[str]:
        """Return what starts Orthanc."""
        return [str(ORTHANC), str(self.configuration)]

    def launch(self, environment: Mapping[str, str] | None = None) -> subprocess.Popen[bytes]:
        """Start the process without waiting for it."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                self.command(),
                stdout=log,
                stderr=log,
                stdin=subprocess.DEVNULL,
                cwd=self.folder,
                env={**os.environ, **(environment or {})},
                start_new_session=True,
            )
        return self._process

    def start(self, environment: Mapping[str, str] | None = None) -> Pacs:
        """Start it and wait until it answers."""
        process = self.launch(environment)
        eventually(lambda: self.answers() or process.poll() is not None, 60, "Orthanc's start")
        assert process.poll() is None, self.log.read_text()[-3000:]
        return self

    def answers(self) -> bool:
        """Tell whether REST answers."""
        try:
            return self.http.get("/system").status_code == 200
        except httpx.TransportError:
            return False

    def stop(self) -> None:
        """Stop it as an administrator would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGTERM)
            try:
                self._process.wait(60)
            except subprocess.TimeoutExpired:
                self.kill()
            self._process = None

    def kill(self) -> None:
        """End it without any warning."""
        if self._process is not None:
            self._process.kill()
            self._process.wait(30)
            self._process = None

    def end(self) -> None:
        """End it with all that it has started, once nobody looks at it any more."""
        if self._process is not None:
            with suppress(ProcessLookupError):
                os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait(30)
            self._process = None

    def send(self, files: Iterable[Path], *, associations: int = 1, check: bool = True) -> int:
        """C-STORE files with dcmsend; return how many were answered with success."""
        names = [str(file) for file in files]
        running = [
            subprocess.Popen(
                ["dcmsend", "-v", "127.0.0.1", str(self.dicom_port), *names[number::associations]],
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
            for number in range(min(associations, len(names)))
        ]
        told = "".join(
            process.communicate(timeout=300)[0].decode(errors="replace") for process in running
        )
        taken = sum(int(count) for count in re.findall(r"with status SUCCESS\s*: (\d+)", told))
        if check:
            assert taken == len(names), told[-2000:]
        return taken

    def upload(self, data: bytes) -> httpx.Response:
        """Send one file by REST."""
        return self.http.post("/instances", content=data)

    def get(self, path: str, **query: Any) -> Any:
        """Return the JSON that a path answers."""
        answer = self.http.get(path, params=query)
        assert answer.status_code == 200, answer.text
        return answer.json()

    def instances(self) -> list[str]:
        """Return Orthanc's ids of all instances."""
        found: list[str] = self.get("/instances")
        return found

    def file(self, instance: str) -> bytes:
        """Return a stored file."""
        return self.http.get(f"/instances/{instance}/file").content

    def dicomweb(self) -> DICOMwebClient:
        """Return a DICOMweb client of this Orthanc."""
        return DICOMwebClient(f"{self.url}/dicom-web")

    def jobs(self) -> dict[str, int]:
        """Return how many jobs are in each state, of those since it was emptied."""
        found: dict[str, int] = self.get("/preread/status")["Jobs"]
        return {state: count - self._jobs_before.get(state, 0) for state, count in found.items()}

    def empty(self) -> None:
        """Delete every image, for the next test; jobs are counted anew."""
        self.wait_until_read()
        for patient in self.get("/patients"):
            self.http.delete(f"/patients/{patient}")
        self._jobs_before = {}
        self._jobs_before = self.wait_until_read()
        assert self.instances() == []

    def wait_until_read(self, seconds: float = 240) -> dict[str, int]:
        """Wait until nothing is waiting, under way or on its way to the ledger."""

        def idle() -> bool:
            status = self.get("/preread/status")
            jobs = status["Jobs"]
            waiting = status["Journal"]["Waiting"] + jobs["pending"] + jobs["running"]
            return bool(waiting == 0 and status["Ledger"] == "reachable")

        eventually(idle, seconds, f"all images read; the runner says {self.runner_log()[-2000:]}")
        return self.jobs()

    def runner_log(self) -> str:
        """Return the runner's log."""
        files = [self.own_folder / "runner.log", self.own_folder / "runner.err"]
        return "".join(file.read_text(errors="replace") for file in files if file.exists())

    def runner_pid(self) -> int:
        """Return the pid of the runner that Orthanc has started, 0 if there is none."""
        return int(self.get("/preread/status")["Runner"]["Pid"] or 0)


def _section(preread: Mapping[str, Any]) -> dict[str, Any]:
    section = {
        key: dict(value) if isinstance(value, Mapping) else value for key, value in preread.items()
    }
    section.setdefault("Runner", {}).setdefault("Python", sys.executable)
    # Several nodes share the machine: more threads would wait for each other.
    section["Runner"].setdefault("Threads", 1)
    section.setdefault("Models", {}).setdefault("Folder", str(ROOT / "models"))
    # The shipped networks would look at every series; tests that are about that say so.
    section.setdefault("IODeep", {})
    section["IODeep"] = {"Proposals": {"Enabled": False, "QuietSeconds": 0}} | section["IODeep"]
    return section
