"""De-identification, in files per CPU-second: Preread's engine, pydicom, Orthanc's own.

Two hundred 512x512 CT slices with 258 elements each, and as many with 79, of which what any file
costs is the larger part. The engine is the work on bytes alone; the
receive hook is all that Orthanc waits for: de-identification, the choice of models, and the
journal, before and after the store. pydicom only reads and writes, which is the floor for whoever
parses. Orthanc anonymizes inside its own process, whose CPU time is read from the kernel.
"""

from __future__ import annotations

import importlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import pydicom
from rich.console import Console
from rich.table import Table

from bench.slices import ELEMENTS, FEW_ELEMENTS, write_series
from preread.arriving import ids_of
from preread.deidentify import Deidentifier, Secret
from preread.deidentify.audit import AuditLog
from preread.deidentify.pseudonyms import Pseudonyms
from preread.deidentify.quarantine import Quarantine
from preread.deidentify.trail import Trail
from preread.elements import read_header
from preread.hooks.announcements import Announcements
from preread.hooks.deletions import Deletions
from preread.hooks.inflight import InFlight
from preread.iodeep.trust import Trust
from preread.iodeep_sections import IODeepSettings
from preread.ledger.journal import Journal
from preread.models.catalogue import Catalogue
from preread.settings import Mode
from tests.integration.pacs import ROOT, Pacs
from tests.unit.hooks.conftest import FakeOrthanc

COUNT = int(os.environ.get("BENCH_SLICES", "200"))


def cpu_of(pid: int) -> float:
    """Return the CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def here(work: Callable[[bytes], object], files: list[bytes]) -> float:
    """Return files per CPU-second of work in this process."""
    for data in files[:5]:
        work(data)
    began = time.process_time()
    for data in files:
        work(data)
    return len(files) / (time.process_time() - began)


def by_pydicom(data: bytes) -> bytes:
    """Read and write, no more."""
    output = io.BytesIO()
    pydicom.dcmread(io.BytesIO(data)).save_as(output)
    return output.getvalue()


def whole_hook(folder: Path) -> Callable[[bytes], object]:
    """Return the receive and stored hooks as one call, with a stand-in for Orthanc's module."""
    orthanc = FakeOrthanc()
    sys.modules["orthanc"] = orthanc
    receive = importlib.import_module("preread.hooks.receive")
    failures = importlib.import_module("preread.hooks.failures")
    safekeeping = importlib.import_module("preread.hooks.safekeeping")
    networks = importlib.import_module("preread.hooks.networks")
    dicomweb = importlib.import_module("preread.hooks.dicomweb")
    own = importlib.import_module("preread.hooks.own_results")
    secret = Secret.load_or_create(folder / "secret.key", None)
    choices = importlib.import_module("preread.ledger.choices")
    journal = Journal(folder / "journal.sqlite")
    receiver = receive.Receiver(
        mode=Mode.INCOMING,
        deidentifier=Deidentifier(secret),
        catalogue=Catalogue.load(ROOT / "models"),
        journal=journal,
        memory=receive.Memory(Announcements(b"k" * 32), InFlight(), Deletions(journal.deleted)),
        failures=failures.Failures(journal),
        safekeeping=safekeeping.Safekeeping(
            held=Quarantine(folder / "held", b"k" * 32),
            choices=choices.HeldChoices(folder / "choices"),
            quarantined=Quarantine(folder / "quarantine", b"k" * 32),
            trail=Trail(AuditLog(folder / "audit.jsonl", source="bench"), "Basic"),
        ),
        gate=networks.Gate(Trust(IODeepSettings(), folder)),
        own_results=own.OwnResults(Pseudonyms(secret).is_result_uid),
        dicomweb=dicomweb.DicomWeb(),
    )

    def hook(data: bytes) -> None:
        _, stored = receiver(data, orthanc.InstanceOrigin.DICOM_PROTOCOL)
        journal.stored(ids_of(read_header(stored)).instance)

    return hook


def by_orthanc(folder: Path, paths: list[Path]) -> float:
    """Return files per CPU-second of ``/instances/{id}/anonymize``."""
    pacs = Pacs(folder, None)
    process = pacs.launch()
    try:
        while not pacs.answers():
            time.sleep(0.1)
        pacs.send(paths)
        instances = pacs.instances()
        began = cpu_of(process.pid)
        for instance in instances:
            # Compressing the answer would cost more than making it.
            plain = {"Accept-Encoding": "identity"}
            answer = pacs.http.post(f"/instances/{instance}/anonymize", json={}, headers=plain)
            answer.raise_for_status()
        return len(instances) / (cpu_of(process.pid) - began)
    finally:
        pacs.stop()


def rates_of(folder: Path, elements: int) -> dict[str, float]:
    """Return files per CPU-second of all, for headers of so many elements."""
    paths = write_series(folder / "ct", COUNT, elements=elements)
    files = [path.read_bytes() for path in paths]
    engine = Deidentifier(Secret.load_or_create(folder / "secret.key", None))
    return {
        "Preread, the engine": here(lambda data: engine.deidentify(data).data, files),
        "Preread, the whole receive hook": here(whole_hook(folder), files),
        "pydicom, read and write": here(by_pydicom, files),
        "Orthanc, /instances/{id}/anonymize": by_orthanc(folder / "orthanc", paths),
    }


def main() -> None:
    """Measure and print."""
    for elements in (ELEMENTS, FEW_ELEMENTS):
        with tempfile.TemporaryDirectory() as name:
            rates = rates_of(Path(name), elements)
        columns = ("", "files per CPU-second", "ms per file", "of pydicom")
        table = Table(*columns, title=f"De-identification, {elements} elements")
        for who, rate in rates.items():
            ratio = rate / rates["pydicom, read and write"]
            table.add_row(who, f"{rate:.0f}", f"{1000 / rate:.2f}", f"{ratio:.2f}")
        Console().print(table)


if __name__ == "__main__":
    main()
