"""The figures of a card, from probabilities and true classes."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

from torch import Tensor
from torchmetrics.functional.classification import (
    multiclass_accuracy,
    multiclass_confusion_matrix,
    multiclass_precision,
    multiclass_recall,
)

_LEAST: Final = 1e-15  # a probability of 0 for the true class would make the log-loss infinite


@dataclass(frozen=True, slots=True)
class Figures:
    """What was measured on some images.

    Attributes
    ----------
    micro_accuracy, macro_accuracy
        Share of images that are right, and mean of the classes' recalls; 0..1.
    log_loss
        Mean cross-entropy in nats.
    log_loss_reduction
        1 - log_loss / the log-loss of always answering these images' class frequencies (as in
        ML.NET); 1 is perfect, 0 no better than that.
    recall, precision
        Of each class; None where it has no image or was never answered.
    confusion
        Rows true, columns predicted.
    """

    micro_accuracy: float
    macro_accuracy: float
    log_loss: float
    log_loss_reduction: float
    recall: tuple[float | None, ...]
    precision: tuple[float | None, ...]
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
    confusion = multiclass_confusion_matrix(probabilities, labels, classes)
    recall = multiclass_recall(probabilities, labels, classes, average="none")
    precision = multiclass_precision(probabilities, labels, classes, average="none")
    true = probabilities.double().gather(1, labels.unsqueeze(1)).clamp(min=_LEAST)
    log_loss = float(-true.log().mean())
    shares = [float(count) / len(labels) for count in confusion.sum(dim=1)]
    blind = -sum(share * math.log(share) for share in shares if share > 0)
    return Figures(
        micro_accuracy=float(multiclass_accuracy(probabilities, labels, classes, average="micro")),
        macro_accuracy=float(multiclass_accuracy(probabilities, labels, classes, average="macro")),
        log_loss=log_loss,
        log_loss_reduction=1 - log_loss / blind if blind > 0 else 0.0,
        recall=_where(recall, confusion.sum(dim=1)),
        precision=_where(precision, confusion.sum(dim=0)),
        confusion=tuple(tuple(int(cell) for cell in row) for row in confusion),
    )


def _where(values: Tensor, counts: Tensor) -> tuple[float | None, ...]:
    return tuple(
        float(value) if count > 0 else None for value, count in zip(values, counts, strict=True)
    )
