import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from pydantic import ValidationError
from skimage.transform import resize

from preread.imaging import (
    Fit,
    Preprocessing,
    Resampling,
    Units,
    Window,
    frame_from_array,
    prepare,
)

PLAIN: dict[str, Any] = {"channels": 1, "range": (0, 1)}


@settings(deadline=None)
@given(
    arrays(np.uint8, st.tuples(st.integers(1, 40), st.integers(1, 40))),
    st.sampled_from(Fit),
    st.sampled_from(Resampling),
    st.sampled_from([1, 3]),
)
def test_every_input_has_the_cards_shape_and_range(
    array: Any, fit: Fit, resampling: Resampling, channels: Any
) -> None:
    how = Preprocessing(size=(17, 23), fit=fit, resampling=resampling, channels=channels)
    made = prepare(frame_from_array(array), how)
    assert made.shape == how.shape == (channels, 17, 23)
    assert made.dtype == np.float32
    assert made.flags.c_contiguous
    assert made.min() >= -1
    assert made.max() <= 1


def test_black_and_white_become_the_ends_of_the_range() -> None:
    array = np.array([[0, 255]], dtype=np.uint8)
    assert prepare(frame_from_array(array), Preprocessing(size=(1, 2), channels=1)).tolist() == [
        [[-1, 1]]
    ]


def test_mean_and_std_are_applied_to_each_channel() -> None:
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
    colours = np.random.default_rng(1).integers(0, 256, (5, 6, 3), dtype=np.uint8)
    how = Preprocessing(size=(5, 6), range=(0, 1), mean=mean, std=std)
    expected = ((colours / 255 - np.array(mean)) / np.array(std)).transpose(2, 0, 1)
    np.testing.assert_allclose(prepare(frame_from_array(colours), how), expected, atol=1e-6)


def test_the_window_is_for_hounsfield_units_and_not_for_pictures() -> None:
    window = Window(center=0, width=401)
    how = Preprocessing(size=(1, 3), window=window, **PLAIN)
    values = np.array([[-500, 0, 500]], dtype=np.float32)
    in_hu = prepare(frame_from_array(values, units=Units.HOUNSFIELD), how)
    assert in_hu.ravel() == pytest.approx([0, 0.50125, 1], abs=1e-5)
    picture = np.array([[0, 51, 255]], dtype=np.uint8)
    assert prepare(frame_from_array(picture), how).ravel() == pytest.approx([0, 0.2, 1])


def test_hu_and_the_picture_made_of_it_give_the_same_input() -> None:
    """What training sees (a windowed JPEG's pixels) and what the runner sees differ by rounding."""
    noise = np.random.default_rng(2).integers(-1024, 3000, (512, 512)).astype(np.float32)
    window = Window(center=-600, width=1500)
    picture = np.rint(window.apply(noise) * 255).astype(np.uint8)
    how = Preprocessing(size=(224, 224), window=window, channels=1, range=(0, 1))
    from_hu = prepare(frame_from_array(noise, units=Units.HOUNSFIELD), how)
    from_picture = prepare(frame_from_array(picture), how)
    assert np.abs(from_hu - from_picture).max() <= 0.5 / 255 + 1e-6


def test_reduction_does_not_alias() -> None:
    stripes = np.tile(np.array([0, 255], dtype=np.uint8), (64, 32))
    made = prepare(frame_from_array(stripes), Preprocessing(size=(16, 16), **PLAIN))
    assert np.abs(made[:, :, 1:-1] - 0.5).max() < 0.05


def test_resizing_agrees_with_an_independent_one() -> None:
    rows, columns = np.mgrid[0:96, 0:64]
    smooth = np.rint(127 + 120 * np.sin(rows / 15) * np.cos(columns / 11)).astype(np.uint8)
    made = prepare(frame_from_array(smooth), Preprocessing(size=(48, 32), **PLAIN))
    # scikit-image comes without types.
    reference = resize(  # type: ignore[no-untyped-call]
        smooth / 255, (48, 32), order=1, anti_aliasing=True
    )
    assert np.abs(made[0] - reference)[2:-2, 2:-2].max() < 0.02


def test_letterbox_keeps_proportions_and_fills_with_black() -> None:
    white = np.full((20, 40), 255, dtype=np.uint8)
    how = Preprocessing(size=(40, 40), fit=Fit.LETTERBOX, **PLAIN)
    (made,) = prepare(frame_from_array(white), how)
    assert made[10:30].min() == 1
    assert made[:10].max() == made[30:].max() == 0


def test_crop_takes_the_middle() -> None:
    array = np.zeros((20, 60), dtype=np.uint8)
    array[:, 20:40] = 255
    how = Preprocessing(size=(20, 20), fit=Fit.CROP, **PLAIN)
    assert prepare(frame_from_array(array), how).min() == 1


def test_stretch_keeps_everything() -> None:
    array = np.zeros((20, 60), dtype=np.uint8)
    array[:, :30] = 255
    (made,) = prepare(frame_from_array(array), Preprocessing(size=(20, 20), **PLAIN))
    assert made[:, :9].min() == 1
    assert made[:, 11:].max() == 0


def test_colour_becomes_luma_and_grey_is_repeated() -> None:
    red = np.zeros((4, 4, 3), dtype=np.uint8)
    red[..., 0] = 255
    made = prepare(frame_from_array(red), Preprocessing(size=(4, 4), **PLAIN))
    assert made == pytest.approx(0.299)
    grey = np.full((4, 4), 51, dtype=np.uint8)
    made = prepare(frame_from_array(grey), Preprocessing(size=(4, 4), range=(0, 1)))
    assert made == pytest.approx(0.2)


@pytest.mark.parametrize(
    ("change", "where"),
    [
        ({"size": (0, 4)}, "size"),
        ({"size": (4, 100000)}, "size"),
        ({"channels": 2}, "channels"),
        ({"mean": (0.1, 0.2)}, "Mean"),
        ({"std": (0.0,)}, "std"),
        ({"range": (1, -1)}, "Range"),
        ({"fit": "squash"}, "fit"),
        ({"Odd": 1}, "Odd"),
    ],
)
def test_an_impossible_card_is_refused(change: dict[str, Any], where: str) -> None:
    with pytest.raises(ValidationError, match=where):
        Preprocessing.model_validate({"size": (4, 4)} | change)


def test_a_card_survives_json() -> None:
    how = Preprocessing(size=(299, 299), window=Window(center=40, width=400), mean=(0.5,))
    text = how.model_dump_json(by_alias=True)
    assert '"Window":{"Center":40.0' in text
    assert Preprocessing.model_validate_json(text) == how
    assert hash(Preprocessing.model_validate_json(text)) == hash(how)


@pytest.mark.parametrize(
    "array",
    [
        np.zeros((2, 2, 4), np.uint8),
        np.zeros(4, np.uint8),
        np.zeros((0, 4), np.uint8),
        np.array([[np.nan]]),
        np.array([["a"]]),
    ],
)
def test_what_is_no_frame_is_refused(array: Any) -> None:
    with pytest.raises(ValueError, match=r"expected|a frame is"):
        frame_from_array(array)


def test_imaging_never_imports_torch() -> None:
    code = (
        "import sys, preread.imaging, preread.imaging.secondary_capture; "
        "sys.exit('torch' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
