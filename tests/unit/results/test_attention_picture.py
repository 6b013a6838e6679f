"""The picture itself: frame, colours, scale and words."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import ImageDraw

from preread.imaging import Fit, Preprocessing
from preread.imaging.mapping_back import Spread, onto_frame
from preread.results.attention_picture import NOTICE, OUTSIDE, Legend, draw

LEGEND = Legend("MobileNetV2", "1.2.0", "IQ-OTHNCCD", "Malignant", 0.8731, predicted=True)


@pytest.fixture
def written(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Collect what is written into pictures."""
    texts: list[str] = []
    real = ImageDraw.ImageDraw.text

    def text(self: ImageDraw.ImageDraw, where: Any, words: str, **how: Any) -> None:
        texts.append(words)
        real(self, where, words, **how)

    monkeypatch.setattr(ImageDraw.ImageDraw, "text", text)
    return texts


def whole(values: NDArray[np.float32]) -> Spread:
    return Spread(values, (0, 0, *values.shape))


def flat(value: float, rows: int = 512, columns: int = 512) -> NDArray[np.float32]:
    return np.full((rows, columns), value, dtype=np.float32)


def test_all_that_must_be_known_is_written(written: list[str]) -> None:
    draw(flat(0.5), whole(flat(0.5)), LEGEND)
    words = " ".join(written)
    for part in ("MobileNetV2 1.2.0", "IQ-OTHNCCD", "Malignant: 87.31 %", NOTICE, "Grad-CAM"):
        assert part in words
    assert {"0", "0.5", "1", "relative"} <= set(written)
    assert "likeliest" not in words
    assert "frame" not in words


def test_what_is_unusual_is_said(written: list[str]) -> None:
    draw(flat(0.5), whole(flat(0)), replace(LEGEND, predicted=False, frame=3, frames=12))
    words = " ".join(written)
    assert "not the likeliest class" in words
    assert "frame 3 of 12" in words
    assert "No area of the image speaks for this class" in words


def test_without_a_class_no_probability_is_written(written: list[str]) -> None:
    draw(flat(0.5), whole(flat(1)), replace(LEGEND, probability=None))
    words = " ".join(written)
    assert OUTSIDE in words
    assert "%" not in words


def test_a_warning_stands_before_the_class(written: list[str]) -> None:
    draw(flat(0.5), whole(flat(1)), replace(LEGEND, warning="not measured on this kind of image"))
    (caution,) = (text for text in written if "not measured on this kind" in text)
    (label,) = (text for text in written if "87.31 %" in text)
    assert written.index(caution) < written.index(label)


def test_long_names_are_broken_and_nothing_is_lost(written: list[str]) -> None:
    long = replace(LEGEND, model="M" * 40, dataset="data " * 20 + "D" * 40, label="L" * 40)
    picture = draw(flat(0.5), whole(flat(0.5)), long)
    words = "".join(written).replace(" ", "")
    for part in ("M" * 40, "data" * 20, "D" * 40, "L" * 40):
        assert part in words
    # Nothing runs over the right edge: its last column is empty.
    assert not picture[:, -1].any()


def test_nothing_lies_over_the_frame_where_the_map_is_empty() -> None:
    shown = np.linspace(0, 1, 512 * 512, dtype=np.float32).reshape(512, 512)
    values = flat(0)
    values[100:200, 300:400] = 1
    picture = draw(shown, whole(values), LEGEND)
    inside = picture[:512, :512]
    grey = np.rint(255 * shown).astype(np.uint8)
    outside = values == 0
    for channel in range(3):
        np.testing.assert_array_equal(inside[:, :, channel][outside], grey[outside])
    spots = inside[150, 350].astype(int)
    assert spots[0] > spots[2] + 40  # the upper end of the colour map is yellow


def test_colour_frames_keep_their_colours() -> None:
    shown = np.zeros((512, 512, 3), dtype=np.float32)
    shown[:, :, 1] = 1
    assert draw(shown, whole(flat(0)), LEGEND)[5, 5].tolist() == [0, 255, 0]
    large = np.repeat(np.repeat(shown, 5, axis=0), 5, axis=1)
    picture = draw(large, whole(flat(0, 2560, 2560)), LEGEND)
    assert picture[2040, 2040].tolist() == [0, 255, 0]
    assert picture.shape[1] < 2560


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(512, 512, 512, 512), (700, 600, 700, 600), (128, 64, 512, 256), (4096, 2048, 2048, 1024)],
)
def test_sizes(rows: int, columns: int, height: int, width: int) -> None:
    picture = draw(flat(1, rows, columns), whole(flat(0, rows, columns)), LEGEND)
    assert picture.dtype == np.uint8
    area = (picture[:height] == 255).all(axis=2)
    # White letters reach no further up than the margin below the frame.
    assert area.sum() == height * width
    assert picture.shape[0] > height
    assert picture.shape[1] >= max(width, 512)


def test_the_scale_rises_in_brightness() -> None:
    picture = draw(flat(0), whole(flat(0)), LEGEND)
    columns = picture[:512, 512:].astype(float).sum(axis=2)
    bar = columns[60:480, 20]
    assert bar[0] > 600
    assert bar[-1] < 60
    assert (np.diff(bar) <= 3).all()


def test_what_a_crop_left_out_is_marked() -> None:
    spread = onto_frame(
        np.zeros((4, 4), dtype=np.float32), Preprocessing(size=(64, 64), fit=Fit.CROP), 512, 1024
    )
    picture = draw(flat(0, 512, 1024), spread, LEGEND)
    assert picture[100:400, 256].all()
    assert picture[100:400, 767].all()
    assert not picture[100:400, 300].any()
