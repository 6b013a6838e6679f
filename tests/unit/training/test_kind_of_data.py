"""The kind of image that a model is made for is found in its data."""

import numpy as np
import pytest

from preread.imaging import Preprocessing, Units, frame_from_array
from preread.models.card import InputKind
from preread.training.cards import check_kind
from preread.training.data_set import Contradictions, DataSet, Gathering, Listed
from preread.training.errors import TrainingError


def of(*units: Units) -> DataSet:
    gathering = Gathering(
        "data",
        Preprocessing(size=(32, 32)),
        {"class": ("a", "b")},
        keep_duplicates=False,
        contradictions=Contradictions.REFUSE,
    )
    for number, unit in enumerate(units):
        pixels = np.full((8, 8), 0.1 * number, dtype="f4")
        pixels[0, 0] = 1
        gathering.add(Listed(str(number), (number % 2,)), frame_from_array(pixels, units=unit))
    return gathering.data_set()


def test_pictures_and_hounsfield_units_are_told_apart() -> None:
    assert check_kind(of(Units.DISPLAY, Units.DISPLAY)) is InputKind.PICTURES
    assert check_kind(of(Units.HOUNSFIELD, Units.HOUNSFIELD)) is InputKind.HOUNSFIELD


@pytest.mark.parametrize("other", [Units.HOUNSFIELD, Units.MODALITY, Units.UNKNOWN])
def test_a_mixture_or_another_kind_is_refused(other: Units) -> None:
    for units in ((Units.DISPLAY, other), (Units.MODALITY, other)):
        with pytest.raises(TrainingError, match="alone, since a model answers only on the kind"):
            check_kind(of(*units))
