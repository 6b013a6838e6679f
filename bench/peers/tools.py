"""The tools that are compared: each in a process of its own, most with packages of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from bench.peers.recipe import recipe
from tests.integration.pacs import ROOT, Pacs, eventually

ENVIRONMENTS = ROOT / "var" / "peers"
RUNNER = Path(__file__).with_name("run.py")
PINNED = {
    "dicom-anonymizer": "dicom-anonymizer==2.1.0",
    "deid": "deid==0.4.13",
    "dicognito": "dicognito==0.19.0",
}


class NotAvailable(Exception):
    """A tool cannot be had on this machine."""


@dataclass(frozen=True)
class Outcome:
    """What came of a folder: CPU seconds, and the files that failed, with the reason."""

    cpu: float
    failed: dict[str, str]


class Tool(Protocol):
    """A de-identifier of folders."""

    @property
    def name(self) -> str: ...

    @property
    def options(self) -> tuple[str, ...]: ...

    def run(self, source: Path, target: Path, *, warm: bool = False) -> Outcome:
        """De-identify all ``*.dcm`` of a folder, in a process that is started for it."""


@dataclass(frozen=True)
class Script:
    """A tool for Python."""

    name: str
    tool: str
    options: tuple[str, ...] = field(default=())

    def run(self, source: Path, target: Path, *, warm: bool = False) -> Outcome:
        python = _python(self.tool)
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            (folder / "recipe").write_text(recipe())
            job = {
                "source": str(source),
                "target": str(target),
                "options": self.options,
                "recipe": str(folder / "recipe"),
                "warm": warm,
            }
            (folder / "job.json").write_text(json.dumps(job))
            done = subprocess.run(
                [python, RUNNER, self.tool, folder / "job.json"],
                capture_output=True,
                text=True,
                check=False,
                timeout=1800,
                env={**os.environ, "MPLCONFIGDIR": name, "MESSAGELEVEL": "QUIET"},
            )
        if done.returncode:
            raise NotAvailable(done.stderr.strip().splitlines()[-1])
        return Outcome(**json.loads(done.stdout.strip().splitlines()[-1]))


def _python(tool: str) -> str:
    """Return the Python that has a tool, installed now if it must be."""
    if tool not in PINNED:
        return sys.executable
    folder = ENVIRONMENTS / tool
    stamp = folder / "installed"
    if not stamp.is_file() or stamp.read_text() != PINNED[tool]:
        _call([sys.executable, "-m", "venv", "--clear", str(folder)])
        _call([str(folder / "bin" / "pip"), "install", "-q", PINNED[tool]])
        stamp.write_text(PINNED[tool])
    return str(folder / "bin" / "python")


def _call(command: Sequence[str]) -> None:
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=900)
    except subprocess.CalledProcessError as error:
        raise NotAvailable((error.stderr.strip().splitlines() or ["no reason given"])[-1]) from None


@dataclass(frozen=True)
class Orthanc:
    """``/instances/{id}/anonymize`` of an Orthanc of its own, asked for one after another."""

    name: str
    cpu_of: Callable[[int], float]
    options: tuple[str, ...] = field(default=())

    def run(self, source: Path, target: Path, *, warm: bool = False) -> Outcome:  # noqa: ARG002
        target.mkdir(parents=True, exist_ok=True)
        failed: dict[str, str] = {}
        with tempfile.TemporaryDirectory() as name:
            pacs = Pacs(Path(name), None, {"OverwriteInstances": True})
            process = pacs.launch()
            try:
                eventually(pacs.answers, 60, "Orthanc's start")
                stored = {}
                for file in sorted(source.glob("*.dcm")):
                    answer = pacs.http.post("/instances", content=file.read_bytes())
                    if answer.status_code == 200:
                        stored[file.name] = answer.json()["ID"]
                    else:
                        failed[file.name] = "not stored"
                began = self.cpu_of(process.pid)
                for file_name, instance in stored.items():
                    # Compressing the answer would cost more than making it.
                    plain = {"Accept-Encoding": "identity"}
                    answer = pacs.http.post(
                        f"/instances/{instance}/anonymize", json={}, headers=plain
                    )
                    if answer.status_code == 200:
                        (target / file_name).write_bytes(answer.content)
                    else:
                        failed[file_name] = f"status {answer.status_code}"
                cpu = self.cpu_of(process.pid) - began
            finally:
                pacs.stop()
        return Outcome(cpu, failed)
