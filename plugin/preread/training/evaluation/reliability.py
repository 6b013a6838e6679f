"""Whether a probability means what it says: bins of confidence and the calibration error."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

BINS: Final = 15
"""Of equal width over 0..1, as in Guo and others, "On calibration of modern neural networks",
2017."""


def bin_of(confidence: NDArray[np.float64]) -> NDArray[np.int64]:
    """Give the bin of each confidence; bin m has those in (m / BINS, (m + 1) / BINS].

    Examples
    --------
    >>> bin_of(np.array([0.0, 0.4, 1.0])).tolist()
    [0, 5, 14]
    """
    found: NDArray[np.int64] = np.ceil(confidence * BINS - 1e-9).astype(np.int64) - 1
    return np.clip(found, 0, BINS - 1)


def reliability(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Put images into bins by the confidence of their answer.

    Parameters
    ----------
    probabilities
        (N, classes).
    labels
        (N,).

    Returns
    -------
    counts
        (BINS,) int64, images of each bin.
    confidence, accuracy
        (BINS,) float64, their mean confidence and the share that is right; 0 in an empty bin.
    """
    confidence, right = confidence_and_right(probabilities, labels)
    bins = bin_of(confidence)
    counts = np.bincount(bins, minlength=BINS)
    at_least_one = np.maximum(counts, 1)
    return (
        counts,
        np.bincount(bins, confidence, BINS) / at_least_one,
        np.bincount(bins, right, BINS) / at_least_one,
    )


def confidence_and_right(
    probabilities: NDArray[np.float64], labels: NDArray[np.int64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Give each image's highest probability, and 1 where that is of its class, else 0."""
    right = (probabilities.argmax(axis=1) == labels).astype(np.float64)
    return probabilities.max(axis=1), right


def calibration_error(probabilities: NDArray[np.float64], labels: NDArray[np.int64]) -> float:
    """Give the expected calibration error (ECE): mean distance of confidence and accuracy.

    torchmetrics has one too, which puts a confidence of exactly 1 into a bin of its own; a network
    that is sure of itself gives many of those.

    Parameters
    ----------
    probabilities
        (N, classes).
    labels
        (N,).

    Returns
    -------
    float
        0..1.

    Examples
    --------
    >>> calibration_error(np.array([[0.9, 0.1], [0.9, 0.1]]), np.array([0, 1]))
    0.4
    """
    counts, confidence, accuracy = reliability(probabilities, labels)
    return float((counts * np.abs(confidence - accuracy)).sum() / len(labels))
