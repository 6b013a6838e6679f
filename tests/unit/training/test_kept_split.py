"""A CSV that tells all of its split is kept as it is; another one is written out."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from preread.imaging import Preprocessing
from preread.training.data_set import DataSet
from preread.training.evaluation.record import parse_record
from preread.training.kept_split import keep_split
from preread.training.listing import read_listing
from preread.training.split_file import write_split
from preread.training.splits import Split
from tests.unit.training.conftest import TwoSets

HOW = Preprocessing(size=(32, 32))
Rows = list[dict[str, str]]


@pytest.fixture
def written(
    two_sets: TwoSets, two_set_data: DataSet, two_set_split: Split, tmp_path: Path
) -> tuple[Path, Rows]:
    """Give a split as `preread split` writes it, and its rows."""
    path = tmp_path / "split.csv"
    write_split(path, two_set_data, two_set_split)
    with path.open(newline="") as file:
        return path, list(csv.DictReader(file))


def listed(path: Path, rows: Rows) -> Path:
    with path.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


@pytest.mark.parametrize("sets", [("Shapes", "Two"), ("Two",), ("Two", "Shapes")])
def test_a_split_that_was_written_is_kept_byte_for_byte(
    sets: tuple[str, ...], written: tuple[Path, Rows], two_sets: TwoSets
) -> None:
    path, rows = written
    given = path.read_bytes()
    data = read_listing(path, two_sets.root, HOW, sets)
    request: Any = SimpleNamespace(data=path, split_draft=path.parent / "draft.csv")
    keep_split(request, data)
    assert request.split_draft.read_bytes() == given
    # Other line ends and columns are as good.
    listing = listed(path.parent / "other.csv", [row | {"Other": "x"} for row in rows])
    assert b"\r\n" in listing.read_bytes()
    request.data = listing
    keep_split(request, data)
    assert request.split_draft.read_bytes() == listing.read_bytes()


def without(column: str) -> Callable[[dict[str, str]], dict[str, str]]:
    return lambda row: {name: cell for name, cell in row.items() if name != column}


@pytest.mark.parametrize(
    "change",
    [
        without("sha256"),
        without("group"),
        lambda row: row | {"sha256": row["sha256"].upper()},
        lambda row: row | {"Shapes": {"bar": "a", "check": "b", "disc": "c"}[row["Shapes"]]},
    ],
)
def test_what_an_evaluation_could_not_read_is_written_out(
    change: Callable[[dict[str, str]], dict[str, str]],
    written: tuple[Path, Rows],
    two_sets: TwoSets,
) -> None:
    path, rows = written
    listing = listed(path.parent / "other.csv", list(map(change, rows)))
    names = {"Shapes": {"a": "bar", "b": "check", "c": "disc"}}
    data = read_listing(listing, two_sets.root, HOW, names=names)
    request: Any = SimpleNamespace(data=listing, split_draft=path.parent / "draft.csv")
    keep_split(request, data)
    sets, told = parse_record(request.split_draft.read_bytes(), "draft")
    assert sets == ("Shapes", "Two")
    assert [(row.sha256, row.part, row.labels["Shapes"], row.labels["Two"]) for row in told] == [
        (row["sha256"], row["part"], row["Shapes"], row["Two"]) for row in rows
    ]
    # Every time the same.
    first = request.split_draft.read_bytes()
    keep_split(request, data)
    assert request.split_draft.read_bytes() == first


def test_patients_are_told_by_tokens(written: tuple[Path, Rows], two_sets: TwoSets) -> None:
    path, rows = written
    listing = listed(path.parent / "other.csv", [row | {"patient": "P 1"} for row in rows])
    data = read_listing(listing, two_sets.root, HOW)
    request: Any = SimpleNamespace(data=listing, split_draft=path.parent / "draft.csv")
    keep_split(request, data)
    text = request.split_draft.read_text()
    assert "P 1" not in text
    assert text.count("sha256:") == len(rows)
