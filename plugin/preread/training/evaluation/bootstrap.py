"""Intervals by the bootstrap (Efron, 1979): the test images drawn again and again.

Slices that look alike are not independent: a network that is wrong on one is likely wrong on the
next. Whole groups are drawn, as Field and Welsh, "Bootstrapping clustered data", 2007, have it,
so that the interval is as wide as it should be.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from preread.training.evaluation.reliability import BINS, bin_of, confidence_and_right
from preread.training.metrics import LEAST

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

LEVEL: Final = 0.95
_MOST_CELLS: Final = 4_000_000  # of draws times images that are held at a time


def intervals(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    classes: Sequence[str],
    draws: int,
    seed: int,
) -> dict[str, tuple[float, float]]:
    """Give the 95 % percentile interval of each figure.

    Parameters
    ----------
    probabilities
        (N, classes), each row of sum 1.
    labels, groups
        (N,). Images of one group are drawn together.
    classes
        Names, for the intervals of their recalls.
    draws
        How often the groups are drawn, with replacement; 0 gives no interval.
    seed
        Of the draws.

    Returns
    -------
    dict
        Lower and upper bound by the name of the figure: ``MicroAccuracy``, ``MacroAccuracy``,
        ``LogLoss``, ``LogLossReduction``, ``ROCAUC``, ``ECE`` and ``Recall.`` with each class. A
        draw without an image of a class leaves that class out of what it enters. A figure is
        absent where fewer than half of the draws have it, and all are with fewer than two groups.
    """
    numbered = np.unique(groups, return_inverse=True)[1]
    count = int(numbered.max()) + 1
    if draws < 1 or count < 2:
        return {}
    parts = [
        _figures(weights, probabilities, labels, classes)
        for weights in _drawn(numbered, count, draws, np.random.default_rng(seed))
    ]
    found: dict[str, tuple[float, float]] = {}
    for name in parts[0]:
        values = np.concatenate([part[name] for part in parts])
        known = values[np.isfinite(values)]
        if 2 * len(known) >= draws:
            low, high = np.quantile(known, ((1 - LEVEL) / 2, (1 + LEVEL) / 2))
            found[name] = (float(low), float(high))
    return found


def _drawn(
    groups: NDArray[np.int64], count: int, draws: int, random: np.random.Generator
) -> Iterator[NDArray[np.float64]]:
    """Give how often each image is in each draw, (draws, N), some draws at a time."""
    step = max(1, _MOST_CELLS // len(groups))
    for start in range(0, draws, step):
        many = min(step, draws - start)
        times = random.multinomial(count, np.full(count, 1 / count), size=many)
        yield times[:, groups].astype(np.float64)


def _figures(
    weights: NDArray[np.float64],
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
) -> dict[str, NDArray[np.float64]]:
    """Measure each draw; what a draw cannot tell is NaN."""
    total = weights.sum(axis=1)
    confidence, right = confidence_and_right(probabilities, labels)
    losses = -np.log(np.maximum(probabilities[np.arange(len(labels)), labels], LEAST))
    is_class = np.eye(probabilities.shape[1])[labels]
    counts = weights @ is_class
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = counts / total[:, np.newaxis]
        blind = -(shares * np.log(np.where(shares > 0, shares, 1.0))).sum(axis=1)
        recalls = (weights @ (is_class * right[:, np.newaxis])) / counts
        log_loss = weights @ losses / total
        reduction = np.where(blind > 0, 1 - log_loss / blind, np.nan)
    bins = np.eye(BINS)[bin_of(confidence)]
    gaps = weights @ (bins * (confidence - right)[:, np.newaxis])
    found: dict[str, NDArray[np.float64]] = {
        "MicroAccuracy": weights @ right / total,
        "MacroAccuracy": _mean_of_known(recalls),
        "LogLoss": log_loss,
        "LogLossReduction": reduction,
        "ROCAUC": _mean_of_known(
            np.stack(
                [
                    _areas(weights, probabilities[:, label], labels == label)
                    for label in range(probabilities.shape[1])
                ],
                axis=1,
            )
        ),
        "ECE": np.abs(gaps).sum(axis=1) / total,
    }
    for label, name in enumerate(classes):
        found[f"Recall.{name}"] = recalls[:, label]
    return found


def _mean_of_known(columns: NDArray[np.float64]) -> NDArray[np.float64]:
    known = np.isfinite(columns)
    count = known.sum(axis=1)
    total = np.where(known, columns, 0.0).sum(axis=1)
    mean: NDArray[np.float64] = np.where(count > 0, total / np.maximum(count, 1), np.nan)
    return mean


def _areas(
    weights: NDArray[np.float64], scores: NDArray[np.float64], positive: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Give the area under the receiver's curve of each draw: Mann and Whitney's U, ties half."""
    order = np.argsort(scores, kind="stable")
    starts = np.flatnonzero(np.diff(scores[order], prepend=-np.inf))
    above = np.add.reduceat(weights[:, order] * positive[order], starts, axis=1)
    below = np.add.reduceat(weights[:, order] * ~positive[order], starts, axis=1)
    won = (above * (np.cumsum(below, axis=1) - below / 2)).sum(axis=1)
    with np.errstate(divide="ignore", invalid="ignore"):
        areas: NDArray[np.float64] = won / (above.sum(axis=1) * below.sum(axis=1))
    return areas
