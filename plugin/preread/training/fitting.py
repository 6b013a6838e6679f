"""Fitting a network: a seeded loop that can be stopped anywhere and goes on where it was.

An epoch's order, augmentation and dropout depend on the seed and the epoch's number alone, so a
fit that was killed and resumed ends with the weights it would have had.
"""

from __future__ import annotations

import io
import time
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from preread.models.weights import write_atomically
from preread.training.augmentation import augment
from preread.training.errors import TrainingError
from preread.training.metrics import Figures, figures
from preread.training.normalisation import remeasure

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.training.folder import DataSet
    from preread.training.splits import Split

LARGEST_CHECKPOINT: Final = 4 * 1024**3
_EVALUATION_BATCH: Final = 32
_STATISTICS: Final = 384  # images that batch normalisation is measured on after each epoch


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is fitted.

    Attributes
    ----------
    epochs
        At most.
    patience
        Epochs without a lower log-loss on the validation part after which it stops.
    batch_size, learning_rate, weight_decay
        Of AdamW (Loshchilov and Hutter, 2019); the rate rises over the first epoch and then
        falls along half a cosine.
    balanced
        Whether each class weighs the same in the loss, however many images it has.
    augmented
        Whether images are changed a little each time they are seen.
    seed
        Of order, augmentation and dropout.
    """

    epochs: int
    patience: int
    batch_size: int
    learning_rate: float
    weight_decay: float
    balanced: bool
    augmented: bool
    seed: int

    def __post_init__(self) -> None:
        if min(self.epochs, self.patience, self.batch_size) < 1 or self.learning_rate <= 0:
            raise TrainingError(
                "epochs, patience and batch size must be 1 or more, the learning rate above 0"
            )


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; epochs count from 1."""

    epoch: int
    training_loss: float
    validation_loss: float
    validation_accuracy: float
    seconds: float


@dataclass(slots=True)
class Fitted:
    """What fitting came to; the network itself holds the best epoch's weights.

    Attributes
    ----------
    best_epoch
        The one with the lowest log-loss on the validation part.
    history
        One entry for each epoch that was run.
    """

    best_epoch: int
    history: tuple[Epoch, ...]


class Fitting:
    """The fit of one network on one split.

    Parameters
    ----------
    network
        In place; ends with the best epoch's weights, in evaluation mode.
    data, split
        The images and which are for what.
    black, white
        What the preprocessing makes of them.
    plan
        How.
    checkpoint
        Where the state after each epoch is kept.
    origin
        What tells this fit from another, such as a digest of data, split and plan: a checkpoint
        of another is refused.
    device
        Where it runs.

    Raises
    ------
    TrainingError
        If the checkpoint is of another fit, or broken.
    """

    def __init__(
        self,
        network: nn.Module,
        data: DataSet,
        split: Split,
        *,
        black: float,
        white: float,
        plan: Plan,
        checkpoint: Path,
        origin: str,
        device: torch.device,
    ) -> None:
        self._network = network.to(device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks device with memory_format
        self._data, self._split, self._plan = data, split, plan
        self._black, self._white = black, white
        self._checkpoint, self._origin, self._device = checkpoint, origin, device
        self._optimizer = torch.optim.AdamW(
            _groups(network, plan.weight_decay), lr=plan.learning_rate
        )
        self._weights = _class_weights(data, split, balanced=plan.balanced).to(device)
        self._history: list[Epoch] = []
        self._best: tuple[int, float, dict[str, Tensor]] = (0, float("inf"), {})
        self._resume()

    @property
    def done(self) -> int:
        """Epochs that are done."""
        return len(self._history)

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
        for epoch in range(len(self._history) + 1, self._plan.epochs + 1):
            if epoch - self._best[0] > self._plan.patience and self._best[0]:
                break
            started = time.monotonic()
            training_loss = self._train(epoch)
            found = self.measure(self._split.validation)
            if found.log_loss < self._best[1]:
                state = {k: v.detach().clone() for k, v in self._network.state_dict().items()}
                self._best = (epoch, found.log_loss, state)
            line = Epoch(
                epoch=epoch,
                training_loss=training_loss,
                validation_loss=found.log_loss,
                validation_accuracy=found.micro_accuracy,
                seconds=time.monotonic() - started,
            )
            self._history.append(line)
            self._keep()
            on_epoch(line)
        self._network.load_state_dict(self._best[2])
        self._network.eval()
        return Fitted(self._best[0], tuple(self._history))

    def measure(self, part: NDArray[np.int64]) -> Figures:
        """Measure the network as it is on some of the images."""
        labels = torch.from_numpy(self._data.labels[part])
        return figures(probabilities(self._network, self._data, part, self._device), labels)

    def _train(self, epoch: int) -> float:
        plan = self._plan
        torch.manual_seed(plan.seed * 100_003 + epoch)  # dropout
        random = torch.Generator().manual_seed(plan.seed * 100_003 + epoch)
        order = self._split.training[
            torch.randperm(len(self._split.training), generator=random).numpy()
        ]
        # Batch normalisation cannot use a last batch of one image.
        batches = [
            part
            for part in np.split(order, range(plan.batch_size, len(order), plan.batch_size))
            if len(part) > 1 or len(order) == 1
        ]
        self._network.train()
        total = 0.0
        for number, part in enumerate(batches):
            self._set_rate(epoch - 1 + number / len(batches))
            images = batch_of(self._data, part)
            if plan.augmented:
                images = augment(images, self._black, self._white, random)
            loss = functional.cross_entropy(
                self._network(_placed(images, self._device)),
                torch.from_numpy(self._data.labels[part]).to(self._device),
                weight=self._weights,
            )
            if not torch.isfinite(loss):
                raise TrainingError(
                    f"epoch {epoch}: the loss is not finite; lower the learning rate"
                )
            self._optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
            self._optimizer.step()
            total += float(loss.detach()) * len(part)
        # The running statistics lag behind weights that move fast, and are of augmented images;
        # what is measured and served has those of the weights as they now are (Wu and Johnson,
        # "Rethinking batch in BatchNorm", 2021).
        chosen = np.sort(order[:_STATISTICS])
        remeasure(
            self._network,
            (_placed(batch, self._device) for batch in batches_of(self._data, chosen, 32)),
        )
        return total / sum(map(len, batches))

    def _set_rate(self, progress: float) -> None:
        """Set the learning rate for a moment given in epochs: one of warming up, then a cosine."""
        plan = self._plan
        warm = min(1.0, 0.02 + progress)
        left = max(0.0, progress - 1) / max(1, plan.epochs - 1)
        rate = plan.learning_rate * warm * (0.01 + 0.99 * 0.5 * (1 + np.cos(np.pi * left)))
        for group in self._optimizer.param_groups:
            group["lr"] = float(rate)

    def _keep(self) -> None:
        buffer = io.BytesIO()
        torch.save(
            {
                "origin": self._origin,
                "network": self._network.state_dict(),
                "optimizer": self._optimizer.state_dict(),
                "history": [asdict(line) for line in self._history],
                "best": {
                    "epoch": self._best[0],
                    "loss": self._best[1],
                    "network": self._best[2],
                },
            },
            buffer,
        )
        write_atomically(self._checkpoint, buffer.getvalue())

    def _resume(self) -> None:
        if not self._checkpoint.exists():
            return
        name = self._checkpoint.name
        if self._checkpoint.stat().st_size > LARGEST_CHECKPOINT:
            raise TrainingError(f"{name}: too large for a checkpoint; remove it to start anew")
        try:
            # weights_only: tensors and plain containers, nothing that is run.
            kept: dict[str, Any] = torch.load(
                self._checkpoint, map_location=self._device, weights_only=True
            )
            if kept["origin"] != self._origin:
                raise _ForeignCheckpoint  # noqa: TRY301 - told from a broken one below
            self._network.load_state_dict(kept["network"])
            self._optimizer.load_state_dict(kept["optimizer"])
            self._history = [Epoch(**line) for line in kept["history"]]
            best = kept["best"]
            self._best = (best["epoch"], best["loss"], best["network"])
        except _ForeignCheckpoint:
            raise TrainingError(
                f"{name}: from other images, options or weights; remove it to start anew"
            ) from None
        except Exception as error:  # noqa: BLE001 - torch.load raises what it likes on a broken file
            raise TrainingError(
                f"{name}: a broken checkpoint ({type(error).__name__}); remove it to start anew"
            ) from None


class _ForeignCheckpoint(Exception):
    """The checkpoint is of another fit."""


def batch_of(data: DataSet, part: NDArray[np.int64]) -> Tensor:
    """Give images as one float32 tensor (N, 3, H, W)."""
    images = [torch.from_numpy(data.images[index]) for index in part]
    return torch.stack([image.expand(3, -1, -1) for image in images])


def batches_of(data: DataSet, part: NDArray[np.int64], size: int) -> Iterator[Tensor]:
    """Give images in batches of at most `size`, in order."""
    for start in range(0, len(part), size):
        yield batch_of(data, part[start : start + size])


@torch.inference_mode()
def probabilities(
    network: nn.Module, data: DataSet, part: NDArray[np.int64], device: torch.device
) -> Tensor:
    """Give the network's probabilities for some of the images, (N, classes), on the CPU."""
    network.eval()
    rows = [
        functional.softmax(network(_placed(batch, device)).float(), dim=1).cpu()
        for batch in batches_of(data, part, _EVALUATION_BATCH)
    ]
    return torch.cat(rows)


def _placed(batch: Tensor, device: torch.device) -> Tensor:
    return batch.to(device, memory_format=torch.channels_last)


def _groups(network: nn.Module, weight_decay: float) -> list[dict[str, Any]]:
    """Weights decay; biases, scales and shifts do not."""
    decaying = [p for p in network.parameters() if p.ndim > 1]
    others = [p for p in network.parameters() if p.ndim <= 1]
    return [
        {"params": decaying, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]


def _class_weights(data: DataSet, split: Split, *, balanced: bool) -> Tensor:
    counts = np.bincount(data.labels[split.training], minlength=len(data.classes))
    weights = counts.sum() / (len(counts) * counts) if balanced else np.ones(len(counts))
    return torch.tensor(weights, dtype=torch.float32)
