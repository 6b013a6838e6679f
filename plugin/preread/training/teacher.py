"""A trained network whose answers another one learns from, besides the labels.

The teacher looks at changed views of the training images, and the student at the same views: a
student that agrees with its teacher on many views of few images learns more than the labels tell
(Beyer and others, "Knowledge distillation: a good teacher is patient and consistent", 2022). The
views are made once, since a teacher that looks anew at every step would cost more than the student.

A teacher has seen its training part. Only one that was trained on the same split is taken, and so
it has seen nothing that its student is measured on.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from preread.models.card import CARD, ModelCard, read_card
from preread.models.card_facts import TeacherFacts
from preread.models.loading import load_backbone, read_own
from preread.models.model import Model
from preread.training.augmentation import augment
from preread.training.errors import TrainingError
from preread.training.network import placed

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from preread.training.data_set import DataSet, LabelSet

VIEWS: Final = 8
"""How many views of each training image there are."""
_BATCH: Final = 24
_LEVELS: Final = 255


@dataclass(frozen=True, slots=True, eq=False)
class Teacher:
    """A backbone and, row by row for the classes of all sets, its last layer.

    Attributes
    ----------
    card
        Of the model of the first set.
    facts
        For the student's card.
    """

    card: ModelCard
    facts: TeacherFacts
    backbone: nn.Module
    weight: Tensor
    bias: Tensor


def model_folders(prefix: Path, sets: Sequence[LabelSet]) -> tuple[Path, ...]:
    """Tell where the models of all sets lie: ``NAME``, or ``NAME-SET`` for several sets."""
    if len(sets) == 1:
        return (prefix,)
    return tuple(prefix.with_name(f"{prefix.name}-{one.name}") for one in sets)


def trained_model(
    prefix: Path, sets: Sequence[LabelSet], split_sha256: str, what: str
) -> tuple[Model, ...]:
    """Find a trained network that may take part in training another.

    Parameters
    ----------
    prefix
        As `preread train --output` had it.
    sets
        Of the data.
    split_sha256
        Of the split that the other is trained on.
    what
        The option, for errors.

    Returns
    -------
    tuple of Model
        One for each set.

    Raises
    ------
    TrainingError
        If a card has other classes, or its model was trained on another split.
    preread.models.card.InvalidModelError
        If a card cannot be used.
    """
    models = []
    for folder, one in zip(model_folders(prefix, sets), sets, strict=True):
        card = read_card(folder)
        name = f"{what} {folder.name}/{CARD}"
        if card.Classes != one.classes:
            raise TrainingError(f"{name}: Classes: expected those of the data, {one.classes}")
        if card.Training.SplitSHA256 != split_sha256:
            raise TrainingError(
                f"{name}: Training.SplitSHA256: it was trained on another split and may have seen "
                "what this network is measured on; train it on the same split"
            )
        models.append(Model(folder.name, card, folder))
    return tuple(models)


def facts_of(models: Sequence[Model], split_sha256: str) -> TeacherFacts:
    """Say on a card which trained network took part."""
    return TeacherFacts(
        Name=models[0].name,
        WeightsSHA256=models[0].backbone_sha256,
        SplitSHA256=split_sha256,
    )


def load_teacher(models: Sequence[Model], split_sha256: str, device: torch.device) -> Teacher:
    """Load a network to learn from; see `trained_model`."""
    rows: list[tuple[Tensor, Tensor]] = []
    for model in models:
        head = read_own(model).head
        weight, bias = (
            torch.from_numpy(head[name].astype(np.float32)) for name in sorted(head, reverse=True)
        )
        rows.append((weight.flatten(1), bias))
    return Teacher(
        card=models[0].card,
        facts=facts_of(models, split_sha256),
        backbone=load_backbone(models[0]).to(device, memory_format=torch.channels_last),  # type: ignore[call-overload]  # torch's stub lacks device with memory_format
        weight=torch.cat([weight for weight, _ in rows]).to(device),
        bias=torch.cat([bias for _, bias in rows]).to(device),
    )


class Lessons:
    """Views of the training images at the student's size, with the teacher's answers.

    Attributes
    ----------
    views
        uint8 (N, views, H, W): level between black and white. Colour is not kept: the images of
        these sets are grey.
    logits, features
        float32 (N, views, ...), the features with mean 0 and variance 1 over all views.
    """

    def __init__(self, views: Tensor, logits: Tensor, features: Tensor) -> None:
        self.views, self.logits, self.features = views, logits, features

    @property
    def width(self) -> int:
        """Number of the teacher's features."""
        return int(self.features.shape[-1])

    def draw(
        self, rows: Tensor, black: float, white: float, random: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Take one view of each of some images: images (n, 3, H, W), logits and features."""
        which = torch.randint(self.views.shape[1], (len(rows),), generator=random)
        level = self.views[rows, which].float() / _LEVELS
        images = (level * (white - black) + black).unsqueeze(1).expand(-1, 3, -1, -1)
        return images, self.logits[rows, which], self.features[rows, which]


@torch.inference_mode()
def lessons(
    teacher: Teacher,
    data: DataSet,
    training: NDArray[np.int64],
    *,
    size: tuple[int, int],
    levels: tuple[float, float],
    strength: float,
    seed: int,
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> Lessons:
    """Have a teacher look at views of the training images.

    Parameters
    ----------
    teacher
        Whom.
    data
        The images at the teacher's size.
    training
        Indices of those that are fitted on; no other image is looked at.
    size
        The student's, in pixels.
    levels
        What the preprocessing makes of black and white; the same for both.
    strength
        Of the augmentation.
    seed
        Of the views.
    progress
        Called with images done and images in all.
    """
    black, white = levels
    device = teacher.weight.device
    random = torch.Generator().manual_seed(seed)
    kept: list[Any] = [[], [], []]
    for start in range(0, len(training), _BATCH):
        part = training[start : start + _BATCH]
        images = torch.stack([torch.from_numpy(data.images[index][:1]) for index in part])
        views = [augment(images, black, white, random, strength) for _ in range(VIEWS)]
        stacked = torch.stack(views, dim=1).flatten(0, 1)
        features = torch.cat(
            [
                teacher.backbone(placed(batch.expand(-1, 3, -1, -1), device)).float()
                for batch in torch.split(stacked, _BATCH)
            ]
        )
        small = functional.interpolate(stacked, size, mode="bilinear", antialias=True)
        grey = ((small - black) / (white - black)).clamp(0, 1) * _LEVELS
        shape = (len(part), VIEWS)
        logits = features @ teacher.weight.T + teacher.bias
        kept[0].append(grey.round().to(torch.uint8).reshape(*shape, *size))
        kept[1].append(logits.cpu().reshape(*shape, -1))
        kept[2].append(features.cpu().reshape(*shape, -1))
        progress(start + len(part), len(training))
    shown, told, seen = (torch.cat(rows) for rows in kept)
    deviation, mean = torch.std_mean(seen, dim=(0, 1))
    # A feature that never changes tells nothing; dividing by its deviation would make it noise.
    alive = deviation > 1e-3 * deviation.mean()
    centred = torch.where(alive, (seen - mean) / deviation.clamp(min=1e-12), 0.0)
    return Lessons(shown, told, centred)
