"""What the commands of ``preread iodeep`` read and write."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preread.errors import PrereadError, SettingsError

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep

_HERE = Path("models")
_CONFIGURATION = Path("orthanc.json")

File = Annotated[Path, typer.Argument(metavar="FILE", help="An IODeep instance.")]
Models = Annotated[
    Path | None,
    typer.Option(
        help="The models folder, where an object may say that its weights lie. Default: that of "
        "the configuration, or ./models.",
        file_okay=False,
    ),
]


def network_in(file: Path) -> IODeep:
    """Read a network's file; what is wrong with it is said with its name."""
    from preread.iodeep.reading import LARGEST_FILE, decode  # noqa: PLC0415 - not needed for help

    try:
        return decode(bytes_of(file, LARGEST_FILE))
    except SettingsError:
        raise
    except PrereadError as error:
        raise PrereadError(f"{file}: {error}") from None


def models_folder(models: Path | None, config: Path | None) -> Path:
    """Give the models folder: what was given, else the configuration's, else ./models."""
    found = config or (_CONFIGURATION if _CONFIGURATION.exists() else None)
    if models is not None or found is None:
        return models or _HERE
    from preread.settings import site_from_file  # noqa: PLC0415 - not needed for help

    return site_from_file(found).models_folder


def text_of(file: Path, most: int) -> str:
    """Read a file in UTF-8 of at most so many bytes."""
    try:
        return bytes_of(file, most).decode("utf-8")
    except UnicodeDecodeError:
        raise SettingsError(f"{file}: expected a text in UTF-8") from None


def bytes_of(file: Path, most: int) -> bytes:
    """Read a file of at most so many bytes."""
    try:
        with file.open("rb") as opened:
            data = opened.read(most + 1)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be read ({error.strerror})") from None
    if len(data) > most:
        raise SettingsError(f"{file}: larger than {most} bytes")
    return data


def write_new(file: Path, data: bytes) -> None:
    """Write a file that is not there yet."""
    try:
        with file.open("xb") as opened:
            opened.write(data)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written ({error.strerror})") from None
