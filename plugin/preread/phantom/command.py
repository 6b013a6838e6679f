"""``preread phantom``: computed series with known lesions, as folders of DICOM files."""

from __future__ import annotations

from enum import StrEnum
from pathlib import Path
from typing import Annotated, Final, TypeVar

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

from preread.phantom.acquisition import Acquisition, Kernel, Kind, check_seed
from preread.phantom.errors import PhantomError

_MOST: Final = 10_000
_Choice = TypeVar("_Choice", bound=StrEnum)


def phantom(
    output: Annotated[
        Path,
        typer.Argument(
            metavar="OUT",
            help="Where the folders are made, one for each series: synthetic-KIND-SEED.",
        ),
    ],
    *,
    kind: Annotated[str, typer.Option(help="chest (CT) or brain (MR).")] = Kind.CHEST.value,
    series: Annotated[int, typer.Option(help=f"How many, from 1 to {_MOST}.")] = 1,
    seed: Annotated[int, typer.Option(help="Of the first series; each one more has the next.")] = 1,
    slice_thickness: Annotated[
        float, typer.Option(help="In mm, from 0.5 to 10; the slices touch.")
    ] = 2.5,
    kernel: Annotated[
        str | None,
        typer.Option(help="Of the CT: soft, standard or lung. Default: standard."),
    ] = None,
    size: Annotated[int, typer.Option(help="Rows and columns, from 64 to 1024.")] = 512,
) -> None:
    """Make synthetic series with known lesions; the same seed makes the same files.

    Each folder has the slices, and the truth as segmentation.dcm, structure-set.dcm and truth.json.
    """
    wanted = _chosen(Kind, kind, "--kind")
    if kernel is not None and wanted is Kind.BRAIN:
        raise PhantomError("--kernel: MR has none; leave it out, or choose --kind chest")
    acquisition = Acquisition(
        slice_thickness=slice_thickness,
        kernel=_chosen(Kernel, kernel or Kernel.STANDARD, "--kernel"),
        size=size,
    )
    if not 1 <= series <= _MOST:
        raise PhantomError(f"--series: expected 1 to {_MOST}, not {series}")
    check_seed(seed)
    check_seed(seed + series - 1)
    written = _write(output, wanted, range(seed, seed + series), acquisition)
    typer.echo(f"{series} synthetic series written, {written} slices, each with its truth")


def _write(output: Path, kind: Kind, seeds: range, acquisition: Acquisition) -> int:
    """Write a folder for each seed; return how many slices they have together."""
    from preread.phantom.volume import make_volume, phantom_grid  # noqa: PLC0415 - takes a while
    from preread.phantom.writing import write_phantom  # noqa: PLC0415 - imports highdicom

    slices = phantom_grid(kind, acquisition).slices * len(seeds)
    with _bar() as bar:
        task = bar.add_task(f"synthetic {kind}", total=slices)
        for seed in seeds:
            volume = make_volume(kind, seed, acquisition)
            write_phantom(volume, output, lambda: bar.advance(task))
    return slices


def _chosen(choices: type[_Choice], name: str, option: str) -> _Choice:
    try:
        return choices(name)
    except ValueError:
        raise PhantomError(f"{option}: expected one of {', '.join(choices)}") from None


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
