"""The order of looks, with detectors that find what they are told."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.boxes import Box, covered
from preread.deidentify.pixels.searching import smooth_over, text_in, text_in_frames


class Bright:
    """Finds one bright pixel at a time, with its eight neighbours."""

    def __init__(self) -> None:
        self.looks = 0

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        assert again or self.looks == 0
        self.looks += 1
        places = np.argwhere(values == 255)
        if not len(places):
            return []
        y, x = (int(one) for one in places[0])
        return [Box(max(0, x - 1), max(0, y - 1), x + 2, y + 2)]


class Everywhere:
    """Finds something else at every look."""

    def __init__(self) -> None:
        self.at = 0

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        self.at += 1
        return [Box(self.at, 0, self.at + 1, 1)]


class Listed:
    """Finds in each frame, told by its first pixel, what a list says, as long as it is there."""

    def __init__(self, boxes: list[list[Box]]) -> None:
        self._boxes = boxes

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        return [box for box in self._boxes[int(values[0, 0])] if (values[box.area] == 200).all()]


def test_a_picture_is_looked_at_until_nothing_is_found() -> None:
    picture = np.zeros((20, 20), np.uint8)
    for place in ((3, 3), (9, 9), (15, 3)):
        picture[place] = 255
    detector = Bright()
    found = text_in(detector, picture)
    assert detector.looks == 4
    assert covered(found, 20, 20)[picture == 255].all()
    assert (picture == 255).sum() == 3, "what was shown has been changed"


def test_a_search_ends() -> None:
    with pytest.raises(DeidentificationError, match="still seems to be text"):
        text_in(Everywhere(), np.zeros((20, 20), np.uint8))


def frames_with(boxes: list[list[Box]]) -> list[NDArray[np.uint8]]:
    frames = []
    for index, found in enumerate(boxes):
        frame = np.full((40, 40), 10, np.uint8)
        frame[0, 0] = index
        for box in found:
            frame[box.area] = 200
        frames.append(frame)
    return frames


def test_each_frame_is_looked_at() -> None:
    flash = Box(30, 30, 38, 34)
    boxes: list[list[Box]] = [[] for _ in range(12)]
    boxes[7] = [flash]  # none of the frames that are sampled
    frames = frames_with(boxes)
    found = text_in_frames(Listed(boxes), lambda index: frames[index], 12)
    assert [index for index, each in enumerate(found) if flash in each] == [7]


def test_what_stands_still_is_blanked_where_it_is_not_found() -> None:
    still = Box(4, 4, 20, 10)
    frames = frames_with([[still]] * 12)
    boxes = [[still]] * 12
    boxes[5] = []  # too faint for the detector here
    found = text_in_frames(Listed(boxes), lambda index: frames[index], 12)
    assert all(still in each for each in found)


def test_what_one_sample_alone_shows_stays_in_its_frame() -> None:
    title = Box(2, 2, 30, 30)
    boxes: list[list[Box]] = [[title]] + [[] for _ in range(11)]
    frames = frames_with(boxes)
    found = text_in_frames(Listed(boxes), lambda index: frames[index], 12)
    assert [len(each) for each in found] == [1] + [0] * 11


def test_boxes_are_smoothed_over_without_edges() -> None:
    picture = np.tile(np.linspace(0, 200, 40), (40, 1))
    before = picture.copy()
    picture[10:20, 10:20] = 255
    picture[0:5, 35:40] = 255
    smooth_over(picture, [Box(10, 10, 20, 20), Box(35, 0, 40, 5)])
    np.testing.assert_allclose(picture[10:20, 10:20], before[10:20, 10:20], atol=1e-6)
    assert abs(picture - before).max() < 30
