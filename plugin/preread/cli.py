"""The command ``preread``. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preread import __version__
from preread.errors import PrereadError, SettingsError

if TYPE_CHECKING:
    from rich.table import Table

    from preread.runner.pacs import OrthancPacs

_DEFAULT_CONFIGURATION = Path("orthanc.json")
_DEFAULT_URL = "http://127.0.0.1:8042"
_FAILED = 1
_USAGE = 2

app = typer.Typer(
    name="preread",
    help="An Orthanc plugin that de-identifies images, has them read by neural networks and "
    "stores what they found. Research only, not a diagnosis.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

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


def main() -> None:
    """Run the command; an error is one line on standard error."""
    try:
        app()
    except PrereadError as error:
        print(f"preread: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        sys.exit(_USAGE if isinstance(error, SettingsError) else _FAILED)
    except KeyboardInterrupt:
        sys.exit(130)


def _version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"preread {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    _version_wanted: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options of the command itself."""


@app.command()
def runner(
    config: Configuration = None,
    attached: Annotated[
        bool, typer.Option("--attached", help="For Orthanc's own use.", hidden=True)
    ] = False,
    once: Annotated[
        bool, typer.Option("--once", help="End when there is nothing left to read.")
    ] = False,
) -> None:
    """Read images until it is stopped; Orthanc starts one itself unless told otherwise."""
    from preread.runner.process import run_alone, run_attached  # noqa: PLC0415 - loads networks

    if attached:
        raise typer.Exit(run_attached(sys.stdin.buffer))
    raise typer.Exit(run_alone(_configuration(config), once=once))


@app.command("import")
def import_(
    paths: Annotated[
        list[Path], typer.Argument(metavar="FILE|FOLDER...", help="JPEG, PNG or DICOM.")
    ],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    study: Annotated[
        str, typer.Option(help="StudyInstanceUID that pictures are put into.", metavar="UID")
    ] = "",
    tag: Annotated[
        list[str] | None,
        typer.Option(
            help="An attribute of the DICOM objects that are made of pictures, such as "
            "Modality=CT or BodyPartExamined=CHEST; may be given again.",
            metavar="KEYWORD=VALUE",
        ),
    ] = None,
) -> None:
    """Send images to Orthanc, where they take the way of every image."""
    from preread import importing  # noqa: PLC0415 - not needed for help

    tags = _tags(tag or [])
    if study:
        tags["StudyInstanceUID"] = study
    wanted, failures = _wanted(paths)
    done = 0
    with _Orthanc.of(config, url, username, password).open() as pacs:
        for path in _progress(wanted, "importing"):
            try:
                importing.send(pacs, path, tags)
                done += 1
            except importing.NotImportedError as error:
                failures.append(str(error))
    for failure in failures:
        typer.echo(failure, err=True)
    typer.echo(f"{done} of {done + len(failures)} files imported")
    if failures or not done:
        raise typer.Exit(_FAILED)


@app.command()
def status(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Show how the plugin and its runner fare."""
    with _Orthanc.of(config, url, username, password).open() as pacs:
        told = pacs.json("/preread/status")
    table = _table("", "", header=False)
    for key, value in _flat(told):
        table.add_row(key, value)
    _show(table)


@app.command()
def jobs(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    status: Annotated[
        str,
        typer.Option(help="pending, running, done, unread, failed or superseded; default: all."),
    ] = "",
    limit: Annotated[int, typer.Option(help="How many, the latest first.", min=1)] = 50,
) -> None:
    """List images with where each stands, and why one was not read."""
    query = {"limit": str(limit)} | ({"status": status} if status else {})
    with _Orthanc.of(config, url, username, password).open() as pacs:
        found = pacs.json("/preread/jobs", query)
    table = _table("ID", "State", "Tries", "Instance", "Reason")
    for job in found:
        cells = (job["ID"], job["State"], job["Attempts"], job["Instance"], job["Reason"])
        table.add_row(*map(str, cells))
    _show(table)


@app.command()
def retry(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="As `preread jobs` lists.")],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Try failed images again."""
    _try_again(_Orthanc.of(config, url, username, password), "/preread/jobs/{}/retry", ids)


def _try_again(orthanc: _Orthanc, path: str, ids: Iterable[object]) -> None:
    """Post to the path of each id, and say of how many that was taken."""
    from preread.runner.pacs import PacsRefusedError  # noqa: PLC0415 - not needed for help

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
        raise typer.Exit(_FAILED)


# Commands whose own arguments are known where they are defined, which is imported when they run.
_DELEGATED = {
    "allow_extra_args": True,
    "ignore_unknown_options": True,
    "help_option_names": [],
}


@app.command(context_settings=_DELEGATED)
def train(context: typer.Context) -> None:
    """Train a network on a folder of images; see `preread train --help`."""
    from preread.training import command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.train)


@app.command(context_settings=_DELEGATED)
def deidentify(context: typer.Context) -> None:
    """De-identify a folder of DICOM files; see `preread deidentify --help`."""
    from preread.deidentify import command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.deidentify)


@app.command(context_settings=_DELEGATED)
def reidentify(context: typer.Context) -> None:
    """Bring files back to what they were, with a key; see `preread reidentify --help`."""
    from preread.deidentify import reidentify_command  # noqa: PLC0415 - not needed for help

    _delegate(context, reidentify_command.reidentify)


def _delegate(context: typer.Context, command: Callable[..., None]) -> None:
    inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    inner.command()(command)
    inner(args=context.args, prog_name=f"preread {context.info_name}")


quarantine_app = typer.Typer(
    help="What is kept outside Orthanc because it is not safe, or not yet.", no_args_is_help=True
)
app.add_typer(quarantine_app, name="quarantine")


@quarantine_app.command("list")
def list_quarantine(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """List what waits for a look at its pixels, and what cannot be made safe."""
    with _Orthanc.of(config, url, username, password).open() as pacs:
        found = pacs.json("/preread/quarantine")
    table = _table("ID", "State", "Time", "Origin", "Size", "Reason")
    for entry in found:
        table.add_row(
            *(str(entry[key]) for key in ("ID", "State", "Time", "Origin", "Size", "Reason"))
        )
    _show(table)


@quarantine_app.command("retry")
def retry_quarantined(
    ids: Annotated[list[str], typer.Argument(metavar="ID...", help="As `list` shows them.")],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Send objects the way of what arrives once more."""
    place = _Orthanc.of(config, url, username, password)
    _try_again(place, "/preread/quarantine/{}/retry", ids)


@quarantine_app.command("export")
def export_quarantined(
    identity: Annotated[str, typer.Argument(metavar="ID", help="As `list` shows it.")],
    file: Annotated[Path, typer.Argument(help="Where to write it; it is not replaced.")],
    config: Configuration = None,
) -> None:
    """Decrypt an object into a file, WITH ALL THAT IDENTIFIES, where the key file is at hand."""
    from preread.deidentify import Secret  # noqa: PLC0415 - not needed for help
    from preread.deidentify.quarantine import Quarantine  # noqa: PLC0415
    from preread.settings import site_from_file  # noqa: PLC0415

    site = site_from_file(_configuration(config))
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


@app.command()
def settings() -> None:
    """Print the reference of all settings as Markdown."""
    from preread.settings_reference import markdown  # noqa: PLC0415 - not needed for help

    typer.echo(markdown(), nl=False)


@dataclass(frozen=True, slots=True)
class _Orthanc:
    """Where Orthanc answers, and as whom to ask."""

    url: str
    username: str
    password: str
    verify: bool

    @classmethod
    def of(cls, config: Path | None, url: str, username: str, password: str) -> _Orthanc:
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
        from preread.runner.pacs import OrthancPacs  # noqa: PLC0415 - not needed for help

        return OrthancPacs(
            self.url, username=self.username, password=self.password, verify=self.verify
        )


def _configuration(given: Path | None) -> Path:
    if given is None and not _DEFAULT_CONFIGURATION.exists():
        raise SettingsError(
            "no configuration: there is no orthanc.json here; name Orthanc's with --config"
        )
    return given or _DEFAULT_CONFIGURATION


def _tags(given: Iterable[str]) -> dict[str, str]:
    tags: dict[str, str] = {}
    for one in given:
        keyword, equals, value = one.partition("=")
        if not equals or not keyword.isalnum():
            raise SettingsError("--tag: expected KEYWORD=VALUE, such as Modality=CT")
        tags[keyword] = value
    return tags


def _wanted(paths: Iterable[Path]) -> tuple[list[Path], list[str]]:
    """List the files to send, and say which are not there or cannot be read."""
    from preread import importing  # noqa: PLC0415 - not needed for help

    wanted: list[Path] = []
    failures: list[str] = []
    for source in importing.sources(paths):
        try:
            if importing.is_wanted(source):
                wanted.append(source.path)
        except importing.NotImportedError as error:
            failures.append(str(error))
    return wanted, failures


def _progress(paths: Sequence[Path], words: str) -> Iterable[Path]:
    from rich.console import Console  # noqa: PLC0415 - not needed for help
    from rich.progress import track  # noqa: PLC0415 - not needed for help

    console = Console(stderr=True)
    hidden = not console.is_terminal
    return track(paths, description=words, console=console, transient=True, disable=hidden)


def _table(*titles: str, header: bool = True) -> Table:
    from rich.table import Table  # noqa: PLC0415 - not needed for help

    table = Table(show_header=header, box=None, pad_edge=False)
    for title in titles:
        table.add_column(title, overflow="fold")
    return table


def _show(table: Table) -> None:
    from rich.console import Console  # noqa: PLC0415 - not needed for help

    Console(markup=False, highlight=False, emoji=False).print(table)


def _flat(told: Mapping[str, Any], above: str = "") -> Iterable[tuple[str, str]]:
    """Spread nested objects over lines such as ``Runner.Pid``."""
    for key, value in told.items():
        name = f"{above}{key}"
        if isinstance(value, dict):
            yield from _flat(value, f"{name}.")
        elif isinstance(value, list):
            yield name, ", ".join(map(str, value)) or "-"
        else:
            yield name, "-" if value is None or value == "" else str(value)


if __name__ == "__main__":
    main()
