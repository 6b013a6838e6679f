"""What is taken from the headers of files that anybody may have sent."""

from __future__ import annotations

from typing import Any

import pytest
from pydicom import DataElement, Dataset

from preread.iodeep.files_prediction import pixel_area

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
