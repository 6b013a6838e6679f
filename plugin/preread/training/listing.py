"""A data set as a CSV that lists files with their classes in one set or several."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Final

from preread.training.data_set import NOT_IN_SET, Contradictions, DataSet, Gathering, Listed
from preread.training.errors import TrainingError
from preread.training.image_files import ImageFile
from preread.training.patients import COLUMN, tokens_in

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from preread.imaging import Preprocessing

RESERVED: Final = ("file", COLUMN, "sha256", "group", "part")
"""Columns that are no set's labels."""
PARTS: Final = ("training", "validation", "test")
LARGEST_LISTING: Final = 256 * 1024**2
"""Bytes of a CSV."""

_SHA256 = re.compile(r"[0-9a-f]{64}")
_FRAME = re.compile(r"(?P<file>.+)#(?P<frame>\d{1,6})")


@dataclass(frozen=True, slots=True)
class _Line:
    """A row of the CSV: how errors call it, and its cells by column."""

    where: str
    cells: Mapping[str, str]

    @property
    def file(self) -> str:
        """The path with one way to write it, so that no file is listed twice."""
        return str(PurePosixPath(self.cells["file"]))

    @property
    def part(self) -> str:
        part = self.cells.get("part", "")
        if "part" in self.cells and part not in PARTS:
            raise TrainingError(f"{self.where}: part: expected {', '.join(PARTS)}")
        return part

    @property
    def group(self) -> int:
        group = self.cells.get("group", "0")
        if not (group.isascii() and group.isdigit() and len(group) < 19):
            raise TrainingError(f"{self.where}: group: expected a whole number, 0 or more")
        return int(group)

    @property
    def sha256(self) -> str | None:
        given = self.cells.get("sha256")
        if given is not None and not _SHA256.fullmatch(given.lower()):
            raise TrainingError(f"{self.where}: sha256: expected 64 hexadecimal digits")
        return given and given.lower()


def read_listing(
    listing: Path,
    root: Path,
    preprocessing: Preprocessing,
    sets: Sequence[str] | None = None,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    keep_duplicates: bool = False,
    contradictions: Contradictions = Contradictions.REFUSE,
    names: Mapping[str, Mapping[str, str]] | None = None,
) -> DataSet:
    """Read the images that a CSV lists.

    Its columns: ``file`` (under the root, with ``/``; ``#3`` behind it for the fourth frame of a
    DICOM file with several), one column of labels for each set, named like the set and empty where
    an image is not in it, and where known ``patient``, ``sha256`` (of the decoded pixels),
    ``group`` (a number) and ``part`` (``training``, ``validation`` or ``test``). Where no patient
    is told, a DICOM file's header tells it.

    Parameters
    ----------
    listing
        The CSV, in UTF-8.
    root
        Folder that the files are under.
    preprocessing
        Of the network.
    sets
        Which sets to read, in this order; images in none of them are passed over. None: all.
    progress
        Called with rows done and rows in all.
    keep_duplicates
        Whether images whose pixels are the same are taken each time, not once.
    contradictions
        What becomes of images whose pixels are in two classes of a set. A CSV with parts is always
        taken as it is, duplicates and contradictions too: both were decided when it was divided.
    names
        For a set: from a label in the CSV to the name of its class, in the order of the classes.
        A set that is not in it has its labels as classes, sorted.

    Raises
    ------
    TrainingError
        If the CSV cannot be used, a file is not there, outside the root, no image or not the one
        that its SHA-256 tells of, or the same pixels are in two classes of a set and that
        is refused.
    """
    columns, lines = _read(listing)
    wanted = _sets(listing.name, columns, sets)
    lines = [line for line in lines if any(line.cells[name] for name in wanted)]
    classes = {
        name: _classes(listing.name, name, lines, (names or {}).get(name)) for name in wanted
    }
    if not root.is_dir():
        raise TrainingError(f"{root.name}: no such folder")
    with_parts = "part" in columns
    gathering = Gathering(
        listing.name,
        preprocessing,
        {name: tuple(dict.fromkeys(known.values())) for name, known in classes.items()},
        keep_duplicates=keep_duplicates or with_parts,
        contradictions=Contradictions.KEEP if with_parts else contradictions,
    )
    listed = [(line, _listed(line, classes), line.sha256) for line in lines]
    opened: tuple[Path, ImageFile] | None = None
    for done, (line, known, sha256) in enumerate(listed, start=1):
        path, index = _place(line, root)
        if opened is None or opened[0] != path:
            opened = path, ImageFile(path, f"{line.where}: {line.file}")
        image = opened[1]
        if index is None and image.number_of_frames > 1:
            raise TrainingError(
                f"{line.where}: {line.file}: has {image.number_of_frames} frames; list each, such "
                "as FILE#0"
            )
        patients = image.patients(known.patients)
        digest = gathering.add(replace(known, patients=patients), image.frame(index or 0))
        if sha256 not in (None, digest):
            raise TrainingError(
                f"{line.where}: {line.file}: its pixels are not those that its sha256 tells of; "
                "bring back the file that was listed, or list anew"
            )
        progress(done, len(listed))
    return gathering.data_set(with_parts=with_parts, with_groups="group" in columns)


def _read(listing: Path) -> tuple[list[str], list[_Line]]:
    """Give the columns, and the lines below them."""
    name = listing.name
    try:
        if listing.stat().st_size > LARGEST_LISTING:
            raise TrainingError(f"{name}: larger than {LARGEST_LISTING} bytes")
        with listing.open(encoding="utf-8-sig", newline="") as opened:
            rows = _rows(name, csv.reader(opened, strict=True))
            _, columns = next(rows, ("", []))
            _check_columns(name, columns)
            lines = [_line(where, columns, row) for where, row in rows]
    except OSError as error:
        raise TrainingError(f"{name}: cannot be read ({error.strerror})") from None
    except UnicodeDecodeError:
        raise TrainingError(f"{name}: not in UTF-8") from None
    if not lines:
        raise TrainingError(f"{name}: no files are listed in it")
    first: dict[str, str] = {}
    for line in lines:
        if line.file in first:
            raise TrainingError(f"{line.where}: {line.file}: listed before, {first[line.file]}")
        first[line.file] = line.where
    return columns, lines


def _rows(name: str, reader: Iterator[list[str]]) -> Iterator[tuple[str, list[str]]]:
    number = 0
    try:
        for number, row in enumerate(reader, start=1):
            if row:
                yield f"{name} row {number}", row
    except csv.Error as error:
        raise TrainingError(f"{name} row {number + 1}: no CSV ({error})") from None


def _check_columns(name: str, columns: list[str]) -> None:
    if "file" not in columns:
        raise TrainingError(
            f"{name}: no column 'file' in its first row; expected file, a column of labels for "
            "each set, and where known patient, sha256, group, part"
        )
    if "" in columns or len(set(columns)) < len(columns):
        raise TrainingError(f"{name}: a column has no name, or two have the same")


def _line(where: str, columns: list[str], row: list[str]) -> _Line:
    if len(row) != len(columns):
        raise TrainingError(f"{where}: expected {len(columns)} cells, found {len(row)}")
    cells = dict(zip(columns, row, strict=True))
    # A file's name may begin or end with a blank.
    line = _Line(
        where, {name: cells[name] if name == "file" else cells[name].strip() for name in columns}
    )
    labels = [column for column in columns if column not in RESERVED]
    if labels and not any(line.cells[column] for column in labels):
        raise TrainingError(f"{where}: no label in any of {', '.join(labels)}")
    return line


def _sets(name: str, columns: Sequence[str], sets: Sequence[str] | None) -> list[str]:
    there = [column for column in columns if column not in RESERVED]
    if not there:
        raise TrainingError(f"{name}: no column of labels, such as 'class'")
    for wanted in sets or ():
        if wanted not in there:
            raise TrainingError(f"{name}: no column of labels {wanted!r}; has {', '.join(there)}")
    return list(dict.fromkeys(sets)) if sets else there


def _classes(
    name: str, column: str, lines: Sequence[_Line], names: Mapping[str, str] | None
) -> dict[str, str]:
    """Give the class of each label, in the order of the classes."""
    found = sorted({line.cells[column] for line in lines} - {""})
    if len(found) < 2:
        raise TrainingError(f"{name}: {column}: expected two classes or more")
    if not names:
        return {label: label for label in found}
    # A split that was written has the classes' names already.
    known = dict(names) | {given: given for given in names.values()}
    there = {known.get(label) for label in found}
    odd = [label for label in found if label not in known]
    odd += [label for label, given in names.items() if given not in there]
    if odd:
        raise TrainingError(f"{name}: {column}: class {odd[0]!r} is only in one of data and card")
    return known


def _listed(line: _Line, classes: Mapping[str, Mapping[str, str]]) -> Listed:
    labels = []
    for column, known in classes.items():
        label = line.cells[column]
        order = list(dict.fromkeys(known.values()))
        labels.append(order.index(known[label]) if label else NOT_IN_SET)
    return Listed(
        file=line.file,
        labels=tuple(labels),
        patients=tokens_in(line.cells.get(COLUMN, "")),
        part=line.part,
        group=line.group,
    )


def _place(line: _Line, root: Path) -> tuple[Path, int | None]:
    """Find the file under the root, and which of its frames is meant."""
    named = PurePosixPath(line.file)
    if line.file == "." or "\0" in line.file or named.is_absolute() or ".." in named.parts:
        raise TrainingError(
            f"{line.where}: file: expected a path below the data's folder, without .. and not "
            "absolute"
        )
    path, index = root / named, None
    frame = _FRAME.fullmatch(line.file)
    try:
        if frame is not None and not path.exists():
            path, index = root / frame["file"], int(frame["frame"])
        there = path.is_file()
        inside = path.resolve().is_relative_to(root.resolve())
    except OSError as error:
        raise TrainingError(f"{line.where}: file: cannot be found ({error.strerror})") from None
    if not inside:
        raise TrainingError(
            f"{line.where}: {line.file}: a link that leads out of the data's folder"
        )
    if not there:
        raise TrainingError(f"{line.where}: {line.file}: no such file in {root.resolve().name}")
    return path, index
