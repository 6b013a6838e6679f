"""The figures of a card, from probabilities and true classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torchmetrics.functional.classification import (
    binary_auroc,
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_f1_score,
    multiclass_precision,
    multiclass_recall,
)

LEAST: Final = 1e-15
"""A probability of 0 for the true class, which would make the log-loss infinite, counts as this."""


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on some images.

    Attributes
    ----------
    micro_accuracy, macro_accuracy
        Share of images that are right, and mean of the recalls of the classes that have images;
        0..1.
    log_loss
        Mean cross-entropy in nats.
    log_loss_reduction
        1 - log_loss / the log-loss of always answering these images' class frequencies (as in
        ML.NET); 1 is perfect, 0 no better than that, and given where there is one class alone.
    recall, precision, f1
        Of each class; None where it has no image, was never answered, or neither.
    class_log_loss
        Mean cross-entropy of each class's images; None where it has none.
    confusion
        Rows true, columns predicted.
    """

    micro_accuracy: float
    macro_accuracy: float
    log_loss: float
    log_loss_reduction: float
    recall: tuple[float | None, ...]
    precision: tuple[float | None, ...]
    f1: tuple[float | None, ...]
    class_log_loss: tuple[float | None, ...]
    confusion: tuple[tuple[int, ...], ...]


def figures(probabilities: Tensor, labels: Tensor) -> Figures:
    """Measure.

    Parameters
    ----------
    probabilities
        (N, classes), each row of sum 1.
    labels
        (N,) int64.

    Examples
    --------
    >>> import torch
    >>> found = figures(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
    >>> found.confusion, round(found.micro_accuracy, 4), found.recall
    (((1, 0), (1, 1)), 0.6667, (1.0, 0.5))
    """
    classes = probabilities.shape[1]
    rows = _within(probabilities)
    confusion = multiclass_confusion_matrix(rows, labels, classes)
    true, answered = confusion.sum(dim=1), confusion.sum(dim=0)
    recall = _where(multiclass_recall(rows, labels, classes, average="none"), true)
    losses = -rows.gather(1, labels.unsqueeze(1)).clamp(min=LEAST).log().squeeze(1)
    log_loss = float(losses.mean())
    shares = [float(count) / len(labels) for count in true]
    blind = -sum(share * math.log(share) for share in shares if share > 0)
    known = [value for value in recall if value is not None]
    return Figures(
        micro_accuracy=float(multiclass_accuracy(rows, labels, classes, average="micro")),
        # torchmetrics counts a class without images, once it is answered, as a recall of 0.
        macro_accuracy=sum(known) / len(known),
        log_loss=log_loss,
        log_loss_reduction=1 - log_loss / blind if blind > 0 else 0.0,
        recall=recall,
        precision=_where(multiclass_precision(rows, labels, classes, average="none"), answered),
        f1=_where(multiclass_f1_score(rows, labels, classes, average="none"), true + answered),
        class_log_loss=tuple(
            float(losses[labels == label].mean()) if true[label] > 0 else None
            for label in range(classes)
        ),
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion),
    )


def areas(probabilities: Tensor, labels: Tensor) -> tuple[float | None, ...]:
    """Give the area under the receiver's curve of each class against the others.

    Parameters
    ----------
    probabilities
        (N, classes).
    labels
        (N,) int64.

    Returns
    -------
    tuple of float
        0..1; None where all images or none are of the class.

    Examples
    --------
    >>> import torch
    >>> areas(torch.tensor([[0.9, 0.1], [0.2, 0.8], [0.6, 0.4]]), torch.tensor([0, 1, 1]))
    (1.0, 1.0)
    """
    rows = _within(probabilities)
    return tuple(
        float(binary_auroc(rows[:, label], (labels == label).long()))
        if 0 < int((labels == label).sum()) < len(labels)
        else None
        for label in range(rows.shape[1])
    )


def _within(probabilities: Tensor) -> Tensor:
    """Bring what rounding left outside 0..1 back: torchmetrics would take it for logits."""
    return probabilities.double().clamp(0, 1)


def _where(values: Tensor, counts: Tensor) -> tuple[float | None, ...]:
    return tuple(
        float(value) if count > 0 else None for value, count in zip(values, counts, strict=True)
    )
