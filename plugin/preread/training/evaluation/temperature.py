"""Temperature scaling: one number by which logits are divided, found on the validation part.

Guo and others, "On calibration of modern neural networks", 2017, section 4.2. It changes no
answer, only how sure it is.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Final

import numpy as np
from scipy.optimize import minimize_scalar

from preread.models.card import CalibrationFacts
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.reliability import calibration_error

if TYPE_CHECKING:
    from numpy.typing import NDArray

COLDEST: Final = 0.05
HOTTEST: Final = 20.0
"""Between these a temperature is sought; a card takes none beyond."""

_TINIEST: Final = float(np.finfo(np.float64).tiny)


def scaled(logits: NDArray[np.floating], temperature: float) -> NDArray[np.float64]:
    """Turn logits into probabilities at a temperature.

    Parameters
    ----------
    logits
        (N, classes).
    temperature
        Above 0.

    Returns
    -------
    ndarray of float64
        (N, classes), each row of sum 1.

    Examples
    --------
    >>> scaled(np.array([[0.0, 0.0], [2.0, 0.0]]), 2).round(3).tolist()
    [[0.5, 0.5], [0.731, 0.269]]
    """
    rows = np.asarray(logits, dtype=np.float64) / temperature
    shifted = np.exp(rows - rows.max(axis=1, keepdims=True))
    total: NDArray[np.float64] = shifted / shifted.sum(axis=1, keepdims=True)
    return total


def logits_of(probabilities: NDArray[np.float64], temperature: float = 1.0) -> NDArray[np.float64]:
    """Give logits that make these probabilities at a temperature.

    They are the network's own but for one number a row, which softmax does not see.

    Parameters
    ----------
    probabilities
        (N, classes), as `scaled` gave them.
    temperature
        At which.
    """
    logits: NDArray[np.float64] = np.log(np.maximum(probabilities, _TINIEST)) * temperature
    return logits


def fit_temperature(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> CalibrationFacts:
    """Find the temperature at which the log-loss is least.

    Where every image is right, the log-loss falls with the temperature without end, and the
    images say nothing of how unsure the model should be: the temperature is then 1.

    Parameters
    ----------
    logits
        (N, classes) of the validation part, before any temperature.
    labels
        (N,).

    Returns
    -------
    CalibrationFacts
        For the card.

    Raises
    ------
    EvaluationError
        If there are fewer than two images, or a logit is not finite.
    """
    if len(logits) < 2 or len(logits) != len(labels):
        raise EvaluationError(f"calibration: {len(labels)} validation images; expected two or more")
    rows = np.asarray(logits, dtype=np.float64)
    if not np.isfinite(rows).all():
        raise EvaluationError("calibration: the network's output is not finite")
    classes = np.asarray(labels, dtype=np.int64)

    def loss(log_temperature: float) -> float:
        return _log_loss(rows / math.exp(log_temperature), classes)

    temperature = 1.0
    if (rows.argmax(axis=1) != classes).any():
        found = minimize_scalar(
            loss, bounds=(math.log(COLDEST), math.log(HOTTEST)), method="bounded"
        )
        # Never worse than leaving the logits as they are.
        if found.fun < loss(0.0):
            temperature = round(math.exp(found.x), 4)
    return CalibrationFacts(
        Temperature=temperature,
        Images=len(classes),
        LogLossBefore=round(loss(0.0), 4),
        LogLossAfter=round(loss(math.log(temperature)), 4),
        ECEBefore=round(calibration_error(scaled(rows, 1.0), classes), 4),
        ECEAfter=round(calibration_error(scaled(rows, temperature), classes), 4),
    )


def _log_loss(logits: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    highest = logits.max(axis=1)
    total = highest + np.log(np.exp(logits - highest[:, np.newaxis]).sum(axis=1))
    return float((total - logits[np.arange(len(labels)), labels]).mean())
