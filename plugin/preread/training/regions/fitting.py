"""Fitting a network that draws regions: a seeded loop that goes on where it was stopped.

The slices of an epoch, their order and augmentation, and dropout depend on the seed and the
epoch's number alone, so a fit that was killed and resumed ends with the weights it would have had.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from preread.training.augmentation import draw_places, lit, moved
from preread.training.errors import TrainingError
from preread.training.loop import EpochLoop
from preread.training.plan import Precision
from preread.training.regions.objective import as_logits, region_loss

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from preread.iodeep.architecture import Architecture
    from preread.training.loop import Places
    from preread.training.regions.plan import RegionPlan
    from preread.training.regions.samples import Samples

PROBABILITIES: Final = "sigmoid"
"""The last layer whose outputs are probabilities; those of others are logits."""

_WARMING: Final = 0.1  # share of the steps over which the rate rises
_RARE: Final = -4.0  # logit: that hardly any pixel is a lesion need not be learnt


@dataclass(frozen=True, slots=True)
class Epoch:
    """One line of the history; epochs count from 1.

    Attributes
    ----------
    validation_loss, validation_dice
        Of all pixels of the validation part together, at a probability of 0.5; None without one.
    """

    epoch: int
    training_loss: float
    validation_loss: float | None
    validation_dice: float | None
    seconds: float


@dataclass(frozen=True, slots=True, eq=False)
class Division:
    """Which slices are for what, as indices into the samples."""

    training: NDArray[np.int64]
    validation: NDArray[np.int64]


def divide(samples: Samples, share: float, seed: int) -> Division:
    """Divide slices by patient, so that no patient is on both sides.

    Raises
    ------
    TrainingError
        If no slice with a lesion is left to train on.
    """
    patients = sorted(set(samples.patients))
    order = np.random.default_rng((seed, 7)).permutation(len(patients))
    held_out = {patients[number] for number in order[: round(share * len(patients))]}
    if share and not held_out and len(patients) > 1:
        held_out = {patients[order[0]]}
    is_held_out = np.array([patient in held_out for patient in samples.patients])[samples.series]
    division = Division(np.flatnonzero(~is_held_out), np.flatnonzero(is_held_out))
    if not samples.with_lesion[division.training].any():
        raise TrainingError("no slice with a lesion to train on; add series, or lower --validation")
    return division


class RegionFitting(EpochLoop[Epoch]):
    """The fit of one network.

    Parameters
    ----------
    network
        In place; ends with the best epoch's weights, in evaluation mode.
    architecture
        That it was built of; its output has one channel and the sides of its input.
    samples, division
        The slices and which are for what.
    plan
        How.
    places
        Where it runs and where it keeps its state.

    Raises
    ------
    TrainingError
        If the checkpoint is of another fit or broken, or the network does not give one mask.
    """

    def __init__(
        self,
        network: nn.Module,
        architecture: Architecture,
        samples: Samples,
        division: Division,
        *,
        plan: RegionPlan,
        places: Places,
    ) -> None:
        super().__init__(plan, places, Epoch)
        check_gives_mask(architecture)
        self._channels_last = architecture.channels_last
        self._channels = architecture.input_shape[-1 if architecture.channels_last else 0]
        self._probabilities = architecture.layers[-1].kind == PROBABILITIES
        if not self._probabilities:
            expect_rarity(network)
        self._network = network.to(places.device, memory_format=torch.channels_last)  # type: ignore[call-overload]  # torch's stub lacks device with memory_format
        self._samples, self._division = samples, division
        self._plan = plan
        self._optimizer = torch.optim.AdamW(
            network.parameters(), lr=plan.learning_rate, weight_decay=plan.weight_decay
        )
        self._schedule = torch.optim.lr_scheduler.OneCycleLR(
            self._optimizer,
            max_lr=plan.learning_rate,
            total_steps=plan.epochs * len(self._batches(1)) + 1,
            pct_start=_WARMING,
            cycle_momentum=False,
        )
        self._resume()

    def run(self, on_epoch: Callable[[Epoch], None] = lambda _epoch: None) -> int:
        """Fit, on from the last checkpoint if there was one.

        Parameters
        ----------
        on_epoch
            Called after each epoch that is run here.

        Returns
        -------
        int
            The best epoch: that with the lowest loss on the validation part, or the last.

        Raises
        ------
        TrainingError
            If the loss is not finite.
        """
        best = self._run(on_epoch)
        self._network.load_state_dict(self._best[2])
        self._network.eval()
        return best

    def _batches(self, epoch: int) -> list[Tensor]:
        """Draw the slices of an epoch, with and without a lesion, in batches."""
        random = torch.Generator().manual_seed(self._plan.seed * 100_003 + epoch)
        part = torch.from_numpy(self._division.training)
        shows = torch.from_numpy(self._samples.with_lesion[self._division.training])
        wanted = self._plan.samples or len(part)
        some = wanted if shows.all() else min(wanted, max(1, round(wanted * self._plan.lesions)))
        drawn = torch.cat(
            [_drawn(part[shows], some, random), _drawn(part[~shows], wanted - some, random)]
        )
        order = torch.randperm(len(drawn), generator=random)
        # Batch normalisation cannot use a last batch of one slice in its deepest layers.
        batches = list(torch.split(drawn[order], self._plan.batch_size))
        return [rows for rows in batches if len(rows) > 1 or len(batches) == 1]

    def _train(self, epoch: int) -> float:
        random = torch.Generator().manual_seed(self._seed(epoch) + 1_000_000_007)
        self._network.train()
        total = count = 0.0
        for rows in self._batches(epoch):
            images, truth = self._batch(rows)
            if self._plan.augmentation:
                places = draw_places(images, random, self._plan.augmentation)
                images = lit(moved(images, places), random, self._plan.augmentation)
                truth = moved(truth, places)
            total += self._step(epoch, self._loss(images, truth)) * len(rows)
            self._schedule.step()
            count += len(rows)
        return total / count

    @torch.no_grad()
    def _validate(self) -> tuple[float | None, float | None]:
        part = torch.from_numpy(self._division.validation)
        if not len(part):
            return None, None
        self._network.eval()
        loss = shared = both = 0.0
        for rows in torch.split(part, self._plan.batch_size):
            images, truth = self._batch(rows)
            logits = self._logits(images)
            loss += float(region_loss(logits, truth.to(self._places.device))) * len(rows)
            found, real = logits.cpu() > 0, truth > 0.5
            shared += float((found & real).sum())
            both += float(found.sum() + real.sum())
        return loss / len(part), 2 * shared / both if both else 1.0

    def _batch(self, rows: Tensor) -> tuple[Tensor, Tensor]:
        """Give images (N, C, H, W) and truth (N, 1, H, W), 0 to 1."""
        chosen = rows.numpy()
        images = torch.from_numpy(self._samples.images[chosen]).float()
        truth = torch.from_numpy(self._samples.truth[chosen]).float().unsqueeze(1) / 255
        return images, truth

    def _loss(self, images: Tensor, truth: Tensor) -> Tensor:
        return region_loss(self._logits(images), truth.to(self._places.device))

    def _logits(self, images: Tensor) -> Tensor:
        device = self._places.device
        given = images.expand(-1, self._channels, -1, -1).to(device)
        if self._channels_last:
            given = given.movedim(1, -1)
        enabled = self._plan.precision is Precision.BFLOAT16
        with torch.autocast(device.type, torch.bfloat16, enabled=enabled):
            outputs: Tensor = self._network(given)
        outputs = outputs.float()
        if self._channels_last:
            outputs = outputs.movedim(-1, 1)
        return as_logits(outputs, probabilities=self._probabilities)

    def _parts(self) -> dict[str, Any]:
        return {
            "network": self._network,
            "optimizer": self._optimizer,
            "schedule": self._schedule,
        }


def check_gives_mask(architecture: Architecture) -> None:
    """Refuse what does not give one mask of the input's sides.

    Raises
    ------
    TrainingError
        Saying what it gives.
    """
    given, taken = architecture.output_shape, architecture.input_shape
    mask = (*taken[:2], 1) if architecture.channels_last else (1, *taken[1:])
    if len(taken) != 3 or given != mask:
        raise TrainingError(
            f"the network gives {' x '.join(map(str, given))}; expected one channel with the rows "
            "and columns of its input: a mask"
        )
    if architecture.layers[-1].kind in ("softmax", "tanh", "relu"):
        raise TrainingError(
            f"the last layer is {architecture.layers[-1].kind}; expected {PROBABILITIES} or none "
            "of its kind, so that each pixel has a probability"
        )


def expect_rarity(network: nn.Module) -> None:
    """Have a network begin with hardly any pixel being a lesion."""
    last = [module for module in network.modules() if isinstance(module, nn.Conv2d)][-1]
    if last.bias is not None:
        nn.init.constant_(last.bias, _RARE)


def _drawn(part: Tensor, count: int, random: torch.Generator) -> Tensor:
    """Draw so many, each as often as all others but for one time."""
    return torch.cat([part[:0], *_rounds(part, count, random)])


def _rounds(part: Tensor, count: int, random: torch.Generator) -> Iterator[Tensor]:
    while count > 0 and len(part):
        order = torch.randperm(len(part), generator=random)[:count]
        count -= len(order)
        yield part[order]
