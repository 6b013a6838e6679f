"""What a measuring is asked for, and whom it tells how far it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from preread.training.evaluation.combining import Rule
from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from preread.training.evaluation.document import PartName


class Progress(Protocol):
    """Who is told how far it is."""

    def reading(self, done: int, count: int) -> None:
        """Tell that so many images of all are read."""
        ...

    def asking(self, model: str, count: int) -> None:
        """Tell that a model is about to be asked for so many images."""
        ...

    def answered(self, count: int) -> None:
        """Tell that so many more images are answered."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """All that a measuring is asked for.

    Attributes
    ----------
    runs
        Folders of models, or single models' folders.
    data, root
        See `preread.training.evaluation.images.Images`.
    set_name
        Of which models; None for all.
    part
        Of the split.
    map
        From a label of the data to a class.
    rule, weights
        Of the ensemble; no weights: from the log-loss on the validation part.
    engine, threads
        See `preread.models.ensemble.Ensemble`.
    draws, seed
        Of the bootstrap.
    calibrate
        Whether each model's temperature is found first.
    command
        For the document.
    """

    runs: tuple[Path, ...]
    data: Path | None
    root: Path | None
    set_name: str | None
    part: PartName
    map: Mapping[str, str]
    rule: Rule
    weights: Mapping[str, float]
    engine: str
    draws: int
    seed: int
    calibrate: bool
    command: str
    threads: int = 0

    def __post_init__(self) -> None:
        if self.part == "all" and self.data is None:
            raise EvaluationError("--part all: needs --data, images that are in no split")
        if self.calibrate and self.part == "all":
            raise EvaluationError("--calibrate: needs the models' own data, not --part all")
        if self.rule is Rule.WEIGHTED and self.part == "all" and not self.weights:
            raise EvaluationError("--ensemble weighted: needs --weights with --part all")
        if self.weights and self.rule is not Rule.WEIGHTED:
            raise EvaluationError("--weights: only for --ensemble weighted")
        names = [place.resolve().name for place in self.runs]
        if len({place.resolve() for place in self.runs}) < len(names):
            raise EvaluationError("RUN: expected each folder once")

    @property
    def has_source(self) -> bool:
        """Whether the data are a source of their own, and not each model's split."""
        return self.data is not None
