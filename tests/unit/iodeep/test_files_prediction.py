"""What is taken from the headers of files that anybody may have sent."""

from __future__ import annotations

import weakref
from pathlib import Path
from typing import Any

import pytest
from pydicom import DataElement, Dataset

from preread.imaging import Image, UnreadableImage, open_image
from preread.imaging.volume import pixel_area
from preread.iodeep import files_prediction as module
from preread.iodeep.files_prediction import regions_of_files
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor
from tests.unit.iodeep.toy_networks import pointwise
from tests.unit.service.conftest import image

PER_FRAME, SHARED = 0x52009230, 0x52009229


def measured(*spacing: float) -> Dataset:
    measures, group = Dataset(), Dataset()
    measures.PixelSpacing = list(spacing)
    group.PixelMeasuresSequence = [measures]
    return group


def test_a_frames_own_size_counts_before_that_of_all() -> None:
    header = Dataset()
    header.PixelSpacing = [1, 1]
    assert pixel_area(header, 0) == 1
    header.SharedFunctionalGroupsSequence = [measured(2, 3)]
    header.PerFrameFunctionalGroupsSequence = [Dataset(), measured(4, 5)]
    assert [pixel_area(header, frame) for frame in range(3)] == [6, 20, 6]


@pytest.mark.parametrize("tag", [PER_FRAME, SHARED])
@pytest.mark.parametrize(("vr", "value"), [("OB", b"abcd"), ("UT", "words"), ("DS", "1")])
def test_what_is_no_sequence_has_no_size(tag: int, vr: str, value: Any) -> None:
    header = Dataset()
    header.add(DataElement(tag, vr, value))
    assert pixel_area(header, 0) is None
    header.PixelSpacing = [1, 2]
    assert pixel_area(header, 0) == 2


def test_files_are_open_one_after_the_other(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A deflated file is inflated as long as it is open."""
    alive: set[int] = set()
    counts: list[int] = []

    def opened(data: bytes, *, max_bytes: int) -> Image:
        made = open_image(data, max_bytes=max_bytes)
        alive.add(id(made))
        weakref.finalize(made, alive.discard, id(made))
        counts.append(len(alive))
        return made

    monkeypatch.setattr(module, "open_image", opened)
    sees = pointwise(32, 48, WindowCenter=500.0, WindowWidth=1000.0)
    predictor = Predictor(WeightsFolder(tmp_path), batch_size=2)
    files = [image(number) for number in range(1, 6)]
    found = regions_of_files(predictor, sees, files, max_bytes=2**20)
    assert [region.frame for region in found.regions] == list(range(5))
    assert len(counts) == 10
    assert set(counts) == {1}


def test_an_image_too_large_is_refused_before_the_network_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "regions", None)
    files = [image(1), image(2, NumberOfFrames=10**6)]
    with pytest.raises(UnreadableImage, match=r"Preread\.Runner\.MaxImageMegabytes"):
        regions_of_files(
            Predictor(WeightsFolder(tmp_path)), pointwise(32, 48), files, max_bytes=2**20
        )


def test_a_localizer_is_refused_before_the_network_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Predictor, "regions", None)
    files = [image(1), image(2, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])]
    with pytest.raises(UnreadableImage, match="localizer"):
        regions_of_files(
            Predictor(WeightsFolder(tmp_path)), pointwise(32, 48), files, max_bytes=2**20
        )
