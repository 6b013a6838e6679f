"""One image on its way through the runner."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from preread.findings.prediction import Prediction
from preread.imaging import Preprocessing
from preread.ledger.job import Job
from preread.models.head import Answer


@dataclass(slots=True, eq=False)
class Work:
    """A job with what the stages have made of it so far.

    Attributes
    ----------
    job
        What is to be done.
    data
        The whole file, as Orthanc stores it.
    rows
        By model: one row of probabilities per frame that was read.
    novelty
        By model that can tell: how far each of those frames lies from its training images.
    beside
        The same of heads that are not asked, where they share the network of one that is.
    frames
        How many frames the image has; None until it is decoded.
    withheld
        By model that is not asked: why the image is not for it.
    marked
        Models that are asked although the image is not for them.
    predictions
        What goes into the result; empty until all frames are read.
    """

    job: Job
    data: bytes
    rows: dict[str, list[tuple[float, ...]]] = field(default_factory=dict)
    novelty: dict[str, list[float]] = field(default_factory=dict)
    beside: dict[str, list[float]] = field(default_factory=dict)
    frames: int | None = None
    withheld: dict[str, str] = field(default_factory=dict)
    marked: set[str] = field(default_factory=set)
    predictions: tuple[Prediction, ...] = ()

    def add(self, model: str, answer: Answer) -> None:
        """Note what a model says of the frames that come next."""
        self.rows.setdefault(model, []).extend(
            tuple(map(float, row)) for row in answer.probabilities
        )
        if answer.novelty is not None:
            self.novelty.setdefault(model, []).extend(map(float, answer.novelty))

    def judge(self, model: str, answer: Answer) -> None:
        """Note how far a model of which nothing is reported finds the frames that come next."""
        if answer.novelty is not None:
            self.beside.setdefault(model, []).extend(map(float, answer.novelty))

    @property
    def asked(self) -> tuple[str, ...]:
        """The job's models from which the image is not withheld."""
        return tuple(model for model in self.job.models if model not in self.withheld)

    @property
    def is_read(self) -> bool:
        """Whether every model that is asked has seen every frame."""
        return all(len(self.rows.get(model, ())) == self.frames for model in self.asked)


@dataclass(frozen=True, slots=True, eq=False)
class Piece:
    """Some consecutive frames of an image, ready for the networks.

    Attributes
    ----------
    work
        The image.
    frames
        How many frames; 0 where no model is asked, and the piece stands for the whole image.
    inputs
        By preprocessing: (frames, C, H, W) float32, each in the range that its model's card asks
        for.
    """

    work: Work
    frames: int
    inputs: Mapping[Preprocessing, NDArray[np.float32]]

    @property
    def weight(self) -> int:
        """Bytes that the inputs take up."""
        return sum(array.nbytes for array in self.inputs.values())
