from collections.abc import Callable, Sequence
from datetime import datetime, timedelta, timezone

import pytest

from preread.findings.prediction import Prediction, Unlikeness

CLASSES = (
    "Adenocarcinoma",
    "Benign",
    "Large_Cell_Carcinoma",
    "Malignant",
    "Normal",
    "Squamous_Cell_Carcinoma",
)

MakePrediction = Callable[..., Prediction]


@pytest.fixture(scope="session")
def make_prediction() -> MakePrediction:
    """Give a maker of predictions: name, classes and probabilities as a test wants them."""

    def make(
        model: str = "InceptionV3",
        classes: Sequence[str] = ("Benign", "Malignant", "Normal"),
        probabilities: Sequence[float] = (0.0099, 0.9901, 0.0),
        dataset: str = "IQ-OTHNCCD Lung Cancer Dataset",
        unlikeness: Unlikeness | None = None,
    ) -> Prediction:
        zone = timezone(timedelta(hours=-6))
        return Prediction(
            model=model,
            version="1.2.0",
            dataset=dataset,
            weights_sha256="ab" * 32,
            classes=tuple(classes),
            probabilities=tuple(probabilities),
            frames=(tuple(probabilities),),
            date=datetime(2026, 11, 21, 9, 23, 52, 123456, tzinfo=zone),
            engine="openvino",
            unlikeness=unlikeness,
        )

    return make


@pytest.fixture(scope="session")
def ensemble(make_prediction: MakePrediction) -> tuple[Prediction, ...]:
    """Give what four models with six classes say."""
    shares = (0.02, 0.3, 0.005, 0.6, 0.07, 0.005)
    names = ("InceptionV3", "MobileNetV2", "ResNet101V2", "ResNet50V2")
    return tuple(make_prediction(name, CLASSES, shares) for name in names)
