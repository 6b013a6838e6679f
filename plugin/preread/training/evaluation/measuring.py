"""From probabilities and true classes to all figures of one model or ensemble."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torchmetrics.functional.classification import binary_roc

from preread.training.evaluation.bootstrap import intervals
from preread.training.evaluation.document import (
    Average,
    ClassFigures,
    Figures,
    Mistake,
    ReliabilityBin,
)
from preread.training.evaluation.reliability import (
    calibration_error,
    confidence_and_right,
    reliability,
)
from preread.training.metrics import areas, figures

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.training.metrics import Figures as Measured

_POINTS: Final = 100  # of a curve that are kept
_MISTAKES: Final = 12
_DIGITS: Final = 6


def measure(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    classes: Sequence[str],
    digests: Sequence[str],
    draws: int,
    seed: int,
    novel: NDArray[np.bool_] | None = None,
) -> Figures:
    """Measure.

    Parameters
    ----------
    probabilities
        (N, classes), each row of sum 1; N is 1 or more.
    labels, groups
        (N,): the true class, and the group that intervals draw the image with.
    classes
        Names, in the order of the probabilities.
    digests
        SHA-256 of each image's pixels.
    draws, seed
        Of the bootstrap; see `preread.training.evaluation.bootstrap.intervals`.
    novel
        (N,): whether the image is unlike the training data.
    """
    rows, true = torch.from_numpy(probabilities), torch.from_numpy(labels)
    found, curves = figures(rows, true), areas(rows, true)
    named = _classes(found, curves, rows, true, classes)
    known = [area for area in curves if area is not None]
    counts, confidence, accuracy = reliability(probabilities, labels)
    bounds = intervals(probabilities, labels, groups, classes=classes, draws=draws, seed=seed)
    return Figures(
        Images=len(labels),
        Groups=len(np.unique(groups)),
        MicroAccuracy=_rounded(found.micro_accuracy),
        MacroAccuracy=_rounded(found.macro_accuracy),
        LogLoss=_rounded(found.log_loss),
        LogLossReduction=_rounded(found.log_loss_reduction),
        ROCAUC=_rounded(sum(known) / len(known)) if known else None,
        ECE=_rounded(calibration_error(probabilities, labels)),
        Classes=named,
        Macro=_average(named, dict.fromkeys(named, 1)),
        Weighted=_average(named, {name: one.Images for name, one in named.items()}),
        ConfusionMatrix=found.confusion,
        Reliability=tuple(
            ReliabilityBin(Images=int(count), Confidence=_rounded(sure), Accuracy=_rounded(right))
            for count, sure, right in zip(counts, confidence, accuracy, strict=True)
        ),
        Intervals={name: (_rounded(low), _rounded(high)) for name, (low, high) in bounds.items()},
        OutOfDistribution=None if novel is None else _rounded(novel.mean()),
        Mistakes=_mistakes(probabilities, labels, classes, digests),
    )


def _classes(
    found: Measured,
    curves: Sequence[float | None],
    rows: torch.Tensor,
    true: torch.Tensor,
    classes: Sequence[str],
) -> dict[str, ClassFigures]:
    matrix = np.array(found.confusion)
    return {
        name: ClassFigures(
            Images=int(matrix[label].sum()),
            Answered=int(matrix[:, label].sum()),
            Recall=_known(found.recall[label]),
            Precision=_known(found.precision[label]),
            F1=_known(found.f1[label]),
            LogLoss=_known(found.class_log_loss[label]),
            ROCAUC=_known(curves[label]),
            ROC=() if curves[label] is None else _curve(rows[:, label], true == label),
        )
        for label, name in enumerate(classes)
    }


def _curve(scores: torch.Tensor, positive: torch.Tensor) -> tuple[tuple[float, float], ...]:
    """Give the receiver's curve by its corners, at most `_POINTS` of them."""
    false, true, _ = binary_roc(scores.clamp(0, 1), positive.long())
    points = np.stack([false.numpy(), true.numpy()], axis=1).astype(np.float64)
    steps = np.diff(points, axis=0)
    turns = steps[:-1, 0] * steps[1:, 1] - steps[:-1, 1] * steps[1:, 0]
    points = points[np.concatenate([[True], np.abs(turns) > 1e-12, [True]])]
    if len(points) > _POINTS:
        points = points[np.linspace(0, len(points) - 1, _POINTS).round().astype(int)]
    return tuple((round(float(x), 4), round(float(y), 4)) for x, y in points)


def _average(classes: dict[str, ClassFigures], weights: dict[str, int]) -> Average:
    means: dict[str, float | None] = {}
    for figure in ("Recall", "Precision", "F1"):
        known = {
            name: getattr(found, figure)
            for name, found in classes.items()
            if getattr(found, figure) is not None
        }
        total = sum(weights[name] for name in known)
        mean = sum(weights[name] * value for name, value in known.items()) / max(total, 1)
        means[figure] = _rounded(mean) if total else None
    return Average(**means)


def _mistakes(
    probabilities: NDArray[np.float64],
    labels: NDArray[np.int64],
    classes: Sequence[str],
    digests: Sequence[str],
) -> tuple[Mistake, ...]:
    confidence, right = confidence_and_right(probabilities, labels)
    answers = probabilities.argmax(axis=1)
    wrong = [index for index in np.argsort(-confidence, kind="stable") if not right[index]]
    told: dict[str, Mistake] = {}
    for index in wrong:
        facts: dict[str, Any] = {
            "SHA256": digests[index],
            "True": classes[labels[index]],
            "Answered": classes[answers[index]],
            "Probability": _rounded(confidence[index]),
        }
        told.setdefault(digests[index], Mistake(**facts))
    return tuple(told.values())[:_MISTAKES]


def _rounded(value: float) -> float:
    return round(float(value), _DIGITS)


def _known(value: float | None) -> float | None:
    return None if value is None else _rounded(value)
