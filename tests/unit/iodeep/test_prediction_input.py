"""From frames to tensors, and back for masks."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray

from preread.imaging import Frame, Units, Window, frame_from_array
from preread.imaging.layout import Layout
from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.errors import PredictionError
from preread.iodeep.iod import IODeep
from preread.iodeep.prediction_input import (
    FramePixels,
    TensorShape,
    check_tensor_shape,
    over_frame,
)
from tests.unit.iodeep.toy_networks import pointwise


def checked(frame: Frame, network: IODeep) -> TensorShape:
    return check_tensor_shape(FramePixels.of(frame), network, architecture(network))


def architecture(network: IODeep) -> Architecture:
    return parse_architecture(network.document)


def ct(rows: int = 4, columns: int = 6) -> Frame:
    values = np.linspace(-1000, 1000, rows * columns, dtype=np.float32).reshape(rows, columns)
    return frame_from_array(values, units=Units.HOUNSFIELD, voi=Window(center=40, width=400))


def layout(**changes: Any) -> Layout:
    facts: dict[str, Any] = {
        "Rows": 4, "Columns": 6, "NumberOfFrames": 1, "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2", "BitsAllocated": 16, "BitsStored": 12,
        "HighBit": 11, "PixelRepresentation": 0, "PlanarConfiguration": 0, "keyword": "PixelData",
    }  # fmt: skip
    return Layout(**facts | changes)


@pytest.mark.parametrize(
    ("changes", "attribute", "what"),
    [
        ({"Rows": 512}, "Rows", "512 to 4"),
        ({"Columns": 3}, "Columns", "3 to 6"),
        (
            {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
            "SamplesPerPixel",
            "3 to 1: luma of the colours",
        ),
        ({"PhotometricInterpretation": "MONOCHROME1"}, "PhotometricInterpretation", "MONOCHROME1"),
        ({"PhotometricInterpretation": "PALETTE COLOR"}, "SamplesPerPixel", "3 to 1"),
        ({"PixelRepresentation": 1}, "PixelRepresentation", "signed"),
    ],
)
def test_each_attribute_that_differs_is_named(
    changes: dict[str, Any], attribute: str, what: str
) -> None:
    network = pointwise(4, 6)
    assert check_tensor_shape(layout(), network, architecture(network)).conversions == {}
    found = check_tensor_shape(layout(**changes), network, architecture(network)).conversions
    assert what in found[attribute]


def test_a_decoded_frame_tells_the_same() -> None:
    grey = FramePixels.of(ct())
    assert (grey.Rows, grey.Columns, grey.SamplesPerPixel, grey.PixelRepresentation) == (4, 6, 1, 1)
    colour = FramePixels.of(frame_from_array(np.zeros((5, 7, 3), np.uint8)))
    assert (colour.SamplesPerPixel, colour.PhotometricInterpretation) == (3, "RGB")


def test_levels_are_those_of_the_networks_window() -> None:
    tensor = checked(ct(), pointwise(4, 6, WindowCenter=0.0, WindowWidth=1001.0)).tensor(ct())
    expected = np.clip((ct().pixels + 0.5 + 500) / 1000, 0, 1)
    assert tensor == pytest.approx(expected[np.newaxis], abs=1e-6)


def test_without_a_window_levels_are_those_that_the_image_asks_for() -> None:
    assert checked(ct(), pointwise(4, 6)).tensor(ct()) == pytest.approx(ct().display()[np.newaxis])


def test_a_network_for_monochrome1_takes_white_as_0() -> None:
    network = pointwise(4, 6, PhotometricInterpretation="MONOCHROME1")
    tensor = checked(ct(), network).tensor(ct())
    assert tensor == pytest.approx(1 - ct().display()[np.newaxis])


@pytest.mark.parametrize("order", ["channels_first", "channels_last"])
def test_colour_and_grey_become_each_other_in_the_networks_order(order: str) -> None:
    facts: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    network = pointwise(4, 6, channels=3, more={"data_format": order}, **facts)
    tensor = checked(ct(), network).tensor(ct())
    assert tensor.shape == architecture(network).input_shape
    axis = 0 if order == "channels_first" else -1
    for channel in range(3):
        assert tensor.take(channel, axis) == pytest.approx(ct().display())
    red = frame_from_array(np.full((4, 6, 3), (255, 0, 0), np.uint8))
    assert checked(red, network).tensor(red).take(0, axis) == pytest.approx(1)
    assert checked(red, network).tensor(red).take(1, axis) == pytest.approx(0)
    grey = pointwise(4, 6, more={"data_format": order})
    assert checked(red, grey).tensor(red) == pytest.approx(0.299)


def test_other_channels_no_image_and_huge_inputs_are_refused() -> None:
    four = pointwise(4, 6, channels=4)
    with pytest.raises(PredictionError, match="4 channels; expected 1 or 3"):
        checked(ct(), four)
    with pytest.raises(PredictionError, match="at most 4096 a side"):
        checked(ct(), pointwise(5000, 6))
    row = parse_architecture(
        {
            "input_shape": {"input_shape0": 8, "label_shape": 4},
            "architecture": {"1": "output"},
            "data_format": "channels_first",
        }
    )
    with pytest.raises(PredictionError, match="takes no image"):
        check_tensor_shape(layout(), pointwise(4, 6), row)


def there_and_back(
    mask: NDArray[np.bool_], rows: int, columns: int, *, sure: bool = True
) -> NDArray[np.bool_]:
    """Resize a mask as a frame, take it for a network's perfect answer, and bring it back."""
    frame = frame_from_array(mask.astype(np.float32))
    tensor = checked(frame, pointwise(rows, columns)).tensor(frame)[0]
    answer = (tensor >= 0.5).astype(np.float32) if sure else tensor
    return over_frame(answer, *mask.shape) >= 0.5


masks = arrays.arrays(np.bool_, arrays.array_shapes(min_dims=2, max_dims=2, min_side=1, max_side=9))


@settings(max_examples=150, deadline=None)
@given(masks, st.integers(1, 7), st.booleans())
def test_any_mask_comes_back_from_an_input_of_a_multiple_of_its_size(
    mask: NDArray[np.bool_], times: int, sure: bool
) -> None:
    rows, columns = mask.shape
    assert np.array_equal(there_and_back(mask, rows * times, columns * times, sure=sure), mask)


@settings(max_examples=150, deadline=None)
@given(masks, st.integers(1, 7), st.integers(1, 7))
def test_so_it_does_where_sides_are_stretched_differently_unless_answers_are_all_or_nothing(
    mask: NDArray[np.bool_], down: int, across: int
) -> None:
    rows, columns = mask.shape
    assert np.array_equal(there_and_back(mask, rows * down, columns * across, sure=False), mask)


@settings(max_examples=100, deadline=None)
@given(masks)
def test_a_mask_of_blocks_comes_back_from_an_input_of_half_its_size(
    blocks: NDArray[np.bool_],
) -> None:
    mask = np.kron(blocks, np.ones((2, 2), bool))
    assert np.array_equal(there_and_back(mask, *blocks.shape), mask)


@pytest.mark.parametrize(("size", "network"), [(512, 224), (100, 224), (224, 512), (37, 64)])
def test_at_any_size_a_disc_comes_back_where_it_was(size: int, network: int) -> None:
    rows, columns = np.mgrid[:size, : size + 10]
    distance = np.hypot(rows - 0.41 * size, columns - 0.63 * size)
    mask = distance < 0.2 * size
    back = there_and_back(mask, network, network)
    wrong = np.abs(distance[mask != back] - 0.2 * size)
    assert wrong.size == 0 or wrong.max() < max(1, size / network)
    before, after = np.argwhere(mask).mean(axis=0), np.argwhere(back).mean(axis=0)
    assert after == pytest.approx(before, abs=0.05 * max(1, size / network))
