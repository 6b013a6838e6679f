"""From Orthanc's start to the first image that is read, with the models that ship.

The image is sent as soon as Orthanc answers. Nothing is there from a start before: neither a ledger
nor, on the first round, what an engine keeps on disk.
"""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

from preread.demo.phantom import write_chest_series
from preread.demo.pictures import write_pictures
from tests.integration.pacs import Pacs, eventually

ROUNDS = int(os.environ.get("BENCH_ROUNDS", "2"))
TARGET = 10.0


def first_image(folder: Path, files: list[Path]) -> tuple[float, float]:
    """Return the seconds until Orthanc answers, and until the first image carries its result."""
    pacs = Pacs(folder, {"Deidentify": {"Mode": "incoming"}})
    began = time.perf_counter()
    try:
        pacs.start()
        answers = time.perf_counter() - began
        pacs.send(files)
        eventually(lambda: pacs.jobs()["done"] == len(files), 300, "the first image read")
        return answers, time.perf_counter() - began
    finally:
        pacs.end()


def main() -> None:
    """Measure and print."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # A picture: CT itself gets its reason without any network.
        files = write_pictures(write_chest_series(folder, slices=1))
        for number in range(1, ROUNDS + 1):
            answers, read = first_image(folder / f"pacs-{number}", files)
            print(
                f"start {number}: Orthanc answers after {answers:.1f} s, the first image is read "
                f"after {read:.1f} s (aim: {TARGET:.0f})"
            )


if __name__ == "__main__":
    main()
