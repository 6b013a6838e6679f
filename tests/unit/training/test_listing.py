from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pydicom
import pytest
from PIL import Image
from pydicom.data import get_testdata_file

from preread.imaging import Preprocessing, open_picture
from preread.training.belonging import groups_of
from preread.training.data_set import Contradictions
from preread.training.errors import TrainingError
from preread.training.image_files import digest_of
from preread.training.listing import read_listing
from preread.training.patients import token_of

HOW = Preprocessing(size=(16, 24))
FRAMES = "SC_rgb_rle_2frame.dcm"


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight pictures of noise: a/0.png to a/3.png, b/0.png to b/3.png."""
    random = np.random.default_rng(7)
    for folder in ("a", "b"):
        (tmp_path / "data" / folder).mkdir(parents=True)
        for number in range(4):
            noise = random.integers(0, 256, (20, 20), dtype=np.uint8)
            Image.fromarray(noise).save(tmp_path / "data" / folder / f"{number}.png")
    return tmp_path / "data"


def listing(root: Path, columns: str, *rows: str) -> Path:
    path = root.parent / "listing.csv"
    path.write_text("\n".join([columns, *rows]) + "\n", encoding="utf-8")
    return path


TWO_SETS = (
    "a/0.png,Normal,,p1",
    "a/1.png,Benign,,p1",
    "b/0.png,,Mass,",
    "b/1.png,Normal,Clear,p2",
)


def two_sets(root: Path) -> Path:
    return listing(root, "file,First,Second,patient", *TWO_SETS)


def test_reads_several_sets(root: Path) -> None:
    data = read_listing(two_sets(root), root, HOW)
    first, second = data.sets
    assert (first.name, first.classes) == ("First", ("Benign", "Normal"))
    assert (second.name, second.classes) == ("Second", ("Clear", "Mass"))
    assert first.labels.tolist() == [1, 0, -1, 1]
    assert second.labels.tolist() == [-1, -1, 1, 0]
    assert first.counts() == {"Benign": 1, "Normal": 2}
    assert (len(first), len(second), len(data)) == (3, 2, 4)
    assert data.files == ("a/0.png", "a/1.png", "b/0.png", "b/1.png")
    assert data.patients == ((token_of(b"p1"),), (token_of(b"p1"),), (), (token_of(b"p2"),))
    assert {image.shape for image in data.images} == {(1, 16, 24)}


def test_reads_the_sets_that_are_wanted(root: Path) -> None:
    seen: list[tuple[int, int]] = []
    data = read_listing(two_sets(root), root, HOW, ["Second"], lambda *now: seen.append(now))
    assert [one.name for one in data.sets] == ["Second"]
    assert data.files == ("b/0.png", "b/1.png")
    assert seen == [(1, 2), (2, 2)]


@pytest.mark.parametrize("given", [{"n": "Normal", "b": "Benign"}, {"Normal": "x", "Benign": "y"}])
def test_names_give_classes_and_their_order(given: dict[str, str], root: Path) -> None:
    data = read_listing(two_sets(root), root, HOW, names={"First": given})
    assert data.classes == tuple(given.values())
    assert data.labels.tolist() == [0, 1, -1, 0]


def test_the_same_pixels_are_one_image_in_all_sets(root: Path) -> None:
    (root / "b" / "0.png").write_bytes((root / "a" / "1.png").read_bytes())
    data = read_listing(two_sets(root), root, HOW)
    assert data.files == ("a/0.png", "a/1.png", "b/1.png")
    assert data.duplicates == 1
    assert data.sets[0].labels.tolist() == [1, 0, 1]
    assert data.sets[1].labels.tolist() == [-1, 1, 0]
    kept = read_listing(two_sets(root), root, HOW, keep_duplicates=True)
    assert (len(kept), kept.duplicates) == (4, 0)
    assert kept.sets[1].labels.tolist() == [-1, -1, 1, 0]


def test_a_patient_that_is_known_of_a_duplicate_is_known(root: Path) -> None:
    (root / "a" / "0.png").write_bytes((root / "b" / "0.png").read_bytes())
    path = listing(root, "file,class,patient", "a/0.png,x,", "b/0.png,x,p7", "a/1.png,y,")
    assert read_listing(path, root, HOW).patients == ((token_of(b"p7"),), ())


def same_pixels(root: Path, *names: str) -> None:
    for name in names[1:]:
        (root / name).write_bytes((root / names[0]).read_bytes())


@pytest.mark.parametrize(
    ("column", "first", "second"), [("patient", "p1", "p2"), ("group", "1", "2")]
)
def test_images_that_became_one_chain_others_together(
    column: str, first: str, second: str, root: Path
) -> None:
    """The same pixels are of two patients, or in two groups: all images of both belong together."""
    same_pixels(root, "a/0.png", "a/1.png")
    rows = [
        f"a/0.png,x,{first}", f"a/1.png,x,{second}", f"a/2.png,y,{second}", f"b/0.png,y,{first}",
        "b/1.png,x,3",
    ]  # fmt: skip
    data = read_listing(listing(root, f"file,class,{column}", *rows), root, HOW)
    assert data.files == ("a/0.png", "a/2.png", "b/0.png", "b/1.png")
    assert groups_of(data).tolist() == [0, 0, 0, 1]


def test_what_was_taken_out_still_chains_images_together(root: Path) -> None:
    """Of the same pixels one row contradicts in its only set, and the other is in one more."""
    same_pixels(root, "a/0.png", "a/1.png")
    rows = ["a/0.png,x,,p1", "a/1.png,y,s,p2", "a/2.png,x,s,p1", "a/3.png,y,t,p2", "b/0.png,x,t,"]
    path = listing(root, "file,First,Second,patient", *rows)
    for keep in (True, False):
        data = read_listing(
            path, root, HOW, keep_duplicates=keep, contradictions=Contradictions.DROP
        )
        assert data.files == ("a/1.png", "a/2.png", "a/3.png", "b/0.png")
        assert groups_of(data).tolist() == [0, 0, 0, 1]


def test_a_header_tells_the_patient_where_the_listing_does_not(root: Path) -> None:
    for name, patient in (("one", "Doe-1"), ("two", "Doe-1"), ("three", "Doe-1")):
        dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
        dataset.PatientID = patient
        dataset.save_as(root / f"{name}.dcm")
    rows = ["one.dcm,x,", "two.dcm,y,p9", "three.dcm,x,Doe-1", "a/0.png,y,"]
    path = listing(root, "file,class,patient", *rows)
    data = read_listing(path, root, HOW, contradictions=Contradictions.KEEP, keep_duplicates=True)
    doe = (token_of(b"Doe-1"),)
    assert data.patients == (doe, (token_of(b"p9"),), doe, ())


def test_frames_belong_together_whatever_the_listing_says_of_each(root: Path) -> None:
    pydicom.dcmread(str(get_testdata_file(FRAMES))).save_as(root / "two.dcm")
    rows = ["two.dcm#0,x,p1", "two.dcm#1,y,p2", "a/0.png,y,p2", "a/1.png,x,p3"]
    data = read_listing(listing(root, "file,class,patient", *rows), root, HOW)
    assert groups_of(data).tolist() == [0, 0, 0, 1]


def contradicting(root: Path, columns: str = "", cells: str = "") -> Path:
    """Three times the same pixels: in one class, in none of that set, in another class."""
    for name in ("a/1.png", "a/2.png"):
        (root / name).write_bytes((root / "a" / "0.png").read_bytes())
    return listing(
        root,
        f"file,First,Second{columns}",
        f"a/0.png,x,s{cells}",
        f"a/1.png,,s{cells}",
        f"a/2.png,y,{cells}",
        f"a/3.png,x,s{cells}",
        f"b/0.png,y,t{cells}",
    )


def test_the_same_pixels_in_two_classes(root: Path) -> None:
    path = contradicting(root)
    with pytest.raises(TrainingError, match=r"^a/2.png and a/0.png: the same pixels .* of First;"):
        read_listing(path, root, HOW)
    kept = read_listing(path, root, HOW, contradictions=Contradictions.KEEP)
    assert kept.files == ("a/0.png", "a/2.png", "a/3.png", "b/0.png")
    assert (kept.contradictions, kept.duplicates) == (2, 1)
    dropped = read_listing(path, root, HOW, contradictions=Contradictions.DROP)
    assert dropped.files == ("a/0.png", "a/3.png", "b/0.png")
    assert dropped.sets[0].labels.tolist() == [-1, 0, 1]
    assert dropped.sets[1].labels.tolist() == [0, 0, 1]
    assert (dropped.contradictions, dropped.duplicates) == (2, 1)


def test_what_has_parts_is_taken_as_it_is(root: Path) -> None:
    data = read_listing(contradicting(root, ",group,part", ",4,test"), root, HOW)
    assert len(data) == 5
    assert (data.contradictions, data.duplicates) == (2, 0)
    assert data.parts == ("test",) * 5
    assert data.groups == ((4,),) * 5


def test_frames_of_a_file(root: Path) -> None:
    pydicom.dcmread(str(get_testdata_file(FRAMES))).save_as(root / "two.dcm")
    Image.new("L", (8, 8), 9).save(root / "odd#1.png")
    data = read_listing(
        listing(root, "file,class", "two.dcm#1,x", "odd#1.png,y", "two.dcm#0,y"), root, HOW
    )
    assert data.files == ("two.dcm#1", "odd#1.png", "two.dcm#0")
    assert len(set(data.digests)) == 3
    for file, message in (
        ("two.dcm", r"row 2: two.dcm: has 2 frames; list each, such as FILE#0"),
        ("two.dcm#2", r"row 2: two.dcm#2: no frame 2; there are 2"),
        ("a/0.png#1", r"row 2: a/0.png#1: no frame 1; there are 1"),
    ):
        with pytest.raises(TrainingError, match=message):
            read_listing(listing(root, "file,class", f"{file},x", "a/1.png,y"), root, HOW)


def test_checks_pixels_by_their_digest(root: Path) -> None:
    files = ("a/0.png", "b/0.png")
    digests = [
        digest_of(open_picture((root / file).read_bytes(), max_bytes=10**6)) for file in files
    ]
    rows = [f"{file},{file[0]},{digest}" for file, digest in zip(files, digests, strict=True)]
    path = listing(
        root, "file,class,sha256", rows[0].upper().replace("A/0.PNG", "a/0.png"), rows[1]
    )
    assert read_listing(path, root, HOW).digests == tuple(digests)
    (root / "b" / "0.png").write_bytes((root / "b" / "1.png").read_bytes())
    with pytest.raises(
        TrainingError, match=r"^listing.csv row 3: b/0.png: its pixels are not thos"
    ):
        read_listing(path, root, HOW)


@pytest.mark.parametrize(
    ("columns", "row", "message"),
    [
        ("path,class", "a/0.png,x", r"^listing.csv: no column 'file' in its first row; expected"),
        ("file", "a/0.png", r"^listing.csv: no column of labels, such as 'class'$"),
        ("file,class,class", "a/0.png,x,x", r"^listing.csv: a column has no name, or two have the"),
        ("file,class,", "a/0.png,x,x", r"^listing.csv: a column has no name, or two have the same"),
        ("file,class", "a/0.png", r"^listing.csv row 3: expected 2 cells, found 1$"),
        ("file,class", "a/0.png, ", r"^listing.csv row 3: no label in any of class$"),
        ("file,class", ",x", r"^listing.csv row 3: file: expected a path below"),
        ("file,class", "a/9.png,x", r"^listing.csv row 3: a/9.png: no such file in data$"),
        ("file,class", "a,x", r"^listing.csv row 3: a: no such file in data$"),
        ("file,class", "../data/a/0.png,x", r"^listing.csv row 3: file: expected a path below"),
        ("file,class", "/etc/passwd,x", r"^listing.csv row 3: file: expected a path below"),
        ("file,class", "a\0b,x", r"^listing.csv row 3: file: expected a path below"),
        ("file,class", "a" * 300 + ",x", r"^listing.csv row 3: file: cannot be found \("),
        (
            "file,class",
            "b/3.png,y",
            r"^listing.csv row 3: b/3.png: listed before, listing.csv row 2",
        ),
        ("file,class", "./b//3.png,y", r"^listing.csv row 3: b/3.png: listed before"),
        ("file,class", "out.png,x", r"^listing.csv row 3: out.png: a link that leads out of the"),
        ("file,class", "text.png,x", r"^listing.csv row 3: text.png: neither PNG, JPEG nor DICOM"),
        ("file,class", "broken.png,x", r"^listing.csv row 3: broken.png: .*damaged"),
        ("file,class", 'a/0.png,"x', r"^listing.csv row 3: no CSV \("),
        ("file,class,part", "a/0.png,x,all", r"^listing.csv row 3: part: expected training, valid"),
        ("file,class,group", "a/0.png,x,-1", r"^listing.csv row 3: group: expected a whole number"),
        ("file,class,sha256", "a/0.png,x,12", r"^listing.csv row 3: sha256: expected 64 hex"),
    ],
)
def test_what_is_wrong_is_told_in_one_line(
    columns: str, row: str, message: str, root: Path
) -> None:
    (root.parent / "outside.png").write_bytes((root / "a" / "0.png").read_bytes())
    (root / "out.png").symlink_to(root.parent / "outside.png")
    (root / "text.png").write_text("not a picture")
    (root / "broken.png").write_bytes((root / "a" / "0.png").read_bytes()[:90])
    fine = [
        "b/3.png",
        "y",
        {"part": "test", "group": "0", "sha256": "0" * 64}.get(columns[11:], ""),
    ]
    path = listing(root, columns, ",".join(fine[: len(columns.split(","))]), row)
    with pytest.raises(TrainingError, match=message) as caught:
        read_listing(path, root, HOW)
    assert "\n" not in str(caught.value)
    assert str(root.parent) not in str(caught.value)


def test_a_listing_that_is_none(root: Path) -> None:
    for content, message in (
        (b"", "no column 'file'"),
        (b"file,class\n", "no files are listed"),
        (b"file,class\na/0.png,\xff\n", "not in UTF-8"),
        (b"file,class\na/0.png,x\n", "class: expected two classes or more"),
        (b"file,class\na/0.png,x\na/1.png,x\n", "class: expected two classes or more"),
    ):
        path = root.parent / "listing.csv"
        path.write_bytes(content)
        with pytest.raises(TrainingError, match=rf"^listing.csv: {message}"):
            read_listing(path, root, HOW)
    with pytest.raises(TrainingError, match=r"^none.csv: cannot be read \(No such file"):
        read_listing(root / "none.csv", root, HOW)


def test_what_is_asked_for_must_be_there(root: Path) -> None:
    with pytest.raises(TrainingError, match=r"no column of labels 'Third'; has First, Second$"):
        read_listing(two_sets(root), root, HOW, ["Third"])
    with pytest.raises(TrainingError, match=r"no column of labels 'patient'"):
        read_listing(two_sets(root), root, HOW, ["patient"])
    with pytest.raises(TrainingError, match=r"^nowhere: no such folder$"):
        read_listing(two_sets(root), root / "nowhere", HOW)
    for names in ({"Normal": "Normal"}, {"Normal": "N", "Benign": "B", "Malignant": "M"}):
        with pytest.raises(TrainingError, match=r"First: class '\w+' is only in one of data and"):
            read_listing(two_sets(root), root, HOW, names={"First": names})


def test_reads_what_a_spreadsheet_writes(root: Path) -> None:
    path = root.parent / "listing.csv"
    with path.open("w", encoding="utf-8-sig", newline="") as opened:
        csv.writer(opened).writerows([["file", "class"], ["a/0.png", " x "], ["b/0.png", "y, z"]])
    assert read_listing(path, root, HOW).classes == ("x", "y, z")
