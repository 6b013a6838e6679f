import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from preread.models.prediction import InvalidPredictionError, Prediction

GOOD = Prediction(
    model="MobileNetV2",
    version="1.0.0",
    dataset="IQ-OTH/NCCD",
    weights_sha256="0" * 64,
    classes=("Benign", "Malignant"),
    probabilities=(0.25, 0.75),
    frames=((0.25, 0.75),),
    date=datetime(2026, 11, 21, tzinfo=UTC),
    engine="torch",
)


def test_what_low_precision_loses_is_given_back() -> None:
    prediction = replace(GOOD, probabilities=(0.2504, 0.7503), frames=((0.2, 0.7995),))
    assert math.isclose(sum(prediction.probabilities), 1, abs_tol=1e-12)
    assert math.isclose(sum(prediction.frames[0]), 1, abs_tol=1e-12)
    assert replace(prediction) == prediction


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"model": ""}, "model"),
        ({"version": " 1"}, "version"),
        ({"dataset": "a\nb"}, "dataset"),
        ({"weights_sha256": "AB" * 32}, "weights_sha256"),
        ({"date": datetime.fromisoformat("2026-11-21")}, "time zone"),
        ({"classes": ("Benign",)}, "expected 1 numbers"),
        ({"classes": ("Benign", "Benign")}, "each once"),
        ({"classes": (), "probabilities": (), "frames": ()}, "one name"),
        ({"probabilities": (0.25, 0.8)}, "softmax"),
        ({"probabilities": (-0.25, 1.25)}, "0..1"),
        ({"probabilities": (float("nan"), 1.0)}, "0..1"),
        ({"frames": ((0.5, 0.6),)}, "frame 0"),
        ({"frames": ()}, "frames"),
    ],
)
def test_what_is_no_prediction_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidPredictionError, match=expected):
        replace(GOOD, **change)
