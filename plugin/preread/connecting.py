"""How commands reach Orthanc: what is given, and what the configuration says."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preread.errors import SettingsError

if TYPE_CHECKING:
    from preread.archive.pacs import OrthancPacs

FAILED = 1
"""The exit code of a command of which a part was not done."""

_DEFAULT_CONFIGURATION = Path("orthanc.json")
_DEFAULT_URL = "http://127.0.0.1:8042"

Configuration = Annotated[
    Path | None,
    typer.Option(
        "--config",
        help="Orthanc's configuration, a file or a folder. Default: orthanc.json, if it is here.",
        exists=True,
    ),
]
Url = Annotated[
    str, typer.Option(help="Where Orthanc answers, in place of what the configuration says.")
]
Username = Annotated[str, typer.Option(help="An Orthanc user.", envvar="PREREAD_USERNAME")]
Password = Annotated[
    str,
    typer.Option(
        help="The user's password; better in the environment, where others do not see it.",
        envvar="PREREAD_PASSWORD",
    ),
]


@dataclass(frozen=True, slots=True)
class Orthanc:
    """Where Orthanc answers, and as whom to ask."""

    url: str
    username: str
    password: str
    verify: bool

    @classmethod
    def of(cls, config: Path | None, url: str, username: str, password: str) -> Orthanc:
        """Take what was given, and the rest from the configuration, if there is one."""
        found = config or (_DEFAULT_CONFIGURATION if _DEFAULT_CONFIGURATION.exists() else None)
        if url or found is None:
            return cls(url or _DEFAULT_URL, username, password, verify=True)
        from preread.settings import site_from_file  # noqa: PLC0415 - not needed for help

        site = site_from_file(found)
        named = site.settings.runner
        if not username:
            username, password = named.username, named.password
        return cls(site.url, username, password, verify=site.url != site.local_url)

    def open(self) -> OrthancPacs:
        """Return a connection."""
        from preread.archive.pacs import OrthancPacs  # noqa: PLC0415 - not needed for help

        return OrthancPacs(
            self.url, username=self.username, password=self.password, verify=self.verify
        )


def configuration(given: Path | None) -> Path:
    """Return the configuration that is meant.

    Raises
    ------
    SettingsError
        If none is named and none lies here.
    """
    if given is None and not _DEFAULT_CONFIGURATION.exists():
        raise SettingsError(
            "no configuration: there is no orthanc.json here; name Orthanc's with --config"
        )
    return given or _DEFAULT_CONFIGURATION


def try_again(orthanc: Orthanc, path: str, ids: Iterable[object]) -> None:
    """Post to the path of each id, and say of how many that was taken."""
    from preread.archive.pacs import PacsRefusedError  # noqa: PLC0415 - not needed for help

    done = failures = 0
    with orthanc.open() as pacs:
        for one in ids:
            try:
                pacs.post(path.format(one))
                done += 1
            except PacsRefusedError as error:
                failures += 1
                typer.echo(f"{one}: {error}", err=True)
    typer.echo(f"{done} of {done + failures} are tried again")
    if failures:
        raise typer.Exit(FAILED)
