import math
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from preread.findings.prediction import (
    ANOTHER_HEAD,
    InvalidPredictionError,
    Prediction,
    Unlikeness,
    in_agreement,
)

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
        ({"weights_sha256": ""}, "weights_sha256"),
        ({"backbone_sha256": "AB" * 32}, "backbone_sha256"),
    ],
)
def test_what_is_no_prediction_is_refused(change: dict[str, Any], expected: str) -> None:
    with pytest.raises(InvalidPredictionError, match=expected):
        replace(GOOD, **change)


def test_an_image_outside_has_no_class() -> None:
    at_the_threshold = replace(GOOD, unlikeness=Unlikeness(2.0, 2.0))
    assert not GOOD.outside
    assert not at_the_threshold.outside
    assert at_the_threshold.probabilities == (0.25, 0.75)
    outside = replace(GOOD, frames=((0.25, 0.75),) * 3, unlikeness=Unlikeness(2.1, 2.0))
    assert outside.outside
    assert (outside.probabilities, outside.frames) == ((), ((),) * 3)
    assert outside.unlikeness is not None
    assert outside.unlikeness.ratio == pytest.approx(1.05)
    assert replace(outside) == outside
    with pytest.raises(InvalidPredictionError, match=r"0\.\.1"):
        replace(GOOD, probabilities=(-1.0, 2.0), unlikeness=Unlikeness(2.1, 2.0))


@pytest.mark.parametrize("number", [0.0, -1.0, math.nan, math.inf])
def test_a_score_is_a_number_above_zero(number: float) -> None:
    for score, threshold in ((number, 1.0), (1.0, number)):
        with pytest.raises(InvalidPredictionError, match="finite numbers above 0"):
            Unlikeness(score, threshold)


def test_a_withheld_image_has_no_class_and_always_a_reason() -> None:
    withheld = replace(GOOD, withheld="made for pictures", warning="caution")
    assert (withheld.probabilities, withheld.frames) == ((), ((),))
    assert withheld.warning == ""
    assert replace(withheld) == withheld
    assert replace(GOOD, unlikeness=Unlikeness(2.1, 2.0)).withheld == "unlike its training data"
    assert (GOOD.withheld, replace(GOOD, warning="caution").warning) == ("", "caution")
    for wrong in ("a } b", "a\nb", " a", "a\\b"):
        with pytest.raises(InvalidPredictionError, match="withheld"):
            replace(GOOD, withheld=wrong)


def test_heads_of_one_network_give_a_class_together_or_not_at_all() -> None:
    far = replace(GOOD, unlikeness=Unlikeness(2.1, 2.0))
    assert in_agreement([GOOD, GOOD]) == (GOOD, GOOD)
    first, second = in_agreement([GOOD, far])
    assert (first.withheld, first.probabilities) == (ANOTHER_HEAD, ())
    assert second == far
    assert in_agreement([GOOD], also=True) == (first,)
