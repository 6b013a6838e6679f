"""``python -m preread.demo show`` and ``serve``: what ``make demo`` and ``make run`` run."""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from types import FrameType
from typing import Annotated, NoReturn

import httpx
import typer
from dicomweb_client.api import DICOMwebClient
from pydicom.data import get_testdata_file
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from preread.demo.errors import DemoError
from preread.demo.node import Node, keep_log, node_from, running
from preread.demo.phantom import write_chest_series
from preread.demo.pictures import write_pictures
from preread.demo.reading import images, outcomes, status, wait_until_read
from preread.demo.restarts import Restarts, ended
from preread.demo.sender import send
from preread.demo.table import series_tables, unread_lines
from preread.errors import PrereadError

app = typer.Typer(add_completion=False, no_args_is_help=True, pretty_exceptions_enable=False)
_console = Console(highlight=False)
# Orthanc closes a connection that was idle for a second, be it while a request is on its way.
_ANEW = httpx.Limits(max_keepalive_connections=0)

Configuration = Annotated[Path, typer.Option(help="The orthanc.json to start from.")]
HttpPort = Annotated[
    int | None, typer.Option(envvar="HTTP_PORT", min=1, max=65535, help="Instead of HttpPort.")
]
DicomPort = Annotated[
    int | None, typer.Option(envvar="DICOM_PORT", min=1, max=65535, help="Instead of DicomPort.")
]
Storage = Annotated[Path | None, typer.Option(help="Instead of StorageDirectory.")]
Dicom = Annotated[
    Path | None, typer.Option(envvar="DICOM", help="A folder of DICOM files to send instead.")
]


@app.command()
def show(
    configuration: Configuration = Path("orthanc.json"),
    http_port: HttpPort = None,
    dicom_port: DicomPort = None,
    storage: Storage = None,
    dicom: Dicom = None,
) -> None:
    """Start a node, send images, show what was read, stop the node."""
    if dicom is not None and not dicom.is_dir():
        raise DemoError(f"DICOM={dicom} is not a folder")
    node = node_from(configuration, http_port=http_port, dicom_port=dicom_port, storage=storage)
    with (
        tempfile.TemporaryDirectory(prefix="preread-demo-") as temporary,
        _started(node),
        httpx.Client(base_url=node.url, timeout=30, limits=_ANEW) as orthanc,
    ):
        if status(orthanc)["Mode"] != "incoming":
            raise DemoError('the demonstration needs Preread.Deidentify.Mode "incoming"')
        folder = dicom or _samples(Path(temporary))
        before = max((outcome.number for outcome in outcomes(orthanc)), default=0)
        _wait(orthanc, _send(node, folder))
        _print_results(orthanc, DICOMwebClient(node.dicomweb_url), before)
        _console.print(
            f"\nOrthanc Explorer  {node.explorer_url}\nDICOMweb          {node.dicomweb_url}/\n"
            "answer while Orthanc runs: [bold]make run[/bold] starts it again with these images."
        )
    _console.print("Orthanc is stopped. Research only: decision support, never a diagnosis.")


@app.command()
def serve(
    configuration: Configuration = Path("orthanc.json"),
    http_port: HttpPort = None,
    dicom_port: DicomPort = None,
    storage: Storage = None,
) -> None:
    """Start a node and keep it until Ctrl-C; start it again when it crashes."""
    node = node_from(configuration, http_port=http_port, dicom_port=dicom_port, storage=storage)
    restarts = Restarts()
    with suppress(KeyboardInterrupt):
        while (code := _serve_once(node)) != 0:
            pause = restarts.pause_after(code)
            kept = keep_log(_log_of(node))
            _console.print(f"Orthanc {ended(code)}; it starts again in {pause:.0f} s (see {kept})")
            _pause(pause)
        raise DemoError(f"Orthanc was told to end, see {_log_of(node)}")
    _console.print("Orthanc is stopped.")


_pause = time.sleep


def _serve_once(node: Node) -> int:
    with _started(node) as process:
        _console.print(
            f"Orthanc Explorer  {node.explorer_url}\nDICOMweb          {node.dicomweb_url}/\n"
            f"status            {node.url}/preread/status\n"
            f"C-STORE           {node.aet} at 127.0.0.1 port {node.dicom_port}\n"
            "Ctrl-C stops it."
        )
        return process.wait()


def _log_of(node: Node) -> Path:
    return node.root / "var" / f"orthanc-{node.http_port}.log"


@contextmanager
def _started(node: Node) -> Iterator[subprocess.Popen[bytes]]:
    with ExitStack() as stack:
        with _console.status("starting Orthanc"):
            process = stack.enter_context(running(node, _log_of(node)))
        _console.print(f"Orthanc answers at {node.url} (process {process.pid})")
        yield process


def _samples(folder: Path) -> Path:
    with _console.status("computing a chest CT"):
        made = write_chest_series(folder)
        write_pictures(made)
    real = get_testdata_file("CT_small.dcm")
    if not isinstance(real, str):
        raise DemoError("pydicom's CT_small.dcm is missing: install pydicom again")
    shutil.copy(real, folder)
    _console.print(
        f"made a synthetic chest CT of {len(made)} slices, and a picture of each (Secondary "
        "Capture); pydicom's CT_small.dcm too"
    )
    return folder


def _progress() -> Progress:
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        console=_console,
    )


def _send(node: Node, folder: Path) -> int:
    files = sum(1 for path in folder.rglob("*") if path.is_file())
    with _progress() as progress:
        task = progress.add_task("sending by C-STORE", total=files)
        sent = send(node, folder, lambda: progress.advance(task))
        progress.update(task, total=sent.stored + sent.refused)
    if sent.refused or sent.skipped:
        _console.print(f"refused: {sent.refused}, not DICOM: {sent.skipped}")
    return sent.stored


def _wait(orthanc: httpx.Client, sent: int) -> None:
    with _progress() as progress:
        task = progress.add_task("reading", total=sent)

        def left(count: int) -> None:
            # More than were sent: work of an earlier time goes first.
            progress.update(task, completed=max(sent - count, 0))

        wait_until_read(orthanc, left)


def _print_results(orthanc: httpx.Client, dicomweb: DICOMwebClient, before: int) -> None:
    ended = outcomes(orthanc, after=before)
    wanted = {outcome.SOPInstanceUID for outcome in ended}
    studies = sorted({outcome.StudyInstanceUID for outcome in ended})
    found = [
        image
        for image in images(dicomweb, studies)
        if image.SOPInstanceUID in wanted and image.results
    ]
    _console.print(
        f"\n{len(found)} of {len(wanted)} images carry what the models say: classes, or the "
        "reason why there are none (QIDO-RS found their studies, WADO-RS /metadata gave the "
        "private block):"
    )
    for table in series_tables(found):
        _console.print(table)
    for line in unread_lines(ended):
        _console.print(line)
    if not found:
        raise DemoError("none of the images was read")


def _terminated(_signal: int, _frame: FrameType | None) -> NoReturn:
    # As an exception, so that Orthanc is stopped on the way out.
    sys.exit(128 + signal.SIGTERM)


def main() -> int:
    """Run the command line; return the exit code."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        app()
    except PrereadError as error:
        sys.stderr.write(f"preread: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
