"""What two folders of models say of the same images, and where they differ."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.training.errors import TrainingError
from preread.training.pictures import batch_of_one, frames_below

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.imaging import Frame

LARGEST_CHANGE: Final = 5
"""Images that may change class before a comparison fails, unless it is told otherwise."""


@dataclass(frozen=True, slots=True)
class Difference:
    """How one model's answers differ.

    Attributes
    ----------
    name
        Of the model.
    images
        How many it was asked of.
    changed
        Those whose likeliest class is another one, as ``image: class -> class``.
    judged
        Those that only one of the two gives a class at all.
    largest
        Difference of a probability.
    """

    name: str
    images: int
    changed: tuple[str, ...]
    judged: tuple[str, ...]
    largest: float


def compare(
    first: tuple[Path, str],
    second: tuple[Path, str],
    images: Path,
    only: Collection[str] | None = None,
    progress: Callable[[int], None] = lambda _done: None,
) -> tuple[Difference, ...]:
    """Ask two folders of models of the same images.

    Parameters
    ----------
    first, second
        A folder of models, and the engine that it is asked with. Models of one name are compared.
    images
        A folder of PNG, JPEG and DICOM files.
    only
        SHA-256 of the pixels of the images that count; None for all.
    progress
        Called with how many images are done.

    Raises
    ------
    TrainingError
        If the folders have no model in common, a model's classes differ, or there is no image.
    preread.models.card.InvalidModelError
        If a model cannot be used.
    """
    catalogues = [Catalogue.load(place) for place, _ in (first, second)]
    names = [name for name in catalogues[0].names if name in catalogues[1].names]
    if not names:
        raise TrainingError("the two folders have no model of one name")
    for name in names:
        if len({catalogue[name].card.Classes for catalogue in catalogues}) > 1:
            raise TrainingError(f"{name}: the two have different classes")
    ensembles = [
        Ensemble(catalogue, engine, eager=False)
        for catalogue, (_, engine) in zip(catalogues, (first, second), strict=True)
    ]
    shown: list[str] = []
    answers: list[dict[str, list[tuple[NDArray[np.float64], bool]]]] = [{}, {}]
    for one in frames_below(images, only):
        shown.append(one.name)
        for catalogue, ensemble, found in zip(catalogues, ensembles, answers, strict=True):
            for name in names:
                found.setdefault(name, []).append(_answer(catalogue, ensemble, name, one.frame))
        progress(len(shown))
    return tuple(
        _difference(
            name, catalogues[0][name].card.Classes, shown, answers[0][name], answers[1][name]
        )
        for name in names
    )


def _answer(
    catalogue: Catalogue, ensemble: Ensemble, name: str, frame: Frame
) -> tuple[NDArray[np.float64], bool]:
    """Give a model's probabilities of a frame, and whether the frame is unlike what it knows."""
    card = catalogue[name].card
    answer = ensemble.predict(name, batch_of_one(frame, card.Preprocessing))
    told = card.OutOfDistribution
    unlike = answer.novelty is not None and told is not None and answer.novelty[0] > told.Threshold
    return answer.probabilities[0], bool(unlike)


def _difference(
    name: str,
    classes: Sequence[str],
    shown: Sequence[str],
    before: Sequence[tuple[NDArray[np.float64], bool]],
    after: Sequence[tuple[NDArray[np.float64], bool]],
) -> Difference:
    old, new = (np.stack([row for row, _ in rows]) for rows in (before, after))
    changed = np.flatnonzero(old.argmax(axis=1) != new.argmax(axis=1)).tolist()
    return Difference(
        name=name,
        images=len(shown),
        changed=tuple(
            f"{shown[at]}: {classes[old[at].argmax()]} -> {classes[new[at].argmax()]}"
            for at in changed
        ),
        judged=tuple(
            image
            for image, (_, was), (_, is_now) in zip(shown, before, after, strict=True)
            if was != is_now
        ),
        largest=float(np.abs(old - new).max()),
    )
