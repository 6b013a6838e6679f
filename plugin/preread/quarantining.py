"""``preread quarantine``: what is kept outside Orthanc because it is not safe, or not yet."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from preread.connecting import (
    Configuration,
    Orthanc,
    Password,
    Url,
    Username,
    configuration,
    try_again,
)
from preread.errors import SettingsError
from preread.tables import show, table

app = typer.Typer(
    help="What is kept outside Orthanc because it is not safe, or not yet.", no_args_is_help=True
)


@app.command("list")
def list_quarantine(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """List what waits for a look at its pixels, and what cannot be made safe."""
    with Orthanc.of(config, url, username, password).open() as pacs:
        found = pacs.json("/preread/quarantine")
    made = table("ID", "State", "Time", "Origin", "Size", "Reason")
    for entry in found:
        made.add_row(
            *(str(entry[key]) for key in ("ID", "State", "Time", "Origin", "Size", "Reason"))
        )
    show(made)


@app.command("retry")
def retry_quarantined(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `list` shows them.")],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Have objects looked at, and sent the way of what arrives, once more."""
    place = Orthanc.of(config, url, username, password)
    try_again(place, "/preread/quarantine/{}/retry", ids)


@app.command("export")
def export_quarantined(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    file: Annotated[Path, typer.Argument(help="Where to write it; it is not replaced.")],
    config: Configuration = None,
) -> None:
    """Decrypt an object into a file, WITH ALL THAT IDENTIFIES, where the key file is at hand."""
    from preread.deidentify import Secret  # noqa: PLC0415 - not needed for help
    from preread.deidentify.quarantine import Quarantine  # noqa: PLC0415
    from preread.settings import site_from_file  # noqa: PLC0415

    site = site_from_file(configuration(config))
    if not site.key_file.exists():
        raise SettingsError(f"Preread.Deidentify.KeyFile: {site.key_file} is missing")
    key = Secret.load_or_create(site.key_file).derive("quarantine")
    data = Quarantine(site.quarantine_folder, key).read(identity)
    try:
        with open(file, "xb", opener=_privately) as output:
            output.write(data)
    except OSError as error:
        raise SettingsError(f"{file}: cannot be written ({error.strerror})") from None


def _privately(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
