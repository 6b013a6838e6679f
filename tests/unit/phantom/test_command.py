"""``preread phantom``."""

import sys
from pathlib import Path

import pydicom
import pytest

from preread.cli import main

SMALL = ["--slice-thickness", "10", "--size", "64"]


def _run(monkeypatch: pytest.MonkeyPatch, *arguments: str) -> int:
    monkeypatch.setattr(sys, "argv", ["preread", "phantom", *arguments])
    with pytest.raises(SystemExit) as end:
        main()
    return int(end.value.code or 0)


def test_it_writes_a_folder_for_each_seed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "new" / "phantoms"
    options = ["--kind", "brain", "--series", "2", "--seed", "8", *SMALL]
    assert _run(monkeypatch, str(output), *options) == 0
    assert sorted(path.name for path in output.iterdir()) == [
        "synthetic-brain-8",
        "synthetic-brain-9",
    ]
    for folder in output.iterdir():
        assert len(list(folder.glob("image-*.dcm"))) == 16
        assert {"segmentation.dcm", "structure-set.dcm", "truth.json"} < {
            path.name for path in folder.iterdir()
        }
    told = capsys.readouterr()
    assert told.out == "2 synthetic series written, 32 slices, each with its truth\n"
    assert told.err == ""


def test_the_options_reach_the_images(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert _run(monkeypatch, str(tmp_path), "--kernel", "lung", *SMALL) == 0
    dataset = pydicom.dcmread(tmp_path / "synthetic-chest-1" / "image-0001.dcm")
    assert (dataset.ConvolutionKernel, dataset.SliceThickness, dataset.Rows) == ("LUNG", 10, 64)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--kind", "knee"], "--kind: expected one of chest, brain"),
        (["--kernel", "sharp"], "--kernel: expected one of soft, standard, lung"),
        (["--kind", "brain", "--kernel", "soft"], "MR has none"),
        (["--series", "0"], "--series: expected 1 to 10000, not 0"),
        (["--series", "10001"], "--series: expected 1 to 10000"),
        (["--seed", "-1"], "seed of a phantom: expected 0 to"),
        (["--seed", "4294967295", "--series", "2"], "seed of a phantom: expected 0 to"),
        (["--slice-thickness", "0"], "expected 0.5 to 10 mm, not 0"),
        (["--slice-thickness", "nan"], "expected 0.5 to 10 mm, not nan"),
        (["--size", "32"], "expected 64 to 1024 pixels, not 32"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(
    options: list[str],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert _run(monkeypatch, str(tmp_path / "out"), *options) == 1
    told = capsys.readouterr().err
    assert words in told
    assert told.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_folder_that_is_there_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "synthetic-chest-1").mkdir()
    assert _run(monkeypatch, str(tmp_path), *SMALL) == 1
    assert "synthetic-chest-1: there already" in capsys.readouterr().err
    assert list((tmp_path / "synthetic-chest-1").iterdir()) == []


def test_a_file_in_place_of_the_folder_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "out").write_text("mine", encoding="utf-8")
    assert _run(monkeypatch, str(tmp_path / "out"), *SMALL) == 1
    told = capsys.readouterr().err
    assert "out" in told
    assert told.count("\n") == 1
    assert (tmp_path / "out").read_text(encoding="utf-8") == "mine"
