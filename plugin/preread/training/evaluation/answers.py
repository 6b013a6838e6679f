"""What models answer for images: probabilities, and whether an image is unlike all they know."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from numpy.typing import NDArray

    from preread.models.ensemble import Ensemble
    from preread.training.evaluation.images import Images
    from preread.training.evaluation.items import Member
    from preread.training.evaluation.request import Progress


@dataclass(frozen=True, slots=True, eq=False)
class Answers:
    """Of one model for N images.

    Attributes
    ----------
    probabilities
        (N, classes), each row of sum 1.
    novel
        (N,): whether the image is above the model's threshold; None where it has none.
    """

    probabilities: NDArray[np.float64]
    novel: NDArray[np.bool_] | None


class Asking:
    """Asks the models of a run, each for an image once, those with one backbone together.

    Parameters
    ----------
    ensemble
        That has the models.
    images
        Where images are.
    progress
        Who is told how far it is.
    """

    def __init__(self, ensemble: Ensemble, images: Images, progress: Progress) -> None:
        self._ensemble, self._images, self._progress = ensemble, images, progress
        self._kept: dict[str, dict[str, tuple[NDArray[np.float64], float | None]]] = {}

    def ask(self, members: Sequence[Member], digests: Mapping[str, Iterable[str]]) -> None:
        """Ask models for images.

        Parameters
        ----------
        members
            The models.
        digests
            By name of the model: SHA-256 of the pixels of the images.

        Raises
        ------
        EvaluationError
            If images are not there.
        preread.models.card.InvalidModelError
            If a model cannot be used.
        """
        groups: dict[tuple[str, str], list[Member]] = {}
        for member in members:
            card = member.model.card
            key = (card.Backbone.SHA256, card.Preprocessing.model_dump_json())
            groups.setdefault(key, []).append(member)
        for group in groups.values():
            # An image that one of them is measured on costs the others nothing.
            wanted = [digest for one in group for digest in digests[one.model.name]]
            self._ask(group, list(dict.fromkeys(wanted)), digests)

    def _ask(
        self, group: Sequence[Member], wanted: Sequence[str], digests: Mapping[str, Iterable[str]]
    ) -> None:
        names = [member.model.name for member in group]
        preprocessing = group[0].model.card.Preprocessing
        found = {
            digest: image
            for member in group
            for own in [list(dict.fromkeys(digests[member.model.name]))]
            for digest, image in zip(
                own, self._images.arrays(own, preprocessing, member.record), strict=True
            )
        }
        self._progress.asking(", ".join(names), len(wanted))
        step = max(1, self._ensemble.batch_hint)
        for start in range(0, len(wanted), step):
            part = wanted[start : start + step]
            batch = np.stack([found[digest] for digest in part])
            for name, answer in self._ensemble.predict_together(names, batch).items():
                scores = [None] * len(part) if answer.novelty is None else answer.novelty.tolist()
                rows = zip(answer.probabilities, scores, strict=True)
                self._kept.setdefault(name, {}).update(zip(part, rows, strict=True))
            self._progress.answered(len(part))

    def answers(self, member: Member, digests: Iterable[str]) -> Answers:
        """Give what a model answered for images that it was asked for, in that order."""
        kept = self._kept[member.model.name]
        rows = [kept[digest] for digest in digests]
        told = member.model.card.OutOfDistribution
        novel = None
        if told is not None:
            novel = np.array([score for _, score in rows], dtype=np.float64) > told.Threshold
        return Answers(np.stack([row for row, _ in rows]), novel)
