"""All that a training is asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, Protocol

from preread.imaging import Preprocessing
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from pathlib import Path

    import torch

    from preread.models.card import ArchitectureName
    from preread.training.description import Description
    from preread.training.fitting import Epoch
    from preread.training.metrics import Figures
    from preread.training.plan import Plan
    from preread.training.splits import SplitKind

BACKBONES = "backbones"
"""Folder of what several models share, in the folder of models."""


class Progress(Protocol):
    """Who is told how far it is."""

    def reading(self, done: int, count: int) -> None:
        """Tell that so many files of all are read."""
        ...

    def teaching(self, done: int, count: int) -> None:
        """Tell that a teacher has looked at so many images of all."""
        ...

    def fitting(self, epochs: int, done: int) -> None:
        """Tell that the fit begins, or goes on after so many epochs."""
        ...

    def epoch(self, epoch: Epoch) -> None:
        """Tell that an epoch is done."""
        ...

    def measured(self, name: str, kind: SplitKind, found: Figures) -> None:
        """Tell what the test part gave for one set."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """All that a training is asked for.

    Attributes
    ----------
    data
        Folder of class folders, or a CSV; see `preread.training.listing`.
    root
        Folder that the files of a CSV are under.
    output
        Folder of the model; its card and weights are replaced. For several sets it is the stem of
        their folders, ``OUTPUT-SET``.
    checkpoints
        Folder where the state of an unfinished fit is kept.
    architecture
        The network.
    pretrained
        File that it starts from.
    grown_from, teacher
        Models as `output` of another training had it; see `preread.training.growing` and
        `preread.training.teacher`.
    descriptions
        What the cards say that cannot be measured, one for each set.
    size
        Side of the network's input, in pixels.
    test, validation
        Shares, see `preread.training.splits.split_sets`; a CSV with parts has its own.
    kind
        Of the split.
    plan
        How it is fitted.
    kept
        In which numbers the network is kept and computes.
    device
        Where it runs.
    command
        For the card.
    """

    data: Path
    root: Path
    output: Path
    checkpoints: Path
    architecture: ArchitectureName
    pretrained: Path | None
    grown_from: Path | None
    teacher: Path | None
    descriptions: tuple[Description, ...]
    size: int
    test: float
    validation: float
    kind: SplitKind
    plan: Plan
    kept: Literal["float32", "int8"]
    device: torch.device
    command: str

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to images before the network sees them.

        Raises
        ------
        TrainingError
            If the descriptions of several sets name different windows.
        """
        windows = {told.Window for told in self.descriptions}
        if len(windows) > 1:
            raise TrainingError("Window: expected the same in the descriptions of all sets")
        return Preprocessing(size=(self.size, self.size), window=windows.pop())

    @property
    def shares_backbone(self) -> bool:
        """Whether several models come of it."""
        return len(self.descriptions) > 1

    @property
    def models(self) -> tuple[str, ...]:
        """Names of the models' folders, in the order of the descriptions."""
        if not self.shares_backbone:
            return (self.output.name,)
        return tuple(f"{self.output.name}-{told.Set}" for told in self.descriptions)

    @property
    def split_draft(self) -> Path:
        """Where the split is kept until there are weights to keep it beside."""
        return self.checkpoints / f"{self.output.name}.split.csv"

    @property
    def split_file(self) -> Path:
        """Where the split is kept beside the weights."""
        if self.shares_backbone:
            return self.output.parent / BACKBONES / f"{self.output.name}.split.csv"
        return self.output / "split.csv"
