from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from preread.imaging import Preprocessing
from preread.training.data_set import Contradictions
from preread.training.errors import TrainingError
from preread.training.listing import read_listing
from preread.training.paper_sets import CT, IQ, paper_sets, put_together
from preread.training.splits import SplitKind, split_sets

SHARED = Path(__file__).parents[4] / "shared" / "data"

app = typer.Typer()
app.command()(paper_sets)


def run(*arguments: object) -> Any:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


def folder(place: Path, counts: dict[str, int]) -> Path:
    """Make class folders; what is in a file does not matter here."""
    for name, count in counts.items():
        (place / name).mkdir(parents=True)
        for number in range(count):
            (place / name / f"{number:03}.jpg").write_bytes(b"\xff\xd8\xff")
    return place


@pytest.fixture
def iq(tmp_path: Path) -> Path:
    return folder(tmp_path / "iq", {"benign": 12, "malignant": 56, "normal": 416})


@pytest.fixture
def chest(tmp_path: Path) -> Path:
    names = ("adenocarcinoma", "large-cell-carcinoma", "normal", "squamous-cell-carcinoma")
    return folder(tmp_path / "chest", dict(zip(names, (195, 2, 3, 4), strict=True)))


def test_puts_both_sets_together(iq: Path, chest: Path) -> None:
    found = put_together(iq, chest, 0)
    assert found.counts() == {
        IQ: {"Benign": 12, "Malignant": 56, "Normal": 416},
        CT: {
            "Adenocarcinoma": 195,
            "Benign": 8,  # 80 of 120
            "Large_Cell_Carcinoma": 2,
            "Malignant": 46,  # 460 of 561
            "Normal": 307 + 3,
            "Squamous_Cell_Carcinoma": 4,
        },
    }
    assert found.labels["chest/normal/000.jpg"] == ("", "Normal")
    assert found.labels["chest/large-cell-carcinoma/001.jpg"] == ("", "Large_Cell_Carcinoma")
    for file, (first, second) in found.labels.items():
        if file.startswith("iq/"):
            assert first == file.split("/")[1].capitalize()
            assert second in {"", first}
    assert [note.split(";")[0] for note in found.notes] == [
        "iq, Benign: 12 images, the paper has 120",
        "iq, Malignant: 56 images, the paper has 561",
        "chest, Large_Cell_Carcinoma: 2 images, the paper has 115",
        "chest, Normal: 3 images, the paper has 148",
        "chest, Squamous_Cell_Carcinoma: 4 images, the paper has 155",
    ]


def test_the_seed_draws(iq: Path, chest: Path) -> None:
    assert put_together(iq, chest, 3).csv() == put_together(iq, chest, 3).csv()
    one, other = (put_together(iq, chest, seed) for seed in (3, 4))
    assert one.counts() == other.counts()
    assert one.csv() != other.csv()


def test_knows_the_names_of_the_public_copies(tmp_path: Path) -> None:
    iq = folder(
        tmp_path / "iq",
        {"Bengin cases": 3, "Malignant cases": 3, "Normal cases": 3, "Test cases": 1},
    )
    chest = folder(
        tmp_path / "train",
        {
            "adenocarcinoma_left.lower.lobe_T2_N0_M0_Ib": 1,
            "large.cell.carcinoma_left.hilum_T2_N2_M0_IIIa": 1,
            "normal": 1,
            "squamous.cell.carcinoma_left.hilum_T1_N2_M0_IIIa": 1,
        },
    )
    found = put_together(iq, chest, 0)
    assert found.labels["iq/Bengin cases/000.jpg"][0] == "Benign"
    assert len(found.labels) == 13
    assert "iq/Test cases: no class of the paper, passed over" in found.notes


def test_what_is_wrong_is_told_in_one_line(iq: Path, chest: Path, tmp_path: Path) -> None:
    with pytest.raises(
        TrainingError, match=r"^chest: expected one folder whose name begins with 'b"
    ):
        put_together(chest, iq, 0)
    with pytest.raises(TrainingError, match=r"^iq and iq: expected two folders, apart$"):
        put_together(iq, iq, 0)
    (iq / "normal-too").mkdir()
    with pytest.raises(TrainingError, match=r"^iq: expected one folder .* 'normal', found 2$"):
        put_together(iq, chest, 0)
    (iq / "normal-too").rmdir()
    empty = folder(tmp_path / "empty", {"benign": 0, "malignant": 1, "normal": 1})
    with pytest.raises(TrainingError, match=r"^empty/benign: no images in it$"):
        put_together(empty, chest, 0)


def test_the_command_writes_a_listing(iq: Path, chest: Path, tmp_path: Path) -> None:
    done = run(iq, chest, "--output", tmp_path / "new" / "sets.csv", "--seed", 2)
    assert done.exit_code == 0, done.output
    written = (tmp_path / "new" / "sets.csv").read_text()
    assert written == put_together(iq, chest, 2).csv()
    assert written.startswith("file,IQ-OTHNCCD,CT-Scan\nchest/adenocarcinoma/000.jpg,,Adenocarci")
    assert "iq, Benign: 12 images, the paper has 120; 8 drawn for CT-Scan, in prop" in done.output
    assert f"its files are relative to {tmp_path}" in done.output
    failed = run(iq, iq, "--output", tmp_path / "sets.csv")
    assert failed.exit_code == 1
    assert failed.output == "preread paper-sets: iq and iq: expected two folders, apart\n"


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_public_copies_make_the_sets_of_the_paper(tmp_path: Path) -> None:
    """1097 and 1460 images, of which 321 and 430 are measured on (the paper's random split)."""
    iq, chest = SHARED / "iq-oth-nccd", SHARED / "chest-ct-scan"
    if not (iq.is_dir() and chest.is_dir()):
        pytest.skip("shared/data/iq-oth-nccd and chest-ct-scan are not beside the project")
    found = put_together(iq, chest, 0)
    assert not found.notes
    counts = {
        IQ: {"Benign": 120, "Malignant": 561, "Normal": 416},
        CT: {
            "Adenocarcinoma": 195,
            "Benign": 80,
            "Large_Cell_Carcinoma": 115,
            "Malignant": 460,
            "Normal": 455,
            "Squamous_Cell_Carcinoma": 155,
        },
    }
    assert found.counts() == counts
    path = tmp_path / "sets.csv"
    path.write_text(found.csv())
    data = read_listing(
        path,
        SHARED,
        Preprocessing(size=(16, 16)),
        keep_duplicates=True,
        contradictions=Contradictions.KEEP,
    )
    assert {one.name: one.counts() for one in data.sets} == counts
    parts = split_sets(
        data, SplitKind.RANDOM, test=0.3, validation=0, seed=0, test_images={IQ: 321, CT: 430}
    )
    for one, sizes in zip(data.sets, ((776, 321), (1030, 430)), strict=True):
        there = one.labels != -1
        assert (there[parts.training].sum(), there[parts.test].sum()) == sizes
    grouped = split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.15, seed=0)
    sides = [
        {data.digests[index] for index in part}
        for part in (grouped.training, grouped.validation, grouped.test)
    ]
    assert sum(map(len, sides)) == len(set(data.digests))
