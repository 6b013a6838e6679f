"""``preread deidentify``: a folder of DICOM files without the identity of its patients."""

from __future__ import annotations

import dataclasses
import json
import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Annotated, Any, Self

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from preread import log
from preread.deidentify import DeidentificationError, DeidentifyOptions, Secret
from preread.deidentify.folders.one_file import EngineDescription
from preread.deidentify.folders.run import Request, Summary, check_apart, deidentify_folder
from preread.deidentify.folders.state import earlier_key, patients_file
from preread.deidentify.options import Option
from preread.errors import SettingsError

_CONFIGURATION = Path("orthanc.json")
_FAILED = 1
_STOPPED = 130  # as a shell tells of a SIGINT


def deidentify(
    source: Annotated[
        Path,
        typer.Argument(
            metavar="SRC", help="A folder of DICOM files at any depth, or one file.", exists=True
        ),
    ],
    destination: Annotated[
        Path,
        typer.Argument(
            metavar="DST",
            help="The folder for the results: new, empty, or of a run that was stopped.",
            file_okay=False,
        ),
    ],
    *,
    config: Annotated[
        Path | None,
        typer.Option(
            help="Orthanc's configuration, for the key and the settings of de-identification. "
            "Default: orthanc.json, if it is here and no key is named.",
            exists=True,
        ),
    ] = None,
    key: Annotated[
        Path | None,
        typer.Option(help="The key file. It must exist unless --new-key is given.", dir_okay=False),
    ] = None,
    new_key: Annotated[
        bool,
        typer.Option(
            "--new-key",
            help="Make the key file if it is missing. With a new key the same patient gets "
            "another pseudonym than before.",
        ),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option(
            help="An option of the standard, such as RetainUIDs, besides those of the "
            "configuration; may be given again.",
            metavar="NAME",
        ),
    ] = None,
    jobs: Annotated[int, typer.Option(help="Processes; 0: all cores.", min=0, max=1024)] = 0,
    audit: Annotated[
        Path | None,
        typer.Option(
            help="A file to append one JSON line for each object to. Keep it apart from DST.",
            dir_okay=False,
        ),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            help="JSON with counts and failures. It names files of SRC: keep it apart from DST.",
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """De-identify a folder. SRC is never changed; a run that was stopped goes on where it was."""
    log.configure(None, console=True)
    key_file, options = _chosen(config, key, option or [])
    for path, name in ((key_file, "the key"), (report, "the report"), (audit, "the audit trail")):
        if path is not None and path.resolve().is_relative_to(destination.resolve()):
            raise SettingsError(f"{name} must not lie in DST, which may be handed on")
    check_apart(source, destination)
    request = Request(
        source=source,
        destination=destination,
        engine=_engine(destination, key_file, options, audit, may_be_new=new_key),
        jobs=jobs or len(os.sched_getaffinity(0)),
    )
    started = time.monotonic()
    try:
        with _Bar() as bar:
            summary = deidentify_folder(request, bar.show)
    except KeyboardInterrupt:
        typer.echo("stopped; the same command goes on from here", err=True)
        raise typer.Exit(_STOPPED) from None
    for name, reason in (*summary.losses, *summary.failures):
        typer.echo(f"{shown(name)}: {reason}", err=True)
    typer.echo(counted(summary))
    if report is not None:
        _write_report(report, summary, time.monotonic() - started)
    if summary.is_empty:
        typer.echo(f"{shown(str(source))}: no DICOM file was found here; check the name", err=True)
    if summary.failures or summary.is_empty:
        raise typer.Exit(_FAILED)


def _chosen(
    config: Path | None, key: Path | None, names: Iterable[str]
) -> tuple[Path, DeidentifyOptions]:
    """Return the key's file and what is chosen: the settings, and the options that were named."""
    found = config or (_CONFIGURATION if key is None and _CONFIGURATION.exists() else None)
    chosen = DeidentifyOptions()
    if found is not None:
        from preread.settings import site_from_file  # noqa: PLC0415 - not needed with a key

        site = site_from_file(found)
        key, chosen = key or site.key_file, site.deidentify_options
    if key is None:
        raise SettingsError(
            "no key: name a key file with --key, or Orthanc's configuration with --config"
        )
    try:
        named = frozenset(Option(name) for name in names)
        return key, dataclasses.replace(chosen, options=chosen.options | named)
    except ValueError:
        known = ", ".join(sorted(Option))
        raise SettingsError(f"--option: expected one of {known}") from None
    except DeidentificationError as error:
        raise SettingsError(f"--option: {error.reason}") from None


def _engine(
    destination: Path,
    key_file: Path,
    options: DeidentifyOptions,
    audit: Path | None,
    *,
    may_be_new: bool,
) -> EngineDescription:
    expected = earlier_key(destination)
    is_new = not key_file.exists()
    # A key made for a mistyped name would give every patient a second pseudonym.
    if is_new and expected is None and not may_be_new:
        raise SettingsError(
            f"{key_file}: there is no such key file; check the name, or make a new key with "
            "--new-key"
        )
    secret = Secret.load_or_create(key_file, expected)
    if is_new:
        typer.echo(
            f"{key_file}: a new key; keep a copy, since with another one the same patient becomes "
            "somebody else",
            err=True,
        )
    return EngineDescription(
        key_file.resolve(),
        secret.fingerprint,
        options,
        None if audit is None else audit.resolve(),
        patients_file(destination).resolve(),
    )


def counted(summary: Summary) -> str:
    """Return the counts in words.

    >>> counted(Summary(deidentified=117, not_dicom=3, failures=[("a", "b"), ("c", "d")]))
    '117 de-identified, 3 skipped (not DICOM), 2 failed'
    >>> counted(Summary(deidentified=3, earlier=1, duplicates=1))
    '3 de-identified (1 earlier, 1 duplicate), 0 skipped (not DICOM), 0 failed'
    """
    notes = [
        note
        for count, note in (
            (summary.earlier, f"{summary.earlier} earlier"),
            (
                summary.duplicates,
                f"{summary.duplicates} duplicate{'s' if summary.duplicates > 1 else ''}",
            ),
        )
        if count
    ]
    parts = [f"{summary.deidentified} de-identified" + (f" ({', '.join(notes)})" if notes else "")]
    if summary.directories:
        parts.append(f"{summary.directories} DICOMDIR not copied")
    parts.append(f"{summary.not_dicom} skipped (not DICOM)")
    parts.append(f"{len(summary.failures)} failed")
    return ", ".join(parts)


def shown(name: str) -> str:
    r"""Return a file's name so that it cannot steer a terminal.

    >>> shown("a\x1b[2Jb\udcff.dcm")
    'a\\x1b[2Jb\\udcff.dcm'
    """
    return "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode("ascii")
        for char in name
    )


def _write_report(path: Path, summary: Summary, seconds: float) -> None:
    content: dict[str, Any] = {
        "Deidentified": summary.deidentified,
        "Earlier": summary.earlier,
        "Duplicates": summary.duplicates,
        "NotDicom": summary.not_dicom,
        "Directories": summary.directories,
        "Lost": [{"File": shown(name), "Reason": why} for name, why in summary.losses],
        "Failed": [{"File": shown(name), "Reason": why} for name, why in summary.failures],
        "Seconds": round(seconds, 3),
    }
    try:
        path.touch(mode=0o600)
        path.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    except OSError as error:
        raise SettingsError(f"{path}: the report cannot be written ({error.strerror})") from None


class _Bar:
    """Files and the time left, on a terminal alone."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._progress = Progress(
            TextColumn("de-identifying"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal or not sys.stderr.isatty(),
        )
        self._task = self._progress.add_task("", total=None)

    def __enter__(self) -> Self:
        self._progress.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._progress.stop()

    def show(self, done: int, total: int) -> None:
        self._progress.update(self._task, completed=done, total=total)
