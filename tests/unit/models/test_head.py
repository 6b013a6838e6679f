from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from preread.models.card import InvalidModelError
from preread.models.catalogue import Catalogue
from preread.models.head import Head, softmax
from preread.models.novelty import Novelty
from tests.unit.models.conftest import CLASSES
from tests.unit.models.test_catalogue import calibrated, with_threshold

WIDTH = 1280
RANDOM = np.random.default_rng(0)
FEATURES = RANDOM.normal(size=(20, WIDTH)).astype(np.float32)
WEIGHT = RANDOM.normal(0, 0.05, (3, WIDTH)).astype(np.float32)
BIAS = np.array([0.5, -0.5, 0.0], dtype=np.float32)


def test_a_last_layer_is_a_product_and_a_sum() -> None:
    logits = FEATURES.astype(np.float64) @ WEIGHT.astype(np.float64).T + BIAS
    answer = Head(WEIGHT, BIAS).answer(FEATURES)
    assert np.allclose(answer.probabilities, softmax(logits), atol=1e-12)
    assert answer.novelty is None
    as_convolution = Head(WEIGHT[:, :, None, None], BIAS).answer(FEATURES)
    assert np.array_equal(as_convolution.probabilities, answer.probabilities)


@pytest.mark.parametrize("temperature", [0.5, 1.7, 20.0])
def test_a_temperature_divides_logits(temperature: float) -> None:
    logits = FEATURES.astype(np.float64) @ WEIGHT.astype(np.float64).T + BIAS
    usual = Head(WEIGHT, BIAS).answer(FEATURES).probabilities
    found = Head(WEIGHT, BIAS, temperature).answer(FEATURES).probabilities
    assert np.allclose(found, softmax(logits / temperature), atol=1e-12)
    assert np.array_equal(found.argmax(axis=1), usual.argmax(axis=1))
    assert (found.max(axis=1) > usual.max(axis=1)).all() == (temperature < 1)


def test_a_card_says_the_temperature_and_whether_there_is_a_threshold(
    add_sharing: Any, folder: Path
) -> None:
    novelty = Novelty.fit(FEATURES)
    add_sharing("plain", novelty=novelty)
    add_sharing("warm", Calibration=calibrated(2.5))
    add_sharing("judging", novelty=novelty, OutOfDistribution=with_threshold(1.5))
    plain, warm, judging = (
        Head.of(Catalogue.load(folder)[name]).answer(FEATURES)
        for name in ("plain", "warm", "judging")
    )
    assert plain.probabilities.shape == (len(FEATURES), len(CLASSES))
    assert (warm.probabilities.max(axis=1) < plain.probabilities.max(axis=1)).all()
    assert np.array_equal(judging.probabilities, plain.probabilities)
    assert plain.novelty is None
    assert judging.novelty is not None
    assert np.array_equal(judging.novelty, novelty.score(FEATURES))


def test_a_threshold_without_what_it_is_for_is_refused(add_sharing: Any, folder: Path) -> None:
    add_sharing("net", OutOfDistribution=with_threshold(1.5))
    with pytest.raises(InvalidModelError, match=r"net/weights\.safetensors: novelty\.\w+ is miss"):
        Head.of(Catalogue.load(folder)["net"])


def test_a_threshold_for_other_features_is_refused(add_sharing: Any, folder: Path) -> None:
    narrow = Novelty.fit(FEATURES[:, :100])
    add_sharing("net", novelty=narrow, OutOfDistribution=with_threshold(1.5))
    with pytest.raises(InvalidModelError, match=r"novelty\.mean: 100 features, expected 1280"):
        Head.of(Catalogue.load(folder)["net"])


def test_other_features_are_refused() -> None:
    with pytest.raises(InvalidModelError, match="expected 1280 for each image"):
        Head(WEIGHT, BIAS).answer(FEATURES[:, 1:])


def test_what_is_not_finite_is_refused() -> None:
    with pytest.raises(InvalidModelError, match="not finite"):
        softmax(np.array([[np.nan, 0.0]], dtype=np.float32))
    with pytest.raises(InvalidModelError, match="not finite"):
        Head(WEIGHT, BIAS).answer(np.full((1, WIDTH), np.inf, dtype=np.float32))
