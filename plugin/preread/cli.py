"""The command ``preread``. What a command needs is imported when it runs, so that help is quick."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preread import __version__, quarantining, tables
from preread.connecting import (
    FAILED,
    Configuration,
    Orthanc,
    Password,
    Url,
    Username,
    configuration,
    try_again,
)
from preread.errors import PrereadError, SettingsError
from preread.iodeep import command as iodeep
from preread.service import command as service
from preread.training import models_command as models

if TYPE_CHECKING:
    pass

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

app.add_typer(quarantining.app, name="quarantine")
app.add_typer(iodeep.app, name="iodeep")
app.add_typer(models.app, name="models")
app.command("serve-iodeep")(service.serve)


def main() -> None:
    """Run the command; an error is one line on standard error."""
    try:
        app()
    except PrereadError as error:
        print(f"preread: {error}", file=sys.stderr)  # noqa: T201 - the command's own output
        sys.exit(_USAGE if isinstance(error, SettingsError) else FAILED)
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
    from preread.runner.last_words import last_words  # noqa: PLC0415 - not needed for help

    if attached:
        with last_words():
            from preread.runner.process import run_attached  # noqa: PLC0415 - loads networks

            code = run_attached(sys.stdin.buffer)
        raise typer.Exit(code)
    from preread.runner.process import run_alone  # noqa: PLC0415 - loads networks

    raise typer.Exit(run_alone(configuration(config), once=once))


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
            "BodyPartExamined=CHEST; may be given again. Pictures need Modality=CT, or what it is.",
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
    with Orthanc.of(config, url, username, password).open() as pacs:
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
        raise typer.Exit(FAILED)


@app.command()
def status(
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Show how the plugin and its runner fare."""
    with Orthanc.of(config, url, username, password).open() as pacs:
        told = pacs.json("/preread/status")
    table = tables.table("", "", header=False)
    for key, value in _flat(told):
        table.add_row(key, value)
    tables.show(table)


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
    with Orthanc.of(config, url, username, password).open() as pacs:
        found = pacs.json("/preread/jobs", query)
    table = tables.table("ID", "State", "Reason", "Tries", "Instance")
    for job in found:
        cells = (job["ID"], job["State"], job["Reason"], job["Attempts"], job["Instance"])
        table.add_row(*map(str, cells))
    tables.show(table)


@app.command()
def retry(
    ids: Annotated[list[int], typer.Argument(metavar="ID...", help="As `preread jobs` lists.")],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
) -> None:
    """Try failed images again."""
    try_again(Orthanc.of(config, url, username, password), "/preread/jobs/{}/retry", ids)


@app.command()
def explain(
    ids: Annotated[
        list[str], typer.Argument(metavar="ID...", help="Orthanc's ids or SOPInstanceUIDs.")
    ],
    config: Configuration = None,
    url: Url = "",
    username: Username = "",
    password: Password = "",
    model: Annotated[
        list[str] | None,
        typer.Option(help="Name of a model; may be given again. Default: all that read it."),
    ] = None,
    label: Annotated[
        str, typer.Option("--class", help="Default: the class that the model found likeliest.")
    ] = "",
    frame: Annotated[
        int | None,
        typer.Option(help="From 0. Default: that in which the class is likeliest.", min=0),
    ] = None,
) -> None:
    """Have pictures made of what the networks looked at, in the studies of the images."""
    from preread import explaining  # noqa: PLC0415 - not needed for help

    wanted = {"Models": model or None, "Class": label or None, "Frame": frame}
    body = {key: value for key, value in wanted.items() if value is not None}
    explaining.explain(Orthanc.of(config, url, username, password), ids, body)


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
def split(context: typer.Context) -> None:
    """Divide images into training, validation and test; see `preread split --help`."""
    from preread.training import split_command  # noqa: PLC0415 - not needed for help

    _delegate(context, split_command.split)


@app.command("paper-sets", context_settings=_DELEGATED)
def paper_sets(context: typer.Context) -> None:
    """List the seed paper's data sets; see `preread paper-sets --help`."""
    from preread.training import paper_sets as command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.paper_sets)


@app.command(context_settings=_DELEGATED)
def evaluate(context: typer.Context) -> None:
    """Measure models and their ensemble; see `preread evaluate --help`."""
    from preread.training.evaluation import command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.evaluate)


@app.command(context_settings=_DELEGATED)
def deidentify(context: typer.Context) -> None:
    """De-identify a folder of DICOM files; see `preread deidentify --help`."""
    from preread import deidentifying  # noqa: PLC0415 - not needed for help

    _delegate(context, deidentifying.deidentify)


@app.command(context_settings=_DELEGATED)
def reidentify(context: typer.Context) -> None:
    """Bring files back to what they were, with a key; see `preread reidentify --help`."""
    from preread.deidentify import reidentify_command  # noqa: PLC0415 - not needed for help

    _delegate(context, reidentify_command.reidentify)


@app.command(context_settings=_DELEGATED)
def phantom(context: typer.Context) -> None:
    """Make synthetic series with known lesions; see `preread phantom --help`."""
    from preread.phantom import command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.phantom)


@iodeep.app.command("train", context_settings=_DELEGATED)
def iodeep_train(context: typer.Context) -> None:
    """Train a network that outlines lesions; see `preread iodeep train --help`."""
    from preread.training.regions import command  # noqa: PLC0415 - not needed for help

    _delegate(context, command.train)


@iodeep.app.command("evaluate", context_settings=_DELEGATED)
def iodeep_evaluate(context: typer.Context) -> None:
    """Measure a network that outlines lesions; see `preread iodeep evaluate --help`."""
    from preread.training.regions import evaluate_command  # noqa: PLC0415 - not needed for help

    _delegate(context, evaluate_command.evaluate)


def _delegate(context: typer.Context, command: Callable[..., None]) -> None:
    inner = typer.Typer(add_completion=False, pretty_exceptions_enable=False, rich_markup_mode=None)
    inner.command()(command)
    words = context.command_path.partition(" ")[2]
    inner(args=context.args, prog_name=f"preread {words}")


@app.command()
def settings() -> None:
    """Print the reference of all settings as Markdown."""
    from preread.settings_reference import markdown  # noqa: PLC0415 - not needed for help

    typer.echo(markdown(), nl=False)


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
