from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from preread.imaging import Preprocessing
from preread.training.data_set import DataSet
from preread.training.errors import TrainingError
from preread.training.folder import read_folder
from preread.training.listing import read_listing
from preread.training.patients import token_of
from preread.training.split_file import listed_split, split_digest, write_split
from preread.training.splits import SplitKind, split_sets
from tests.unit.training.conftest import write_pictures

HOW = Preprocessing(size=(16, 16))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_pictures(tmp_path / "data", {"bar": 12, "disc": 12})


@pytest.fixture
def data(root: Path) -> DataSet:
    """Two sets and patients; two rows hold the same pixels."""
    (root / "disc" / "011.png").write_bytes((root / "disc" / "009.png").read_bytes())
    rows = ["file,Shape,Size,patient"]
    for kind in ("bar", "disc"):
        for number in range(12):
            size = ("", "large", "small")[number % 3]
            rows.append(f"{kind}/{number:03}.png,{kind},{size},p{number // 2}{kind}")
    (root.parent / "sets.csv").write_text("\n".join(rows))
    return read_listing(root.parent / "sets.csv", root, HOW, keep_duplicates=True)


@pytest.mark.parametrize("kind", list(SplitKind))
def test_reads_back_what_was_written(kind: SplitKind, data: DataSet, root: Path) -> None:
    parts = split_sets(data, kind, test=0.3, validation=0.2, seed=4)
    path = root.parent / "new" / "split.csv"
    write_split(path, data, parts)
    assert path.read_text().startswith("file,Shape,Size,patient,sha256,group,part\n")
    assert "p0bar" not in path.read_text()
    assert token_of(b"p0bar") in path.read_text()
    again = read_listing(path, root, HOW)
    assert (again.files, again.digests, again.patients) == (data.files, data.digests, data.patients)
    for one, other in zip(data.sets, again.sets, strict=True):
        assert (one.name, one.classes) == (other.name, other.classes)
        assert one.labels.tolist() == other.labels.tolist()
    read = listed_split(again)
    for part in ("training", "validation", "test", "group_of"):
        assert getattr(read, part).tolist() == getattr(parts, part).tolist()
    assert read.groups == parts.groups
    assert split_digest(path) == hashlib.sha256(path.read_bytes()).hexdigest()
    before = path.read_bytes()
    write_split(path, again, read)
    assert path.read_bytes() == before
    assert [entry.name for entry in path.parent.iterdir()] == ["split.csv"]


def test_all_patients_of_an_image_are_read_back(root: Path) -> None:
    (root / "bar" / "001.png").write_bytes((root / "bar" / "000.png").read_bytes())
    rows = [f"{kind}/{n:03}.png,{kind},p{n}{kind}" for kind in ("bar", "disc") for n in range(12)]
    (root.parent / "sets.csv").write_text("\n".join(["file,class,patient", *rows]))
    data = read_listing(root.parent / "sets.csv", root, HOW)
    assert data.patients[0] == (token_of(b"p0bar"), token_of(b"p1bar"))
    path = root.parent / "split.csv"
    write_split(path, data, split_sets(data, SplitKind.RANDOM, test=0.3, validation=0, seed=0))
    assert read_listing(path, root, HOW).patients == data.patients


def test_one_set_of_a_split(data: DataSet, root: Path) -> None:
    parts = split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.2, seed=4)
    path = root.parent / "split.csv"
    write_split(path, data, parts)
    own = read_listing(path, root, HOW, ["Size"])
    read = listed_split(own)
    tested = {own.files[index] for index in read.test}
    assert tested == {data.files[i] for i in parts.test if data.sets[1].labels[i] != -1}


def test_a_class_folder_and_no_validation(root: Path) -> None:
    data = read_folder(root, HOW, {"bar": "Bar", "disc": "Disc"})
    parts = split_sets(data, SplitKind.RANDOM, test=0.25, validation=0, seed=0)
    path = root.parent / "split.csv"
    write_split(path, data, parts)
    names = {"bar": "Bar", "disc": "Disc"}
    again = read_listing(path, root, HOW, names={"class": names})
    assert again.classes == data.classes
    read = listed_split(again)
    assert (len(read.training), len(read.validation), len(read.test)) == (18, 0, 6)
    assert read.groups is None


def test_changed_pixels_are_not_taken(data: DataSet, root: Path) -> None:
    path = root.parent / "split.csv"
    write_split(path, data, split_sets(data, SplitKind.RANDOM, test=0.3, validation=0.2, seed=0))
    Image.fromarray(np.eye(20, dtype=np.uint8)).save(root / "bar" / "003.png")
    with pytest.raises(TrainingError, match=r"^split.csv row 5: bar/003.png: its pixels are not"):
        read_listing(path, root, HOW)


@pytest.mark.parametrize(
    ("columns", "rows", "message"),
    [
        ("class", ["x", "y", "x", "y"], r"^the data has no column 'part': write a split with"),
        (
            "class,part",
            ["x,training", "y,training", "x,test", "x,test"],
            r"^class y has no image in",
        ),
        ("class,part", ["x,training", "y,training", "x,test", "x,training"], r"in the test part"),
        (
            "class,part",
            ["x,training", "y,training", "x,validation", "y,test"],
            r"^class y has no image in the validation part|^class x has no image in the test part",
        ),
        (
            "class,group,part",
            ["x,1,training", "y,2,training", "x,2,test", "y,4,test"],
            r"^group 2 is in the training and the test part; a group belongs in one$",
        ),
    ],
)
def test_a_split_that_is_none(columns: str, rows: list[str], message: str, root: Path) -> None:
    lines = [f"bar/{number:03}.png,{row}" for number, row in enumerate(rows)]
    path = root.parent / "split.csv"
    path.write_text("\n".join([f"file,{columns}", *lines]))
    with pytest.raises(TrainingError, match=message):
        listed_split(read_listing(path, root, HOW))


def test_files_that_cannot_be(data: DataSet, root: Path) -> None:
    parts = split_sets(data, SplitKind.RANDOM, test=0.3, validation=0.2, seed=0)
    with pytest.raises(TrainingError, match=r"^split.csv: cannot be written \("):
        write_split(root / "bar" / "000.png" / "split.csv", data, parts)
    with pytest.raises(TrainingError, match=r"^split.csv: cannot be read \("):
        split_digest(root / "split.csv")
