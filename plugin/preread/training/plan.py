"""How a network is fitted: the seed paper's way, and one that does better on small data."""

from __future__ import annotations

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from preread.training.errors import TrainingError


class Optimizer(StrEnum):
    """What moves the weights."""

    SGD = "sgd"
    """Plain stochastic gradient descent."""
    ADAMW = "adamw"
    """Loshchilov and Hutter, "Decoupled weight decay regularization", 2019."""


class Transfer(StrEnum):
    """Which layers are fitted: the two kinds of transfer learning."""

    FEATURE_EXTRACTION = "feature-extraction"
    """The last layer alone."""
    FINE_TUNING = "fine-tuning"
    """All layers."""


class Precision(StrEnum):
    """In which numbers the layers compute while they are fitted; weights stay in float32.

    float16 is not among them: its range is too small for gradients as they are.
    """

    FLOAT32 = "float32"
    BFLOAT16 = "bfloat16"


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is fitted.

    Attributes
    ----------
    epochs
        At most.
    patience
        Epochs without a lower log-loss on the validation part after which it stops; 0: never.
    batch_size, learning_rate, weight_decay
        Of the optimiser.
    optimizer
        With `Optimizer.SGD` the rate stays as it is; with `Optimizer.ADAMW` it rises over the
        first tenth of all steps and then falls along half a cosine.
    transfer
        Which layers are fitted.
    frozen
        How many blocks, counted from the image, stay as they are when all others are fitted; see
        `preread.training.network.blocks_of`. What they know of edges and textures is the same
        everywhere, and leaving it saves half the time.
    probing
        Whether fine-tuning begins with a fitted last layer; see `preread.training.probing`. For a
        network that starts from trained weights.
    refitting
        Whether the last layer is fitted anew to the features that the others ended with. For a
        network that starts from random weights: while its features move, its last layer lags
        behind them. The epoch is then the last one, since the layer of each epoch says little of
        its features.
    fixed_statistics
        Whether batch normalisation keeps the statistics that came with the weights, instead of
        taking each batch's own. For a network that starts from trained weights: with the batch's
        own it no longer computes what it had learnt.
    balanced
        Whether each class weighs the same in the loss, however many images it has.
    augmentation
        How much images are changed each time they are seen: 0 not at all, 1 as
        `preread.training.augmentation` says.
    smoothing
        Share of each label that is spread over all classes (Szegedy and others, 2016), 0..1.
    averaging
        Of the weights over the steps: decay of an exponential moving average, 0..1; 0 for none.
        The average is what is measured and kept.
    distillation
        Weight of a teacher's answers beside the labels', 0..1; without a teacher it does nothing.
    precision
        See `Precision`.
    seed
        Of initial weights, order, augmentation and dropout.

    Raises
    ------
    TrainingError
        If a number is out of its range.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    optimizer: Optimizer = Optimizer.ADAMW
    transfer: Transfer = Transfer.FINE_TUNING
    frozen: int = 0
    probing: bool = False
    refitting: bool = False
    fixed_statistics: bool = False
    balanced: bool = True
    augmentation: float = 1.0
    smoothing: float = 0.0
    averaging: float = 0.0
    distillation: float = 0.0
    precision: Precision = Precision.FLOAT32
    seed: int = 0

    def __post_init__(self) -> None:
        if (
            min(self.epochs, self.batch_size) < 1
            or min(self.patience, self.frozen) < 0
            or not 0 < self.learning_rate < math.inf
        ):
            raise TrainingError(
                "epochs and batch size must be 1 or more, patience and frozen blocks 0 or more, "
                "the learning rate above 0"
            )
        for name in ("smoothing", "averaging", "distillation"):
            if not 0 <= getattr(self, name) <= 1:
                raise TrainingError(f"{name} must be a number in 0..1")


@dataclass(frozen=True, slots=True)
class Preset:
    """A plan with the size and the split that belong to it."""

    plan: Plan
    size: int | None
    kind: str
    validation: float


PAPER: Final = Preset(
    Plan(
        epochs=100,
        patience=0,
        batch_size=25,
        learning_rate=0.01,
        weight_decay=0.0,
        optimizer=Optimizer.SGD,
        balanced=False,
        augmentation=0.0,
    ),
    size=None,
    kind="random",
    validation=0.0,
)
"""The seed paper's: 100 epochs, batches of 25, a rate of 0.01, 70/30, all epochs run. Its text
names no optimiser; plain gradient descent is what such a rate is for. Its figures are the best of
ten such runs. The size is each network's own (`NATIVE_SIZE`)."""

RECOMMENDED: Final = Preset(
    Plan(
        epochs=10,
        patience=0,
        batch_size=24,
        learning_rate=1e-4,
        weight_decay=0.05,
        probing=True,
        refitting=True,
        fixed_statistics=True,
        augmentation=0.1,
        smoothing=0.02,
        averaging=0.98,
        distillation=0.7,
    ),
    size=320,
    kind="grouped",
    validation=0.12,
)
"""For small sets and a network that starts from trained weights. Strong augmentation made it worse
on look-alike groups held out of the training part: what tells these slices apart is fine."""

PRESETS: Final = {"paper": PAPER, "recommended": RECOMMENDED}
