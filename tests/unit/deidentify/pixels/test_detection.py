"""What the detector finds, and what it leaves alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.deidentify.pixels.boxes import covered
from preread.deidentify.pixels.detection import TextDetector
from preread.deidentify.pixels.detector_file import VARIABLE, DetectorError
from preread.deidentify.pixels.picture import Picture
from preread.deidentify.pixels.searching import text_in
from tests.unit.deidentify.pixels.planting import Word, plant, random_words, speckle

NAMES = ["JOHANSSON", "Kowalski", "Müller^Eva", "MRN 4711882", "1961-02-03", "St. Mary Hospital"]
SIZES = (8, 9, 10, 11, 12, 14, 16, 20, 24, 30, 40)


def share_found(mask: NDArray[np.bool_], word: Word) -> float:
    return float(mask[word.place][word.ink].mean())


def shown(path: Path) -> NDArray[Any]:
    return Picture(path.read_bytes(), 2**30).shown(0)


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("value", [255, 130])
def test_words_of_every_size_on_speckle(detector: TextDetector, size: int, value: int) -> None:
    picture = speckle(300, 400)
    words = [
        plant(picture, "Kowalski", (8, 12), size=size, value=value, font=size),
        plant(picture, "1961-02-03", (240, 130), size=size, value=value, font=size + 1),
    ]
    mask = covered(detector.boxes(picture), *picture.shape)
    assert [share_found(mask, word) for word in words] == pytest.approx([1, 1], abs=0.03)


@pytest.mark.parametrize("dtype", ["u1", "u2", "i2", "f4"])
def test_words_in_every_type_of_number(detector: TextDetector, dtype: str) -> None:
    scale, offset = {"u1": (1, 0), "u2": (16, 0), "i2": (16, -2048), "f4": (0.01, -1)}[dtype]
    picture = (speckle(300, 400) * np.float64(scale) + offset).astype(dtype)
    word = plant(picture, "JOHANSSON", (10, 20), size=14)
    if dtype == "i2":
        picture[-1, -1] = -32768  # padding far below everything
    mask = covered(text_in(detector, picture), *picture.shape)
    assert share_found(mask, word) > 0.97


def test_words_in_colour(detector: TextDetector) -> None:
    picture = speckle(300, 400, colour=True)
    words = [
        plant(picture, "JOHANSSON", (10, 20), size=14, value=(255, 220, 0)),
        plant(picture, "Kowalski", (150, 150), size=20, value=(40, 255, 40), opacity=0.8),
    ]
    mask = covered(text_in(detector, picture), *picture.shape[:2])
    assert all(share_found(mask, word) > 0.97 for word in words)


def test_a_huge_picture_is_looked_at_in_tiles(detector: TextDetector) -> None:
    picture = np.zeros((1700, 3300), np.uint16)
    words = [
        plant(picture, "JOHANSSON", at, size=28, value=4000)
        for at in ((5, 5), (1600, 3050), (760, 1420), (1490, 1500))  # some across tiles
    ]
    mask = covered(detector.boxes(picture), *picture.shape)
    assert [share_found(mask, word) > 0.97 for word in words] == [True] * 4
    assert mask.mean() < 0.03


def test_pictures_of_any_size_are_taken(detector: TextDetector) -> None:
    for shape in ((1, 1), (5, 700), (33, 2), (64, 64)):
        assert detector.boxes(np.zeros(shape, np.uint8)) == []


def test_without_its_weights_there_is_no_detector(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "/nowhere/detector.onnx")
    with pytest.raises(DetectorError, match=r"no file /nowhere/detector\.onnx; run: "):
        TextDetector()


@pytest.mark.shared_data
@pytest.mark.slow
def test_words_in_real_pictures(detector: TextDetector, shared_dicom: Path) -> None:
    names = (
        *(f"lidc-idri-0001/{number:03}.dcm" for number in (20, 60, 100)),
        "variety/CR-torchxrayvision_CR-1-f3bb2b.dcm",
        "variety/XA-robyoung_WG04_dcmqi-1-1a515c.dcm",
        "variety/MR-robyoung_WG04_dcmqi-1-e60fd0.dcm",
        "variety/US-robyoung_WG04_dcmqi-1-14f4e5.dcm",
        "variety/OT-robyoung_WG04_dcmqi-1-44a550.dcm",
    )
    found = []
    for seed, name in enumerate(names):
        picture = np.array(shown(shared_dicom / name))
        words = random_words(picture, NAMES, seed, SIZES)
        mask = covered(text_in(detector, picture), *picture.shape[:2])
        found += [(share_found(mask, word), word.text, name) for word in words]
    missed = [entry for entry in found if entry[0] < 0.97]
    assert len(found) > 35
    assert len(missed) <= 0.03 * len(found), missed


@pytest.mark.shared_data
@pytest.mark.slow
def test_pictures_without_text_are_left_alone(detector: TextDetector, shared_dicom: Path) -> None:
    paths = [
        *sorted((shared_dicom / "lidc-idri-0001").glob("*.dcm"))[::9],
        *(
            shared_dicom / "variety" / f"{name}.dcm"
            for name in (
                "XA-robyoung_WG04_dcmqi-1-1a515c",
                "MR-robyoung_WG04_dcmqi-1-e60fd0",
                "MR-robyoung_WG04_dcmqi-2-90db4c",
                "MR-dcmqi-1-176ca9",
                "NM-robyoung_WG04_dcmqi-1-b22d4c",
                "CR-robyoung_WG04_dcmqi-1-16d3e4",
                "CT-rt-utils-1-895f22",
                "SM-highdicom-1-623132",
            )
        ),
    ]
    shares = []
    for path in paths:
        picture = shown(path)
        mask = covered(text_in(detector, picture), *picture.shape[:2])
        shares.append((float(mask.mean()), path.name))
    assert np.mean([share for share, _ in shares]) < 0.005, shares
    assert all(share < 0.03 for share, _ in shares), shares
