from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.temperature import fit_temperature, logits_of, scaled


def drawn(temperature: float, count: int = 4000) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Draw labels as logits at a temperature say."""
    random = np.random.default_rng(3)
    logits = random.normal(0, 2, (count, 4))
    ranks = scaled(logits, temperature).cumsum(axis=1)
    return logits, (random.random((count, 1)) > ranks).sum(axis=1).astype(np.int64)


@pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
def test_finds_the_temperature_that_labels_were_drawn_at(temperature: float) -> None:
    logits, labels = drawn(temperature)
    found = fit_temperature(logits, labels)
    assert found.Temperature == pytest.approx(temperature, rel=0.1)
    assert found.Images == 4000
    assert found.LogLossAfter <= found.LogLossBefore
    assert found.ECEAfter < 0.03
    if temperature != 1:
        assert found.ECEAfter < found.ECEBefore


def test_images_that_are_all_right_say_nothing() -> None:
    logits = np.array([[2.0, 0.0], [0.0, 1.0], [3.0, 0.5]])
    found = fit_temperature(logits, np.array([0, 1, 0]))
    assert found.Temperature == 1
    assert found.LogLossBefore == found.LogLossAfter


def test_a_network_that_is_always_wrong_is_made_as_unsure_as_can_be() -> None:
    found = fit_temperature(np.array([[50.0, 0.0]] * 3), np.array([1, 1, 1]))
    assert 19 < found.Temperature <= 20


def test_probabilities_tell_logits_again() -> None:
    logits, _ = drawn(1.0, 50)
    for temperature in (0.3, 1.0, 7.0):
        again = logits_of(scaled(logits, temperature), temperature)
        assert scaled(again, 2.0) == pytest.approx(scaled(logits, 2.0), abs=1e-12)
    assert np.isfinite(logits_of(np.array([[1.0, 0.0]]))).all()


@pytest.mark.parametrize(
    ("logits", "labels", "message"),
    [
        ([[1.0, 0.0]], [0], "1 validation images; expected two or more"),
        ([[1.0, 0.0]] * 2, [0], "1 validation images"),
        ([[np.inf, 0.0], [0.0, 1.0]], [0, 1], "not finite"),
    ],
)
def test_refuses(logits: list[list[float]], labels: list[int], message: str) -> None:
    with pytest.raises(EvaluationError, match=message):
        fit_temperature(np.array(logits), np.array(labels))
