"""The seed paper's two data sets, put together from the public copies.

The paper's set "CT Scan Images for Lung Cancer" is made of two public ones: all images of the
training part of Chest CT-Scan images, and some of the IQ-OTH/NCCD lung cancer data set, which is
the paper's other set as a whole. Which some is not told, so a seed draws them.
"""

from __future__ import annotations

import csv
import os
from dataclasses import dataclass
from io import StringIO
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import numpy as np
import typer
from rich.console import Console

from preread import tables
from preread.errors import PrereadError
from preread.training.errors import TrainingError
from preread.training.folder import files_below
from preread.training.split_file import write_csv

if TYPE_CHECKING:
    from collections.abc import Mapping

IQ: Final = "IQ-OTHNCCD"
CT: Final = "CT-Scan"
"""Short names of the two sets: columns of the CSV."""


@dataclass(frozen=True, slots=True)
class PaperClass:
    """A class of one of the public copies.

    Attributes
    ----------
    name
        In the sets.
    begins
        How the names of its folders begin in the public copies, in small letters and with blanks.
    images
        How many the paper has.
    drawn
        How many of them are in the set `CT`.
    """

    name: str
    begins: tuple[str, ...]
    images: int
    drawn: int


# The second spelling of the first is that of the data set's own folder.
IQ_CLASSES: Final = (
    PaperClass("Benign", ("benign", "bengin"), 120, 80),
    PaperClass("Malignant", ("malignant",), 561, 460),
    PaperClass("Normal", ("normal",), 416, 307),
)
CHEST_CLASSES: Final = (
    PaperClass("Adenocarcinoma", ("adenocarcinoma",), 195, 195),
    PaperClass("Large_Cell_Carcinoma", ("large cell carcinoma",), 115, 115),
    PaperClass("Normal", ("normal",), 148, 148),
    PaperClass("Squamous_Cell_Carcinoma", ("squamous cell carcinoma",), 155, 155),
)


@dataclass(frozen=True, slots=True)
class PaperSets:
    """Both sets.

    Attributes
    ----------
    labels
        For each file (relative to the folder above both copies, with ``/``): its class in `IQ` and
        in `CT`, empty where it is in one of them only.
    notes
        Where the folders hold other numbers of images than the paper's, one line each.
    """

    labels: Mapping[str, tuple[str, str]]
    notes: tuple[str, ...]

    def counts(self) -> dict[str, dict[str, int]]:
        """Images of each class of each set."""
        found: dict[str, dict[str, int]] = {IQ: {}, CT: {}}
        for both in self.labels.values():
            for name, label in zip((IQ, CT), both, strict=True):
                if label:
                    found[name][label] = found[name].get(label, 0) + 1
        return found

    def csv(self) -> str:
        """Give the sets as `preread.training.listing.read_listing` reads them."""
        text = StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(["file", IQ, CT])
        writer.writerows([file, *both] for file, both in sorted(self.labels.items()))
        return text.getvalue()


def put_together(iq: Path, chest: Path, seed: int) -> PaperSets:
    """Put both sets together.

    Parameters
    ----------
    iq
        The IQ-OTH/NCCD data set: class folders whose names begin with benign (or bengin),
        malignant and normal.
    chest
        The training part of Chest CT-Scan images: class folders whose names begin with
        adenocarcinoma, large-cell-carcinoma (or with dots), normal and squamous-cell-carcinoma.
    seed
        Draws the images of the first that are in the set `CT` too: as many of each class as the
        paper has, or as many in proportion where the folder holds other numbers.

    Raises
    ------
    TrainingError
        If a class has no folder or no image, or one folder is inside the other.
    """
    one, other = iq.resolve(), chest.resolve()
    if one.is_relative_to(other) or other.is_relative_to(one):
        raise TrainingError(f"{iq.name} and {chest.name}: expected two folders, apart")
    root = Path(os.path.commonpath([one, other]))
    random = np.random.default_rng(seed)
    labels: dict[str, tuple[str, str]] = {}
    notes: list[str] = []
    for one_class, files in _class_files(one, IQ_CLASSES, notes):
        drawn = one_class.drawn
        if len(files) != one_class.images:
            drawn = max(1, round(len(files) * one_class.drawn / one_class.images))
            notes.append(
                f"{iq.name}, {one_class.name}: {len(files)} images, the paper has "
                f"{one_class.images}; {drawn} drawn for {CT}, in proportion"
            )
        chosen = set(random.permutation(len(files))[:drawn].tolist())
        for index, file in enumerate(files):
            name = file.relative_to(root).as_posix()
            labels[name] = one_class.name, one_class.name if index in chosen else ""
    for one_class, files in _class_files(other, CHEST_CLASSES, notes):
        if len(files) != one_class.images:
            notes.append(
                f"{chest.name}, {one_class.name}: {len(files)} images, the paper has "
                f"{one_class.images}"
            )
        labels |= {file.relative_to(root).as_posix(): ("", one_class.name) for file in files}
    return PaperSets(labels, tuple(notes))


def paper_sets(
    iq: Annotated[
        Path,
        typer.Argument(
            metavar="IQ_FOLDER",
            help="The IQ-OTH/NCCD lung cancer data set, a folder for each class.",
            exists=True,
            file_okay=False,
        ),
    ],
    chest: Annotated[
        Path,
        typer.Argument(
            metavar="CHEST_FOLDER",
            help="The training part of Chest CT-Scan images, a folder for each class.",
            exists=True,
            file_okay=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(help="The CSV to write.", dir_okay=False)],
    seed: Annotated[
        int, typer.Option(help="Of which images of the first are in both sets.", min=0)
    ] = 0,
) -> None:
    """List the seed paper's two data sets, for `preread split` and `preread train`."""
    try:
        found = put_together(iq, chest, seed)
        write_csv(output, found.csv())
    except PrereadError as error:
        Console(stderr=True).print(
            f"preread paper-sets: {error}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    table = tables.table("Set", "Class", "Images")
    for name, classes in found.counts().items():
        for label, count in sorted(classes.items()):
            table.add_row(name, label, str(count))
        table.add_row(name, "all", str(sum(classes.values())))
    tables.show(table)
    root = Path(os.path.commonpath([iq.resolve(), chest.resolve()]))
    for line in (*found.notes, f"{output} written; its files are relative to {root}"):
        Console().print(line, markup=False, highlight=False, soft_wrap=True)


def _class_files(
    folder: Path, classes: tuple[PaperClass, ...], notes: list[str]
) -> list[tuple[PaperClass, list[Path]]]:
    """Find the folder of each class, and the files in it; note what is passed over."""
    places = [
        place
        for place in sorted(folder.iterdir())
        if place.is_dir() and not place.name.startswith(".")
    ]
    found = []
    for one in classes:
        own = [place for place in places if _plain(place.name).startswith(one.begins)]
        if len(own) != 1:
            raise TrainingError(
                f"{folder.name}: expected one folder whose name begins with {one.begins[0]!r}, "
                f"found {len(own)}"
            )
        files = list(files_below(own[0]))
        if not files:
            raise TrainingError(f"{folder.name}/{own[0].name}: no images in it")
        places.remove(own[0])
        found.append((one, files))
    notes.extend(
        f"{folder.name}/{place.name}: no class of the paper, passed over" for place in places
    )
    return found


def _plain(name: str) -> str:
    return "".join(" " if character in "-_. " else character for character in name.lower())
