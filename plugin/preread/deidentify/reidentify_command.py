"""``preread reidentify``: files back to what they were, for those who hold a key."""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.progress import track

from preread.deidentify.envelope import Holder
from preread.deidentify.reidentify import ReidentifyError, restore
from preread.elements import MalformedFile, read_header
from preread.errors import PrereadError

_UID: Final = re.compile(r"(?=.{1,64}$)[0-9]+(\.[0-9]+)*", flags=re.ASCII)


def run(
    paths: Sequence[Path],
    certificate: Path,
    key: Path,
    password: str | None,
    out_folder: Path,
    console: Console | None = None,
) -> list[str]:
    """Bring files back, one after the other; one that fails does not keep the others.

    Parameters
    ----------
    paths
        De-identified files, or folders of them. Hidden files and DICOMDIR are passed over.
    certificate, key, password
        As `Holder.load` takes them.
    out_folder
        Where the originals go, named ``SOPInstanceUID.dcm``; made with mode 0700 if it is missing,
        the files with mode 0600. A file that is there already is never replaced.
    console
        Where progress is shown, if it is a terminal.

    Returns
    -------
    list of str
        One line for each file that failed: its path and why.

    Raises
    ------
    EnvelopeError
        If certificate or key cannot be used.
    ReidentifyError
        If the folder cannot be made.
    """
    holder = Holder.load(certificate, key, password)
    try:
        out_folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    except OSError as error:
        raise ReidentifyError(f"{out_folder}: cannot be made ({error.strerror})") from None
    failures: list[str] = []
    for path in _tracked(list(_files(paths)), console):
        try:
            _write(out_folder, restore(_content(path), holder))
        except PrereadError as error:
            failures.append(f"{path}: {error}")
    return failures


def reidentify(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="De-identified DICOM files.")
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            help="The folder that the originals go to, as SOPInstanceUID.dcm. Nothing there is "
            "replaced.",
            file_okay=False,
        ),
    ],
    certificate: Annotated[
        Path, typer.Option(help="A recipient's certificate, PEM or DER.", dir_okay=False)
    ],
    key: Annotated[Path, typer.Option(help="Its private key, PEM or DER.", dir_okay=False)],
    password: Annotated[
        str,
        typer.Option(
            help="The key's password; better in the environment, where others do not see it.",
            envvar="PREREAD_KEY_PASSWORD",
        ),
    ] = "",
) -> None:
    """Bring de-identified files back to what they were, with the key of a recipient.

    Works for files that were de-identified with recipients' certificates. Without the key there is
    no way back.
    """
    console = Console(stderr=True)
    wanted = list(_files(paths))
    try:
        failures = run(wanted, certificate, key, password or None, output, console)
    except PrereadError as error:
        typer.echo(f"preread reidentify: {error}", err=True)
        raise typer.Exit(1) from None
    for failure in failures:
        typer.echo(failure, err=True)
    typer.echo(f"{len(wanted) - len(failures)} of {len(wanted)} files brought back")
    if failures or not wanted:
        raise typer.Exit(1)


def _tracked(paths: Sequence[Path], console: Console | None) -> Iterable[Path]:
    if console is None or not console.is_terminal:
        return paths
    return track(paths, description="going back", console=console, transient=True)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.is_dir():
            yield path
            continue
        for here, folders, files in os.walk(path):
            folders[:] = sorted(name for name in folders if not name.startswith("."))
            for name in sorted(files):
                if not name.startswith(".") and name.upper() != "DICOMDIR":
                    yield Path(here) / name


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ReidentifyError(f"cannot be read ({error.strerror})") from None


def _write(folder: Path, data: bytes) -> None:
    try:
        uid = read_header(data).SOPInstanceUID
    except MalformedFile as error:
        raise ReidentifyError(str(error)) from None
    if not _UID.fullmatch(uid):
        raise ReidentifyError("its SOPInstanceUID is none, so that it cannot be named after it")
    path = folder / f"{uid}.dcm"
    # Written beside and linked, so that there is never half a file and nothing is replaced.
    beside = folder / f".{secrets.token_hex(8)}.part"
    try:
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
            os.link(beside, path)
        finally:
            beside.unlink(missing_ok=True)
    except FileExistsError:
        raise ReidentifyError(f"{folder} has a file of its UID already, not replaced") from None
    except OSError as error:
        raise ReidentifyError(f"{folder}: cannot be written ({error.strerror})") from None
