"""De-identifiers side by side: speed, what they leave behind, and what they obey.

Speed is that of 200 CT slices of 512x512 with 258 elements, read from disk and written to it, in a
process of its own: files per CPU-second from the first file to the last. What is left is searched
for in the torture set of tests/unit/deidentify/torture, which the tests hold Preread to. Peers are
installed into environments of their own under var/peers. ``make bench-deidentify`` runs it.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from dataclasses import dataclass
from io import BytesIO
from pathlib import Path

from pydicom import dcmread
from rich.console import Console
from rich.table import Table

from bench.anonymize import cpu_of
from bench.longitudinal import CHECKS, kept, write_patients
from bench.peers.tools import NotAvailable, Orthanc, Script, Tool
from bench.slices import write_series
from tests.unit.deidentify.torture import ROWS, Search, may_stay, obeyed, torture_files

COUNT = int(os.environ.get("BENCH_SLICES", "200"))
CLEANING = (
    "CleanDescriptors", "CleanGraphics", "CleanStructuredContent",
    "RetainLongitudinalModifiedDates",
)  # fmt: skip
TOOLS: tuple[Tool, ...] = (
    Script("pydicom read + write (the floor)", "pydicom"),
    Script("Preread, Basic Profile", "preread"),
    Script("Preread, cleaned texts, moved dates", "preread", CLEANING),
    Orthanc("Orthanc /instances/{id}/anonymize", cpu_of),
    Script("dicom-anonymizer 2.1.0", "dicom-anonymizer"),
    Script("deid 0.4.13, recipe from the table", "deid"),
    Script("dicognito 0.19.0", "dicognito"),
)
FLOOR = TOOLS[0]
FILES = torture_files()


@dataclass(frozen=True)
class Line:
    """What was measured of a tool; what was not is empty."""

    name: str
    rate: str = ""
    residual: str = ""
    exact: str = ""
    nested: str = ""
    longitudinal: str = ""
    remark: str = ""

    @property
    def cells(self) -> tuple[str, ...]:
        return (
            self.name, self.rate, self.residual, self.exact, self.nested, self.longitudinal,
            self.remark,
        )  # fmt: skip


HEADINGS = (
    "",
    "files per CPU-second",
    f"residual of {sum(len(file.canaries) for file in FILES)} in {len(FILES)} files",
    f"exact of {len(ROWS)} rows",
    "leaks nested 1 and 3 levels",
    f"longitudinal, of {len(CHECKS)}",
    "files that failed",
)


def measured(tool: Tool, folder: Path) -> Line:
    """Run a tool over everything."""
    own = folder / tool.name.replace("/", "-")
    try:
        done = tool.run(folder / "ct", own / "ct", warm=True)
    except NotAvailable as error:
        return Line(tool.name, remark=f"not available: {error}")
    rate = f"{COUNT / done.cpu:.0f}" if not done.failed else "fails"
    if tool is FLOOR:
        return Line(tool.name, rate)
    tortured = tool.run(folder / "torture", own / "torture")
    left = residual(own / "torture", tool.options)
    for number in (1, 2):
        tool.run(folder / "patients", own / f"patients {number}")
    names = {file.name: file for file in FILES}
    return Line(
        tool.name,
        rate,
        str(sum(map(len, left.values()))),
        str(exact(own / "torture" / _file("top, explicit"), tool.options)),
        ", ".join(
            str(len({path[depth] for path in left[f"nested {depth}"]}))
            if f"nested {depth}" in left
            else "fails"
            for depth in (1, 3)
        ),
        str(len(kept(own / "patients 1", own / "patients 2"))),
        "; ".join(name for name in names if _file(name) in tortured.failed),
    )


def _file(name: str) -> str:
    return f"{name.replace('/', '-')}.dcm"


def residual(folder: Path, options: tuple[str, ...]) -> dict[str, list[tuple[int, ...]]]:
    """Return where canaries are left that the options do not let stay, by file."""
    left = {}
    for file in FILES:
        path = folder / _file(file.name)
        if path.is_file():
            found = Search(file.canaries).found(path.read_bytes())
            left[file.name] = [each.path for each in found if not may_stay(each.path, options)]
    return left


def exact(path: Path, options: tuple[str, ...]) -> int | str:
    """Return how many rows were obeyed at the top level."""
    if not path.is_file():
        return "fails"
    (file,) = (file for file in FILES if _file(file.name) == path.name)
    before, after = dcmread(BytesIO(file.data)), dcmread(path)
    return sum(not obeyed(before, after, tag, row, options) for tag, row in ROWS)


def main() -> None:
    """Measure and print, for people and for the README."""
    warnings.simplefilter("ignore")
    console = Console()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write_series(folder / "ct", COUNT)
        write_patients(folder / "patients")
        (folder / "torture").mkdir()
        for file in FILES:
            (folder / "torture" / _file(file.name)).write_bytes(file.data)
        lines = []
        for tool in TOOLS:
            console.print(f"{tool.name} ...", style="dim")
            lines.append(measured(tool, folder))
    table = Table(*HEADINGS, title="De-identification")
    for line in lines:
        table.add_row(*line.cells)
    console.print(table)
    print("\nFor the README:\n")
    print(f"| {' | '.join(HEADINGS)} |")
    print("|---" * len(HEADINGS) + "|")
    for line in lines:
        print(f"| {' | '.join(line.cells)} |")


if __name__ == "__main__":
    main()
