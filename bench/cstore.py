"""C-STORE of 200 CT slices: bare Orthanc, with Preread, and with a plain pydicom callback.

Preread's runner is up and idle.

Each round sends the same files to all three in turn, so that a busy machine slows all alike; the
ratio is that of the medians.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.slices import write_series
from tests.integration.pacs import ROOT, Pacs, eventually

COUNT = int(os.environ.get("BENCH_SLICES", "200"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
# The runner is there and has nothing to read: no model is wanted.
IDLE = {"Deidentify": {"Mode": "incoming"}, "Models": {"Run": []}}


def nodes(folder: Path) -> dict[str, Pacs]:
    """Start the three nodes."""
    environment = {"BENCH_PREFIX": sys.prefix, "BENCH_DATABASE": str(folder / "seen.sqlite")}
    preread = Pacs(folder / "preread", IDLE).start()
    eventually(lambda: (preread.get("/preread/status")["Runner"]["Status"] or {}).get("Engine"))
    return {
        "bare Orthanc": Pacs(folder / "bare", None).start(),
        "Preread": preread,
        "pydicom callback": Pacs(
            folder / "pydicom", IDLE, script=ROOT / "bench" / "pydicom_hook.py"
        ).start(environment),
    }


def rate(pacs: Pacs, files: list[Path], associations: int) -> float:
    """Return images per second; the node is emptied afterwards."""
    began = time.perf_counter()
    pacs.send(files, associations=associations)
    spent = time.perf_counter() - began
    for study in pacs.get("/studies"):
        pacs.http.delete(f"/studies/{study}")
    return len(files) / spent


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = write_series(folder / "ct", COUNT)
        running = nodes(folder)
        try:
            table = Table(
                "", "1 association", "of bare", "4 associations", "of bare",
                title=f"C-STORE of {COUNT} CT slices, images/s, median of {ROUNDS} rounds",
            )  # fmt: skip
            medians: dict[str, list[float]] = {node: [] for node in running}
            for associations in (1, 4):
                rates: dict[str, list[float]] = {node: [] for node in running}
                for _ in range(ROUNDS):
                    for node, pacs in running.items():
                        rates[node].append(rate(pacs, files, associations))
                for node, found in rates.items():
                    medians[node].append(statistics.median(found))
            one, four = medians["bare Orthanc"]
            for node, (first, second) in medians.items():
                table.add_row(
                    node, f"{first:.1f}", f"{first / one:.2f}", f"{second:.1f}",
                    f"{second / four:.2f}",
                )  # fmt: skip
            Console().print(table)
        finally:
            for pacs in running.values():
                pacs.stop()


if __name__ == "__main__":
    main()
