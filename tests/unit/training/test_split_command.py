from __future__ import annotations

import csv
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from preread.imaging import Preprocessing
from preread.training.listing import read_listing
from preread.training.split_command import split
from preread.training.split_file import listed_split, split_digest
from tests.unit.training.conftest import write_pictures

app = typer.Typer()
app.command()(split)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def sets(pictures: Path) -> Path:
    """A CSV beside the pictures: 72 images in one set, 40 of them in the other."""
    path = pictures.parent / "sets.csv"
    with path.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(["file", "Shape", "Round"])
        for kind in ("bar", "check", "disc"):
            for number in range(24):
                second = ("yes" if kind == "disc" else "no") if number < 14 else ""
                writer.writerow([f"{kind}/{number:03}.png", kind, "" if number == 3 else second])
    return path


def parts_of(path: Path) -> Counter[str]:
    with path.open(newline="") as opened:
        return Counter(row["part"] for row in csv.DictReader(opened))


def test_divides_a_class_folder(pictures: Path, tmp_path: Path) -> None:
    (pictures / "bar" / "again.png").write_bytes((pictures / "bar" / "000.png").read_bytes())
    output = tmp_path / "out" / "split.csv"
    done = run(pictures, "--output", output, "--seed", 3)
    assert done.exit_code == 0, done.output
    assert sum(parts_of(output).values()) == 72
    assert "1 images left out whose pixels were there already" in done.output
    assert f"SHA-256 {split_digest(output)}" in done.output
    again = read_listing(output, pictures, Preprocessing(size=(16, 16)))
    assert again.sets[0].name == "class"
    assert listed_split(again).groups is not None


def test_divides_exactly_at_random(sets: Path, pictures: Path, tmp_path: Path) -> None:
    (pictures / "bar" / "001.png").write_bytes((pictures / "bar" / "000.png").read_bytes())
    output = tmp_path / "split.csv"
    options = ("--root", pictures, "--kind", "random", "--validation", 0, "--output", output)
    done = run(sets, *options, "--test-images", "Shape=23", "--test-images", "Round=11")
    assert done.exit_code == 0, done.output
    assert parts_of(output) == {"training": 49, "test": 23}
    lines = [line.split() for line in done.output.splitlines()]
    assert ["Shape", "all", "49", "0", "23", "72"] in lines
    assert ["Round", "all", "28", "0", "11", "39"] in lines


def test_the_same_command_gives_the_same_file(sets: Path, pictures: Path, tmp_path: Path) -> None:
    digests = []
    for number, seed in enumerate((1, 1, 2)):
        output = tmp_path / f"{number}.csv"
        assert run(sets, "--root", pictures, "--output", output, "--seed", seed).exit_code == 0
        digests.append(split_digest(output))
    assert digests[0] == digests[1] != digests[2]


def test_one_set_beside_the_files(sets: Path, pictures: Path, tmp_path: Path) -> None:
    beside = pictures / "sets.csv"
    sets.rename(beside)
    done = run(beside, "--set", "Round", "--output", tmp_path / "split.csv")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "split.csv").read_text().startswith("file,Round,sha256,group,part\n")
    assert sum(parts_of(tmp_path / "split.csv").values()) == 39


def test_contradictions(pictures: Path, tmp_path: Path) -> None:
    (pictures / "disc" / "x.png").write_bytes((pictures / "bar" / "000.png").read_bytes())
    output = tmp_path / "split.csv"
    refused = run(pictures, "--output", output)
    assert refused.exit_code == 1
    assert refused.output.count("\n") == 1
    assert "the same pixels in two classes; remove them" in refused.output
    assert not output.exists()
    for choice, count, told in (("keep", 73, "kept"), ("drop", 71, "taken out of it")):
        done = run(pictures, "--output", output, "--contradictions", choice)
        assert f"2 images with pixels in two classes of a set {told}" in done.output
        assert sum(parts_of(output).values()) == count
        if choice == "keep":
            again = run(output, "--root", pictures, "--output", tmp_path / "again.csv", "--seed", 5)
            assert "a set kept" in again.output, again.output


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--test-images", "Shape"), "--test-images: expected SET=NUMBER, such as"),
        (("--test-images", "Shape=-3"), "--test-images: expected SET=NUMBER"),
        (("--test-images", "Shape=20"), "exact numbers of test images: for the random split alone"),
        (("--kind", "random", "--test-images", "X=20"), "'X': the data has no such set"),
        (("--kind", "random", "--test-images", "Shape=72"), "no image in the training part"),
        (("--set", "X"), "sets.csv: no column of labels 'X'; has Shape, Round"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    options: tuple[str, ...], message: str, sets: Path, pictures: Path, tmp_path: Path
) -> None:
    failed = run(sets, "--root", pictures, "--output", tmp_path / "split.csv", *options)
    assert failed.exit_code == 1
    assert failed.output.startswith("preread split: ")
    assert message in failed.output
    assert failed.output.count("\n") == 1


def test_a_class_folder_has_no_root_of_its_own(pictures: Path, tmp_path: Path) -> None:
    failed = run(pictures, "--root", pictures, "--output", tmp_path / "split.csv")
    assert failed.output.startswith("preread split: --root and --set: for a CSV")


def test_too_few_images(tmp_path: Path) -> None:
    folder = write_pictures(tmp_path / "few", {"bar": 1, "disc": 1})
    failed = run(folder, "--output", tmp_path / "split.csv")
    assert failed.exit_code == 1
    assert "has no image in the" in failed.output
