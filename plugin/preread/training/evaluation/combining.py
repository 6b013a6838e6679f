"""What several models say together of an image."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

_TIE: Final = 1e-9  # what the mean probability adds to shares of votes: it decides ties alone


class Rule(StrEnum):
    """How the models of an ensemble are combined."""

    MEAN = "mean"
    """Mean of the probabilities."""
    WEIGHTED = "weighted"
    """Mean with a weight for each model."""
    VOTE = "vote"
    """Each model has one vote; the probability of a class is its share of the votes."""


def combine(
    probabilities: NDArray[np.float64], rule: Rule, weights: Sequence[float] = ()
) -> NDArray[np.float64]:
    """Combine the probabilities of several models.

    Parameters
    ----------
    probabilities
        (models, N, classes), each row of sum 1.
    rule
        How.
    weights
        One for each model, for `Rule.WEIGHTED`; they are divided by their sum.

    Returns
    -------
    ndarray of float64
        (N, classes), each row of sum 1. A tie of votes goes to the class of the higher mean
        probability, by a part in a billion.

    Raises
    ------
    EvaluationError
        If the weights cannot be used.

    Examples
    --------
    >>> two = np.array([[[0.9, 0.1]], [[0.4, 0.6]]])
    >>> combine(two, Rule.MEAN).round(3).tolist(), combine(two, Rule.VOTE).argmax(axis=1).tolist()
    ([[0.65, 0.35]], [0])
    """
    mean: NDArray[np.float64] = probabilities.mean(axis=0)
    match rule:
        case Rule.MEAN:
            combined = mean
        case Rule.WEIGHTED:
            share = _shares(weights, len(probabilities))
            combined = np.tensordot(share, probabilities, axes=1)
        case Rule.VOTE:
            votes = np.eye(probabilities.shape[2])[probabilities.argmax(axis=2)].mean(axis=0)
            combined = (votes + _TIE * mean) / (1 + _TIE)
    return combined


def _shares(weights: Sequence[float], models: int) -> NDArray[np.float64]:
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (models,) or not (np.isfinite(given) & (given >= 0)).all() or not given.any():
        raise EvaluationError(
            f"--weights: expected {models} numbers of 0 or more, one for each model, not all 0"
        )
    shares: NDArray[np.float64] = given / given.sum()
    return shares


def inverse_loss_weights(log_losses: Mapping[str, float]) -> dict[str, float]:
    """Weigh each model by the inverse of its log-loss on the validation part; the sum is 1.

    Examples
    --------
    >>> inverse_loss_weights({"a": 0.1, "b": 0.3})
    {'a': 0.75, 'b': 0.25}
    """
    inverse = {name: 1 / max(loss, 1e-6) for name, loss in log_losses.items()}
    total = sum(inverse.values())
    return {name: round(value / total, 6) for name, value in inverse.items()}
