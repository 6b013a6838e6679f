import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_windowing

from preread.imaging import Span, Table, VoiFunction, Window

VALUES = st.lists(st.integers(-32768, 65535), min_size=1, max_size=20)
CENTERS = st.integers(-4096, 4096).map(lambda number: number / 2)
WIDTHS = st.integers(2, 8192).map(lambda number: number / 2)


def standard(function: VoiFunction, x: float, c: float, w: float) -> float:
    """PS3.3 C.11.2.1.2.1 and C.11.2.1.3, word for word, with ymin 0 and ymax 1."""
    ymin, ymax = 0.0, 1.0
    if function is VoiFunction.LINEAR:
        inside = ((x - (c - 0.5)) / ((w - 1) or math.inf) + 0.5) * (ymax - ymin) + ymin
        above = x > c - 0.5 + (w - 1) / 2
        return ymin if x <= c - 0.5 - (w - 1) / 2 else ymax if above else inside
    if function is VoiFunction.LINEAR_EXACT:
        inside = ((x - c) / w + 0.5) * (ymax - ymin) + ymin
        return ymin if x <= c - w / 2 else ymax if x > c + w / 2 else inside
    exponent = -4 * (x - c) / w
    return 0.0 if exponent > 700 else (ymax - ymin) / (1 + math.exp(exponent)) + ymin


@given(st.sampled_from(VoiFunction), VALUES, CENTERS, WIDTHS)
def test_window_follows_the_standards_formulas(
    function: VoiFunction, values: list[int], center: float, width: float
) -> None:
    shown = Window(center=center, width=width, function=function).apply(
        np.array(values, dtype=np.float32)
    )
    expected = [standard(function, value, center, width) for value in values]
    assert shown.dtype == np.float32
    np.testing.assert_allclose(shown, expected, atol=2e-5)


@given(st.sampled_from(VoiFunction), VALUES, CENTERS, WIDTHS)
def test_window_agrees_with_pydicom(
    function: VoiFunction, values: list[int], center: float, width: float
) -> None:
    dataset = Dataset()
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsStored, dataset.PixelRepresentation = 16, 0
    dataset.WindowCenter, dataset.WindowWidth = center, width
    dataset.VOILUTFunction = function.value
    with np.errstate(over="ignore"):
        reference = apply_windowing(np.array(values, dtype=np.float64), dataset) / 65535
    shown = Window(center=center, width=width, function=function).apply(np.array(values))
    np.testing.assert_allclose(shown, reference, atol=2e-5)


def test_a_width_of_one_is_a_threshold() -> None:
    shown = Window(center=10, width=1).apply(np.array([9, 9.5, 9.6, 10]))
    assert shown.tolist() == [0, 0, 1, 1]


def test_sigmoid_does_not_overflow() -> None:
    window = Window(center=0, width=1, function=VoiFunction.SIGMOID)
    with np.errstate(all="raise"):
        assert window.apply(np.array([-1e6, 0, 1e6])).tolist() == [0, 0.5, 1]


@pytest.mark.parametrize(
    ("center", "width", "function"),
    [
        (0, 0, "LINEAR"),
        (0, 0.5, "LINEAR"),
        (0, 0, "LINEAR_EXACT"),
        (0, -1, "SIGMOID"),
        (float("nan"), 1, "LINEAR"),
        (0, float("inf"), "LINEAR"),
        (0, 1, "LOGARITHM"),
    ],
)
def test_an_impossible_window_is_refused(center: float, width: float, function: str) -> None:
    with pytest.raises(ValidationError):
        Window.model_validate({"Center": center, "Width": width, "Function": function})


@given(VALUES)
def test_a_span_maps_its_ends_to_black_and_white(values: list[int]) -> None:
    array = np.array(values, dtype=np.float32)
    shown = Span(float(array.min()), float(array.max())).apply(array)
    if array.min() == array.max():
        assert not shown.any()
    else:
        assert (shown.min(), shown.max()) == (0, 1)


def test_a_span_of_bytes_is_division_by_255() -> None:
    bytes_ = np.arange(256, dtype=np.uint8)
    np.testing.assert_allclose(Span(0, 255).apply(bytes_), bytes_ / 255, atol=1e-7)


def test_a_span_cannot_fall() -> None:
    with pytest.raises(ValueError, match="low to high"):
        Span(1, 0)
    with pytest.raises(ValueError, match="low to high"):
        Span(float("nan"), 0)


def test_a_table_keeps_its_ends_outside() -> None:
    table = Table(-1, np.array([0.25, 0.5, 1], dtype=np.float32))
    values = np.array([-9, -1, -0.4, 0, 0.6, 1, 9])
    assert table.apply(values).tolist() == [0.25, 0.25, 0.5, 0.5, 1, 1, 1]
