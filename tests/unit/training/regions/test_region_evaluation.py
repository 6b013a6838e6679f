"""`preread iodeep evaluate`: figures that can be told by hand, readings, texts and tables."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from preread.cli import app
from preread.imaging import Frame
from preread.iodeep.making import make
from preread.iodeep.prediction import Predictor
from preread.iodeep.reading import decode
from preread.iodeep.region import Region
from preread.iodeep.weights import HashOfFile
from preread.phantom.writing import PhantomFiles
from preread.training.errors import TrainingError
from preread.training.regions.describing import BEGIN, described
from preread.training.regions.document import Evaluation, ScanFigures, read_evaluation
from preread.training.regions.lidc import labels_of_readings
from preread.training.regions.measuring import measure_scan, summarise
from preread.training.regions.outlines import Place
from preread.training.regions.series import Series, read_folder
from preread.training.regions.tables import BEGIN as TABLE
from preread.training.regions.tables import put_between, table
from tests.unit.training.regions.conftest import (
    TINY,
    run_train,
    write_architecture,
    write_pairs,
)

ROOT = Path(__file__).parents[4]
SHARED = ROOT.parent / "shared" / "data" / "dicom" / "lidc-idri-0001"
NETWORK = make(
    TINY,
    HashOfFile("0" * 64),
    DnnName="net",
    Modality="CT",
    BodyPartExamined="CHEST",
    SamplesPerPixel=1,
    PhotometricInterpretation="MONOCHROME2",
)


class _Proposes:
    """Proposes what it is told, slice after slice: rectangles of rows and columns."""

    def __init__(self, rectangles: dict[int, list[tuple[int, int, int, int]]]) -> None:
        self._rectangles = rectangles
        self._slice = -1

    def regions(
        self, network: object, frames: Iterable[Frame], *, pixel_area: float | None = None
    ) -> list[Region]:
        assert len(list(frames)) == 1
        self._slice += 1
        return [
            Region(0, _outline(*sides), 1.0, 0.9, "contour")
            for sides in self._rectangles.get(self._slice, [])
        ]


def _outline(top: int, bottom: int, left: int, right: int) -> NDArray[np.float64]:
    corners = [(left, top), (right, top), (right, bottom), (left, bottom)]
    return np.array(corners, dtype=np.float64) - 0.5


class _Square(Series):
    """Four slices of 20 x 20 pixels; a lesion of 4 x 4 in the two in the middle."""

    def label(self, one: Any, shape: tuple[int, int]) -> NDArray[np.uint8]:
        label = np.zeros((20, 20), dtype=np.uint8)
        if one.number in (1, 2):
            label[4:8, 4:8] = 1
        return label


class _Blank:
    def __init__(self, number: int) -> None:
        self.number = number
        self.place = Place(
            np.array([0, 0, 2.0 * number]), np.array([0.5, 0, 0]), np.array([0, 0.5, 0]), (20, 20)
        )

    def frame(self) -> Any:
        return type("Blank", (), {"pixels": np.zeros((20, 20), dtype=np.float32)})()


def _measured(rectangles: dict[int, list[tuple[int, int, int, int]]]) -> ScanFigures:
    slices = cast("Any", tuple(_Blank(number) for number in range(4)))
    series = _Square(name="square", patient="1", slices=slices, labels={}, facts={})
    return measure_scan(series, NETWORK, cast("Predictor", _Proposes(rectangles)))


def test_the_truth_itself_is_perfect() -> None:
    scan = _measured({1: [(4, 8, 4, 8)], 2: [(4, 8, 4, 8)]})
    assert (scan.Shared, scan.Proposed, scan.Lesion) == (32, 32, 32)
    assert (scan.Regions, scan.FalseRegions, scan.FalsePositives) == (2, 0, 0)
    assert scan.BySlice == {"2": 1, "3": 1}
    (lesion,) = scan.Lesions
    assert lesion.Found
    assert lesion.Dice == 1
    # 32 voxels of 0.5 x 0.5 x 2 mm.
    assert lesion.Diameter == pytest.approx(np.cbrt(6 * 16 / np.pi), abs=0.01)


def test_half_of_it_and_elsewhere_is_counted_by_hand() -> None:
    scan = _measured(
        {0: [(15, 18, 15, 18)], 1: [(4, 8, 4, 6), (15, 18, 15, 18)], 3: [(0, 2, 0, 2)]}
    )
    assert (scan.Shared, scan.Proposed, scan.Lesion) == (8, 9 + 8 + 9 + 4, 32)
    assert (scan.Regions, scan.FalseRegions) == (4, 3)
    assert scan.FalsePositives == 2  # those of slices 0 and 1 touch and are one
    (lesion,) = scan.Lesions
    assert lesion.Found
    assert lesion.Dice == pytest.approx(2 * 8 / (32 + 8))
    part = summarise("squares", [scan, scan], synthetic=True)
    assert part.Dice == pytest.approx(2 * 8 / (30 + 32))
    assert part.IoU == pytest.approx(8 / (30 + 32 - 8))
    assert part.FalsePositivesPerScan == 2
    assert part.FalseRegionsPerSlice == 0.75
    assert part.Intervals is not None
    assert part.Intervals["Dice"] == (part.Dice, part.Dice)
    assert [(band.Name, band.Lesions, band.Found) for band in part.ByDiameter] == [
        ("below 6 mm", 2, 2)
    ]


def test_a_graze_and_a_region_of_everything_find_nothing() -> None:
    assert not _measured({1: [(7, 12, 7, 12)]}).Lesions[0].Found
    scan = _measured({1: [(0, 20, 0, 20)]})
    assert not scan.Lesions[0].Found
    assert scan.FalsePositives == 0


def test_nothing_proposed_and_nothing_there() -> None:
    part = summarise("none", [_measured({})], synthetic=False)
    assert (part.Dice, part.DetectionRate, part.FalsePositivesPerScan) == (0, 0, 0)
    assert part.Intervals is None
    empty = _measured({}).model_copy(update={"Lesions": [], "Lesion": 0})
    part = summarise("none", [empty], synthetic=False)
    assert (part.Dice, part.IoU, part.DetectionRate) == (None, None, None)
    assert "| - | - | - | 0.00 |" in table([_evaluation(part)])


def _evaluation(*parts: Any) -> Evaluation:
    network = {
        "DnnName": "net", "DnnUID": "1.2", "Modality": "CT", "BodyPartExamined": "CHEST",
        "Rows": 32, "Columns": 32, "Parameters": 7, "SHA256": "0" * 64,
    }  # fmt: skip
    return Evaluation.model_validate(
        {"Network": network, "Threshold": 0.5, "SmallestArea": 4.0, "Parts": list(parts)}
    )


def test_the_text_of_the_object_says_the_figures_once() -> None:
    part = summarise("phantoms", [_measured({1: [(4, 8, 4, 8)]})], synthetic=True)
    once = described(NETWORK, _evaluation(part))
    assert once.Description == (
        "Measured: phantoms (1 synthetic scan) 1 of 1 lesions found, Dice 0.667, IoU 0.500, "
        "0.00 false positives per scan."
    )
    assert described(once, _evaluation(part)) == once
    assert (once.DnnUID, once.SOPInstanceUID) == (NETWORK.DnnUID, NETWORK.SOPInstanceUID)


def test_the_table_is_put_between_its_markers() -> None:
    part = summarise("phantoms", [_measured({1: [(4, 8, 4, 8)]})], synthetic=True)
    made = table([_evaluation(part)])
    row = "| `net` | phantoms, synthetic | 1 | 1 of 1: 1.00 | 0.667 | 0.500 | 0.00 |"
    assert row in made
    assert "| `net` | phantoms, synthetic | below 6 mm | 1 of 1 |" in made
    text = f"a\n{TABLE}\nold\n<!-- networks:end -->\nb\n"
    put = put_between(text, made)
    assert "old" not in put
    assert put_between(put, made) == put
    with pytest.raises(TrainingError, match="expected the lines"):
        put_between("a", made)


def test_the_command_measures_and_describes(tmp_path: Path, phantom: PhantomFiles) -> None:
    output = tmp_path / "models" / "iodeep" / "net.dcm"
    trained = run_train(
        write_architecture(tmp_path / "net.json"), write_pairs(tmp_path / "data", 24),
        "--output", output, "--modality", "CT", "--body-part", "CHEST", "--epochs", 12,
        "--learning-rate", 0.02, "--validation", 0.2, "--batch-size", 4,
    )  # fmt: skip
    assert trained.exit_code == 0, (trained.output, trained.exception)
    unseen = write_pairs(tmp_path / "unseen", 6, seed=9)
    written = tmp_path / "out" / "net.json"

    def run(*more: object) -> Any:
        words = ("iodeep", "evaluate", output, unseen, *more, "--output", written, "--threads", 1)
        return CliRunner().invoke(app, [str(word) for word in words])

    done = run(phantom.folder.parent, "--describe")
    assert done.exit_code == 0, (done.output, done.exception)
    evaluation = read_evaluation(written)
    pictures, chest = evaluation.Parts
    assert (pictures.Name, pictures.Synthetic, chest.Synthetic) == ("unseen", False, True)
    assert (len(pictures.Scans), pictures.Lesions) == (6, 4)
    assert pictures.Dice is not None
    assert pictures.Dice > 0.7
    assert pictures.DetectionRate == 1
    assert chest.Lesions == len(json.loads(phantom.truth.read_text())["Lesions"])
    network = decode(output.read_bytes())
    assert network.DnnUID == evaluation.Network.DnnUID
    assert network.Description.startswith("Trained on 24 pictures with masks")
    assert f"{BEGIN} unseen (6 scans) 4 of 4 lesions found" in network.Description
    assert "(1 synthetic scan)" in network.Description
    assert "unseen: 6 scans" in done.output

    told = run("--threshold", 0).stderr
    assert told == ("preread iodeep evaluate: --threshold: expected a number above 0 and below 1\n")
    output.write_bytes(b"nothing")
    told = run().stderr
    assert told.startswith("preread iodeep evaluate: ")
    assert told.count("\n") == 1
    written.write_text("{}")
    with pytest.raises(TrainingError, match=r"net.json: no evaluation of regions \(Network\)"):
        read_evaluation(written)


_READING = (
    """<?xml version="1.0"?><LidcReadMessage xmlns="http://www.nih.gov">{}</LidcReadMessage>"""
)


def _session(top: int, left: int, malignancy: int = 4) -> str:
    corners = [(top, left), (top, left + 4), (top + 4, left + 4), (top + 4, left)]
    edges = "".join(
        f"<edgeMap><xCoord>{x}</xCoord><yCoord>{y}</yCoord></edgeMap>" for y, x in corners
    )
    roi = f"<imageSOP_UID>1.2.3</imageSOP_UID><inclusion>TRUE</inclusion>{edges}"
    judged = f"<characteristics><malignancy>{malignancy}</malignancy></characteristics>"
    nodule = f"<unblindedReadNodule>{judged}<roi>{roi}</roi></unblindedReadNodule>"
    point = (
        "<unblindedReadNodule><roi><imageSOP_UID>1.2.3</imageSOP_UID><edgeMap><xCoord>15</xCoord>"
        "<yCoord>15</yCoord></edgeMap></roi></unblindedReadNodule>"
    )
    return f"<readingSession>{nodule}{point}</readingSession>"


def _place() -> Place:
    return Place(np.zeros(3), np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), (20, 20))


def test_readers_who_overlap_mean_one_lesion(tmp_path: Path) -> None:
    path = tmp_path / "readings.xml"
    sessions = (_session(2, 2), _session(3, 2, 5), _session(3, 2, 5), _session(12, 10, 1))
    path.write_text(_READING.format("".join(sessions)))
    labels, facts = labels_of_readings(path, {"1.2.3": _place()})
    label = labels["1.2.3"]
    assert facts[1] == {"Number": 1, "Readers": 3, "Malignancy": 4.67}
    assert facts[2] == {"Number": 2, "Readers": 1, "Malignancy": 1}
    assert label.max() == 2
    assert label[4, 4] == 1
    assert label[2, 4] == 0  # one of three readers
    assert label[14, 12] == 2
    assert label[15, 15] == 0 or label[15, 15] == 2


@pytest.mark.parametrize(
    "text",
    [
        "<readings/>",
        "no XML",
        _READING.format(_session(2, 2).replace("<yCoord>2<", "<yCoord>two<")),
        '<!DOCTYPE a [<!ENTITY b "c">]><a>&d;</a>',
    ],
)
def test_other_readings_are_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "readings.xml"
    path.write_text(text)
    with pytest.raises(TrainingError, match=r"^readings.xml: "):
        labels_of_readings(path, {"1.2.3": _place()})


@pytest.mark.shared_data
def test_the_nodule_of_lidc_idri_0001_is_read() -> None:
    if not SHARED.is_dir():
        pytest.skip("the series LIDC-IDRI-0001 is not beside the project")
    (series,) = read_folder(SHARED)
    assert len(series.slices) == 133
    assert not series.synthetic
    readers = {number: facts["Readers"] for number, facts in series.facts.items()}
    assert max(readers.values()) == 4
    assert len(series.labels) >= 8
