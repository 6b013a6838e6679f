"""``preread split``: a data set divided into training, validation and test, as a CSV."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from preread import tables
from preread.errors import PrereadError
from preread.imaging import Preprocessing
from preread.training.data_set import NOT_IN_SET, Contradictions
from preread.training.errors import TrainingError
from preread.training.folder import read_folder
from preread.training.image_files import THUMBNAIL
from preread.training.listing import PARTS, read_listing
from preread.training.split_file import split_digest, write_split
from preread.training.splits import SplitKind, split_sets

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from preread.training.data_set import DataSet
    from preread.training.splits import Split


def split(
    source: Annotated[
        Path,
        typer.Argument(
            help="A CSV that lists files and their classes, or a folder with one folder per class.",
            exists=True,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(help="The CSV to write.", dir_okay=False)],
    root: Annotated[
        Path | None,
        typer.Option(
            help="The folder that a CSV's files are under; without it, the one the CSV is in.",
            exists=True,
            file_okay=False,
        ),
    ] = None,
    kind: Annotated[
        SplitKind,
        typer.Option(
            help="grouped keeps images on one side that look alike or are of one patient; random "
            "does not."
        ),
    ] = SplitKind.GROUPED,
    sets: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="A set of the CSV; may be given again. Without it: all.", metavar="NAME"
        ),
    ] = None,
    test: Annotated[float, typer.Option(help="Share measured on.", min=0.01, max=0.9)] = 0.3,
    validation: Annotated[
        float,
        typer.Option(help="Share of the rest that chooses the epoch; 0 for none.", min=0, max=0.9),
    ] = 0.15,
    test_images: Annotated[
        list[str] | None,
        typer.Option(
            help="In a random split, how many images of a set are measured on; may be given again.",
            metavar="SET=NUMBER",
        ),
    ] = None,
    keep_duplicates: Annotated[
        bool | None,
        typer.Option(
            help="Whether images with the same pixels are kept. Without it: in a random split, as "
            "the paper does.",
        ),
    ] = None,
    contradictions: Annotated[
        Contradictions,
        typer.Option(
            help="What becomes of images with the same pixels in two classes of a set. keep: each "
            "stays in its class; drop: they are taken out of that set."
        ),
    ] = Contradictions.REFUSE,
    seed: Annotated[int, typer.Option(min=0)] = 0,
) -> None:
    """Divide a data set into training, validation and test, every image once for all its sets."""
    try:
        exact = _numbers(test_images or ())
        keep = kind is SplitKind.RANDOM if keep_duplicates is None else keep_duplicates
        with _bar() as bar:
            reading = bar.add_task("reading images", total=None)

            def told(done: int, count: int) -> None:
                bar.update(reading, completed=done, total=count)

            data = _read(
                source, root, sets, told, keep_duplicates=keep, contradictions=contradictions
            )
        parts = split_sets(
            data, kind, test=test, validation=validation, seed=seed, test_images=exact
        )
        write_split(output, data, parts)
        digest = split_digest(output)
    except PrereadError as error:
        Console(stderr=True).print(
            f"preread split: {error}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    _show(data, parts)
    for line in (*_notes(data, contradictions), f"{output} written, SHA-256 {digest}"):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _read(
    source: Path,
    root: Path | None,
    sets: list[str] | None,
    progress: Callable[[int, int], None],
    *,
    keep_duplicates: bool,
    contradictions: Contradictions,
) -> DataSet:
    # Images are needed for their digests and thumbnails alone.
    small = Preprocessing(size=(THUMBNAIL, THUMBNAIL), channels=1)
    if source.is_dir():
        if root is not None or sets:
            raise TrainingError("--root and --set: for a CSV; a class folder is one set of its own")
        return read_folder(
            source,
            small,
            {},
            progress,
            keep_duplicates=keep_duplicates,
            contradictions=contradictions,
        )
    return read_listing(
        source,
        root or source.parent,
        small,
        sets,
        progress,
        keep_duplicates=keep_duplicates,
        contradictions=contradictions,
    )


def _notes(data: DataSet, contradictions: Contradictions) -> list[str]:
    notes = []
    if data.duplicates:
        notes.append(f"{data.duplicates} images left out whose pixels were there already")
    if data.contradictions:
        # A CSV that has parts is taken as it is.
        kept = contradictions is Contradictions.KEEP or data.parts is not None
        done = "kept" if kept else "taken out of it"
        notes.append(f"{data.contradictions} images with pixels in two classes of a set {done}")
    return notes


def _numbers(given: Iterable[str]) -> dict[str, int]:
    numbers: dict[str, int] = {}
    for one in given:
        name, _, number = one.rpartition("=")
        if not name or not (number.isascii() and number.isdigit()) or not 0 < int(number) < 10**9:
            raise TrainingError("--test-images: expected SET=NUMBER, such as IQ-OTHNCCD=321")
        numbers[name] = int(number)
    return numbers


def _bar() -> Progress:
    console = Console(stderr=True)
    return Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )


def _show(data: DataSet, parts: Split) -> None:
    table = tables.table("Set", "Class", *(part.capitalize() for part in PARTS), "Groups")
    items = (parts.training, parts.validation, parts.test)
    for one in data.sets:
        for label, name in enumerate(one.classes):
            counts = [int((one.labels[part] == label).sum()) for part in items]
            groups = len(set(parts.group_of[one.labels == label].tolist()))
            table.add_row(one.name, name, *map(str, counts), str(groups))
        there = one.labels != NOT_IN_SET
        counts = [int(there[part].sum()) for part in items]
        groups = len(set(parts.group_of[there].tolist()))
        table.add_row(one.name, "all", *map(str, counts), str(groups))
    tables.show(table)
