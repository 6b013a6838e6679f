"""A seeded loop over epochs that can be stopped anywhere and goes on where it was.

What is drawn in an epoch depends on the seed and the epoch's number alone, so a fit that was killed
and resumed ends with the weights it would have had.
"""

from __future__ import annotations

import math
import time
from abc import ABC, abstractmethod
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import torch
from torch import Tensor, nn

from preread.training.checkpoint import keep, resume
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from _typeshed import DataclassInstance

LineT = TypeVar("LineT", bound="DataclassInstance")


@dataclass(frozen=True, slots=True)
class Places:
    """Where a fit runs and where it keeps its state.

    Attributes
    ----------
    checkpoint
        File of the state after each epoch.
    origin
        What tells this fit from another, such as a digest of data, split and plan: a checkpoint
        of another is refused.
    device
        Where it runs.
    """

    checkpoint: Path
    origin: str
    device: torch.device


class Pace(Protocol):
    """How long a loop runs; the plans of all fits say it."""

    @property
    def epochs(self) -> int:
        """At most so many."""
        ...

    @property
    def patience(self) -> int:
        """Epochs without a better one after which it ends; 0 for none."""
        ...

    @property
    def seed(self) -> int:
        """Of what is drawn."""
        ...


class EpochLoop(ABC, Generic[LineT]):
    """The loop; what is fitted says how an epoch is trained and measured.

    Parameters
    ----------
    pace
        For how long.
    places
        Where.
    line
        Makes a line of the history of the epoch, the training loss, the loss and another figure of
        the validation part, and the seconds.
    """

    _network: nn.Module
    _optimizer: torch.optim.Optimizer

    def __init__(self, pace: Pace, places: Places, line: Callable[..., LineT]) -> None:
        self._pace, self._places, self._line = pace, places, line
        self.history: list[LineT] = []
        self._best: tuple[int, float, dict[str, Tensor]] = (0, math.inf, {})

    @abstractmethod
    def _train(self, epoch: int) -> float:
        """Train for an epoch, and return the mean loss."""

    @abstractmethod
    def _validate(self) -> tuple[float | None, float | None]:
        """Return loss and figure of the validation part; None where there is none."""

    @abstractmethod
    def _parts(self) -> dict[str, Any]:
        """Return all that has a state, by the name that it is kept under."""

    def _kept(self) -> nn.Module:
        """Return the network that is measured and kept."""
        return self._network

    def _resume(self) -> None:
        """Go on from the last checkpoint, if there is one."""
        resume(self._places.checkpoint, self._places.origin, self._places.device, self._load)

    def _run(self, on_epoch: Callable[[LineT], None]) -> int:
        """Run the epochs that are left, and return the best one."""
        for epoch in range(len(self.history) + 1, self._pace.epochs + 1):
            if 0 < self._pace.patience < epoch - self._best[0] and self._best[0]:
                break
            started = time.monotonic()
            training_loss = self._train(epoch)
            loss, figure = self._validate()
            if loss is not None and not math.isfinite(loss):
                raise TrainingError(
                    f"epoch {epoch}: the loss on the validation part is not finite; lower the "
                    "learning rate"
                )
            if loss is None or loss < self._best[1]:
                state = {k: v.detach().clone() for k, v in self._kept().state_dict().items()}
                self._best = (epoch, math.inf if loss is None else loss, state)
            line = self._line(epoch, training_loss, loss, figure, time.monotonic() - started)
            self.history.append(line)
            self._keep()
            on_epoch(line)
        return self._best[0]

    def _step(self, epoch: int, loss: Tensor) -> float:
        """Move the weights by a batch's loss, and return it."""
        if not torch.isfinite(loss):
            raise TrainingError(f"epoch {epoch}: the loss is not finite; lower the learning rate")
        self._optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
        self._optimizer.step()
        return float(loss.detach())

    def _seed(self, epoch: int) -> int:
        """Return the seed of an epoch, and set that of dropout."""
        seed = self._pace.seed * 100_003 + epoch
        torch.manual_seed(seed)
        return seed

    def _keep(self) -> None:
        epoch, loss, state = self._best
        parts = {
            name: None if part is None else part.state_dict()
            for name, part in self._parts().items()
        }
        lines = {"history": [asdict(line) for line in self.history]}
        best = {"best": {"epoch": epoch, "loss": loss, "network": state}}
        keep(self._places.checkpoint, self._places.origin, parts | lines | best)

    def _load(self, kept: dict[str, Any]) -> None:
        for name, part in self._parts().items():
            if part is not None:
                part.load_state_dict(kept[name])
        self.history = [self._line(**line) for line in kept["history"]]
        best = kept["best"]
        self._best = (best["epoch"], best["loss"], best["network"])
