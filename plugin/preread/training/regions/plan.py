"""How a network that draws regions is fitted."""

from __future__ import annotations

import math
from dataclasses import dataclass

from preread.training.errors import TrainingError
from preread.training.plan import Precision


@dataclass(frozen=True, slots=True)
class RegionPlan:
    """The numbers of a fit.

    Attributes
    ----------
    epochs
        At most.
    patience
        Epochs without a lower loss on the validation part after which it stops; 0: never.
    samples
        Slices that make an epoch; 0 for as many as the training part has.
    batch_size, learning_rate, weight_decay
        Of AdamW; the rate rises over the first tenth of all steps and falls along half a cosine.
    lesions
        Share of an epoch's slices that show a lesion, 0..1; those with and those without are
        drawn anew each time.
    plain
        Slices without a lesion that are read for each with one.
    validation
        Share of the patients that choose the epoch, and are not trained on; 0: none.
    augmentation
        How much slices are changed each time they are seen, see `preread.training.augmentation`.
    precision
        Numbers that the layers compute in.
    seed
        Of initial weights, division, order, augmentation and dropout.

    Raises
    ------
    TrainingError
        If a number is out of its range.
    """

    epochs: int = 40
    patience: int = 10
    samples: int = 0
    batch_size: int = 8
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    lesions: float = 0.6
    plain: float = 1.0
    validation: float = 0.15
    augmentation: float = 1.0
    precision: Precision = Precision.FLOAT32
    seed: int = 0

    def __post_init__(self) -> None:
        if min(self.epochs, self.batch_size) < 1 or min(self.patience, self.samples) < 0:
            raise TrainingError(
                "epochs and batch size must be 1 or more, patience and samples 0 or more"
            )
        if not 0 < self.learning_rate < math.inf or not 0 <= self.weight_decay < math.inf:
            raise TrainingError("the learning rate must be above 0, weight decay 0 or more")
        if not 0 < self.lesions <= 1 or not 0 <= self.validation < 1:
            raise TrainingError("lesions must be above 0 and at most 1, validation in 0..1")
        if not 0 <= self.plain < math.inf or not 0 <= self.augmentation <= 3:
            raise TrainingError("plain must be 0 or more, augmentation 0 to 3")
