from __future__ import annotations

import numpy as np
import pytest

from preread.training.evaluation.combining import Rule, combine, inverse_loss_weights
from preread.training.evaluation.errors import EvaluationError

THREE = np.array(
    [
        [[0.5, 0.4, 0.1], [0.2, 0.7, 0.1]],
        [[0.3, 0.6, 0.1], [0.1, 0.8, 0.1]],
        [[0.1, 0.2, 0.7], [0.9, 0.05, 0.05]],
    ]
)


def test_mean() -> None:
    assert combine(THREE, Rule.MEAN) == pytest.approx(
        np.array([[0.3, 0.4, 0.3], [0.4, 0.51666667, 0.08333333]])
    )


def test_weighted() -> None:
    found = combine(THREE, Rule.WEIGHTED, (2, 0, 2))
    assert found == pytest.approx((THREE[0] + THREE[2]) / 2)
    assert combine(THREE, Rule.WEIGHTED, (1, 1, 1)) == pytest.approx(combine(THREE, Rule.MEAN))


def test_votes_and_who_decides_a_tie() -> None:
    found = combine(THREE, Rule.VOTE)
    assert found == pytest.approx(np.array([[1 / 3, 1 / 3, 1 / 3], [1 / 3, 2 / 3, 0]]), abs=1e-8)
    # One vote each for the first image: the second class has the highest mean probability.
    assert found.argmax(axis=1).tolist() == [1, 1]
    assert found.sum(axis=1) == pytest.approx([1, 1], abs=1e-15)
    # A majority wins against any mean.
    sure = np.array([[[0.51, 0.49]], [[0.51, 0.49]], [[0.0, 1.0]]])
    assert combine(sure, Rule.VOTE).argmax() == 0
    assert combine(sure, Rule.MEAN).argmax() == 1


@pytest.mark.parametrize("weights", [(), (1, 1), (0, 0, 0), (1, -1, 1), (1, np.nan, 1)])
def test_weights_that_cannot_be_used(weights: tuple[float, ...]) -> None:
    with pytest.raises(EvaluationError, match="expected 3 numbers of 0 or more"):
        combine(THREE, Rule.WEIGHTED, weights)


def test_weights_by_loss() -> None:
    assert inverse_loss_weights({"a": 0.5, "b": 1.0, "c": 1.0}) == {"a": 0.5, "b": 0.25, "c": 0.25}
    assert sum(inverse_loss_weights({"a": 0.0, "b": 1.0}).values()) == pytest.approx(1)
