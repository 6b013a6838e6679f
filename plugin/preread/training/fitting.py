"""Fitting a network: a seeded loop that can be stopped anywhere and goes on where it was.

An epoch's order, augmentation and dropout depend on the seed and the epoch's number alone, so a
fit that was killed and resumed ends with the weights it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import torch
from torch import Tensor, nn

from preread.training.augmentation import augment
from preread.training.loop import EpochLoop, Places
from preread.training.measuring import (
    Measured,
    batch_of,
    batches_of,
    features_of,
    labels_of,
    logits_of,
    logits_of_features,
    measure,
)
from preread.training.network import blocks_of, placed
from preread.training.normalisation import keep_statistics, remeasure
from preread.training.objective import Objective
from preread.training.optimizing import average_of, optimizer_of, set_rate
from preread.training.plan import Precision, Transfer
from preread.training.probing import fit_last_layer

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet
    from preread.training.network import Network
    from preread.training.plan import Plan
    from preread.training.splits import Split
    from preread.training.teacher import Lessons

_STATISTICS: Final = 384  # images that batch normalisation is measured on after each epoch
_BESIDES: Final = 0.3  # of the augmentation, where a teacher's views are augmented already


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; epochs count from 1.

    Attributes
    ----------
    validation_loss, validation_accuracy
        Mean over the sets; None without a validation part.
    """

    epoch: int
    training_loss: float
    validation_loss: float | None
    validation_accuracy: float | None
    seconds: float


@dataclass(slots=True)
class Fitted:
    """What fitting came to; the network itself holds the weights of `best_epoch`.

    Attributes
    ----------
    best_epoch
        The one with the lowest log-loss on the validation part; the last without one, and where
        the last layer was fitted anew.
    history
        One entry for each epoch that was run.
    """

    best_epoch: int
    history: tuple[Epoch, ...]


class Fitting(EpochLoop[Epoch]):
    """The fit of one network on one split.

    Parameters
    ----------
    network
        In place; ends with the best epoch's weights, in evaluation mode.
    data, split
        The images and which are for what.
    levels
        What the preprocessing makes of black and white.
    plan
        How.
    places
        Where.
    lessons
        A teacher's views of the training part, in its order, if there is a teacher.

    Raises
    ------
    TrainingError
        If the checkpoint is of another fit, or broken.
    """

    def __init__(
        self,
        network: Network,
        data: DataSet,
        split: Split,
        *,
        levels: tuple[float, float],
        plan: Plan,
        places: Places,
        lessons: Lessons | None = None,
    ) -> None:
        super().__init__(plan, places, Epoch)
        self._network: Network = network.to(places.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks device with memory_format
        self._data, self._split, self._plan = data, split, plan
        self._levels, self._lessons = levels, lessons
        self._labels = labels_of(data)
        self._objective = Objective(
            data.sets,
            split.training,
            balanced=plan.balanced,
            smoothing=plan.smoothing,
            distillation=plan.distillation,
        ).to(places.device)
        self._bridge = _bridge(network, lessons).to(places.device)
        self._optimizer = optimizer_of(nn.ModuleList([network, self._bridge]), plan)
        self._average = average_of(network, plan)
        self._features: Tensor | None = None
        self._resume()
        if plan.probing and not self.history:
            fit_last_layer(network, data, split.training, self._objective, places.device)
            if self._average is not None:
                self._average = average_of(network, plan)

    @property
    def done(self) -> int:
        """Epochs that are done."""
        return len(self.history)

    def run(self, on_epoch: Callable[[Epoch], None] = lambda _epoch: None) -> Fitted:
        """Fit, on from the last checkpoint if there was one.

        Parameters
        ----------
        on_epoch
            Called after each epoch that is run here.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        self._freeze()
        best = self._run(on_epoch)
        if self._plan.refitting:
            best = len(self.history)
            self._refit()
        else:
            self._network.load_state_dict(self._best[2])
        self._network.eval()
        return Fitted(best, tuple(self.history))

    def measure(self, part: NDArray[np.int64]) -> Measured:
        """Measure the network as it is on some of the images."""
        logits = logits_of(self._network, self._data, part, self._places.device)
        return measure(logits, self._data, part)

    def _refit(self) -> None:
        """Fit the last layer to the features of the last epoch."""
        self._network.load_state_dict(self._kept().state_dict())
        part, device = self._split.training, self._places.device
        fit_last_layer(self._network, self._data, part, self._objective, device)

    def _freeze(self) -> None:
        """Keep the layers that do not learn; for feature extraction take the features once."""
        for block in blocks_of(self._network.backbone)[: self._plan.frozen]:
            block.requires_grad_(requires_grad=False)
        if self._plan.transfer is not Transfer.FEATURE_EXTRACTION:
            return
        self._network.backbone.requires_grad_(requires_grad=False)
        if self._plan.augmentation == 0 and self._lessons is None:
            everything = np.arange(len(self._data), dtype=np.int64)
            self._features = features_of(
                self._network.backbone, self._data, everything, self._places.device
            )

    def _kept(self) -> Network:
        """Give the network that is measured and kept: the average, where there is one."""
        if self._average is None:
            return self._network
        return cast("Network", self._average.module)

    def _validate(self) -> tuple[float | None, float | None]:
        part, kept = self._split.validation, self._kept()
        if not len(part):
            return None, None
        if self._features is not None:
            logits = logits_of_features(kept.head, self._features[torch.from_numpy(part)])
        else:
            logits = logits_of(kept, self._data, part, self._places.device)
        found = measure(logits, self._data, part)
        return found.log_loss, found.accuracy

    def _train(self, epoch: int) -> float:
        plan = self._plan
        random = torch.Generator().manual_seed(self._seed(epoch))
        order = torch.randperm(len(self._split.training), generator=random)
        # Batch normalisation cannot use a last batch of one image.
        batches = [
            rows for rows in torch.split(order, plan.batch_size) if len(rows) > 1 or len(order) == 1
        ]
        self._network.train()
        if plan.transfer is Transfer.FEATURE_EXTRACTION:
            self._network.backbone.eval()
        for block in blocks_of(self._network.backbone)[: plan.frozen]:
            block.eval()
        if plan.fixed_statistics:
            keep_statistics(self._network.backbone)
        total = 0.0
        for number, rows in enumerate(batches):
            set_rate(self._optimizer, plan, epoch - 1 + number / len(batches))
            total += self._step(epoch, self._loss(rows, random)) * len(rows)
            if self._average is not None:
                self._average.update_parameters(self._network)
        self._remeasure(order)
        return total / sum(map(len, batches))

    def _loss(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """Give the loss of a batch; `rows` count within the training part."""
        device = self._places.device
        part = torch.from_numpy(self._split.training)[rows]
        labels = self._labels[part].to(device)
        if self._features is not None:
            return self._objective.labelled(self._network.head(self._features[part]), labels)
        images, taught = self._images(rows, part, random)
        with torch.autocast(
            device.type, torch.bfloat16, enabled=self._plan.precision is Precision.BFLOAT16
        ):
            features = self._network.backbone(placed(images.expand(-1, 3, -1, -1), device))
            logits = self._network.head(features).float()
        if taught is None:
            return self._objective.labelled(logits, labels)
        answers = taught[0].to(device), taught[1].to(device)
        return self._objective.taught(logits, labels, self._bridge(features.float()), answers)

    def _images(
        self, rows: Tensor, part: Tensor, random: torch.Generator
    ) -> tuple[Tensor, tuple[Tensor, Tensor] | None]:
        """Give a batch as it is seen now and, with a teacher, what the teacher said of it."""
        strength, taught = self._plan.augmentation, None
        if self._lessons is None:
            images = batch_of(self._data, part.numpy())
        else:
            images, told, shown = self._lessons.draw(rows, *self._levels, random)
            # The views were changed before the teacher saw them; this is only so that they are
            # not the very same each time.
            strength, taught = strength * _BESIDES, (told, shown)
        if strength:
            images = augment(images, *self._levels, random, strength)
        return images, taught

    def _remeasure(self, order: Tensor) -> None:
        """Give batch normalisation the statistics that the weights as they are now lead to.

        The running statistics lag behind weights that move fast, are of augmented images, and are
        not averaged; see Wu and Johnson, "Rethinking batch in BatchNorm", 2021.
        """
        if self._plan.transfer is Transfer.FEATURE_EXTRACTION or self._plan.fixed_statistics:
            return
        chosen = np.sort(self._split.training[order[:_STATISTICS].numpy()])
        backbone = self._kept().backbone
        remeasure(
            backbone,
            (placed(batch, self._places.device) for batch in batches_of(self._data, chosen, 32)),
            blocks_of(backbone)[: self._plan.frozen],
        )

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self._network,
            "bridge": self._bridge,
            "average": self._average,
            "optimizer": self._optimizer,
        }


def _bridge(network: Network, lessons: Lessons | None) -> nn.Module:
    """Make what brings the student's features to the width of the teacher's; it is not kept."""
    if lessons is None:
        return nn.Identity()
    return nn.Linear(network.head.in_features, lessons.width)
