"""What one network said of one image. Pure Python: it is read where no network is loaded."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from preread.errors import PrereadError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

UNLIKE: Final = "unlike its training data"
"""Why a model gives no class to an image too far from those that it was trained on."""
ANOTHER_HEAD: Final = "another head of its network gave no class"
"""Why a model gives none whose fellow on the same backbone gave none."""
NOT_MEASURED: Final = "not measured on this kind of image"
"""What warns of classes that a site has asked for all the same."""

_SLACK: Final = 1e-3  # of a sum: what single precision or eight bits lose in a softmax
_SHA256: Final = re.compile(r"[0-9a-f]{64}")


class InvalidPredictionError(PrereadError):
    """A network's answer is not a distribution over its classes, or is not labelled."""


@dataclass(frozen=True, slots=True)
class Unlikeness:
    """How far an image lies from those that a model was trained on.

    Attributes
    ----------
    score
        As `preread.models.novelty` measures it, above 0: the mean over the image's frames.
    threshold
        The card's, above 0.

    Raises
    ------
    InvalidPredictionError
        If a number is not finite, or not above 0.

    Examples
    --------
    >>> Unlikeness(score=3.0, threshold=2.0).outside
    True
    """

    score: float
    threshold: float

    def __post_init__(self) -> None:
        if not (0 < self.score < math.inf and 0 < self.threshold < math.inf):
            raise InvalidPredictionError(
                "out-of-distribution score and threshold of a prediction: expected finite numbers "
                "above 0"
            )

    @property
    def outside(self) -> bool:
        """Whether the image is out of the model's depth."""
        return self.score > self.threshold

    @property
    def ratio(self) -> float:
        """The score as a multiple of the threshold: above 1 for an image outside."""
        return self.score / self.threshold


@dataclass(frozen=True, slots=True)
class Prediction:
    """The probabilities that one model gives to its classes for one image.

    An image that is withheld from the model, or is too unlike those that it was trained on
    (`outside`), is given no class: whatever the network said, this object holds no probabilities
    then, so that nothing made of it, whether element, document or page, can show any.

    Probabilities are numbers in 0..1. Those of the image, and those of each frame, may miss a sum
    of 1 by 1e-3, which is what low precision arithmetic loses; they are divided by their sum, so
    that what this object holds sums to 1 within 1e-6. Anything further off is refused.

    Attributes
    ----------
    model
        Name of the model, as on its card.
    version
        Version of the model, as on its card.
    dataset
        Name of the data set that it was trained on.
    weights_sha256
        SHA-256 of the weights, 64 lower-case hex digits: of the whole network or, with a backbone
        that it shares, of what is its own.
    classes
        Names of the classes, in the model's order; each once.
    probabilities
        One for each class, in the same order: the mean over the frames. In 0..1, sum 1. Empty
        where the image is given no class.
    frames
        One row for each frame of the image, each with one probability for each class, and empty
        where the image is given none; one row in all for an image that the network was not asked
        of.
    date
        When the image was read. Its time zone is known.
    engine
        What did the arithmetic, such as ``openvino``.
    unlikeness
        How far the image lies from the training images; None for a model that cannot tell.
    backbone_sha256
        SHA-256 of the shared backbone; None for a model that has none.
    withheld
        Why the image is given no class, in a few words; empty where it is given one. An image
        outside always has a reason.
    warning
        What has to stand before the classes; empty where nothing has, and where there are none.

    Raises
    ------
    InvalidPredictionError
        If lengths disagree, a name is empty, unprintable or padded with spaces, a class is named
        twice, a probability is outside 0..1, a sum is not 1, or the date has no time zone.

    Examples
    --------
    >>> from datetime import UTC, datetime
    >>> reading = Prediction(
    ...     model="MobileNetV2", version="1.0.0", dataset="IQ-OTH/NCCD", weights_sha256="0" * 64,
    ...     classes=("Benign", "Malignant"), probabilities=(0.2, 0.8), frames=((0.2, 0.8),),
    ...     date=datetime(2026, 11, 21, 9, 23, tzinfo=UTC), engine="openvino",
    ... )
    >>> reading.probabilities
    (0.2, 0.8)
    """

    model: str
    version: str
    dataset: str
    weights_sha256: str
    classes: tuple[str, ...]
    probabilities: tuple[float, ...]
    frames: tuple[tuple[float, ...], ...]
    date: datetime
    engine: str
    unlikeness: Unlikeness | None = None
    backbone_sha256: str | None = None
    withheld: str = ""
    warning: str = ""

    def __post_init__(self) -> None:
        self._check_labels()
        classes = tuple(self.classes)
        for name in classes:
            _check_name("classes", name)
        if not classes or len(set(classes)) != len(classes):
            raise InvalidPredictionError(
                "classes of a prediction: expected one name or more, each once"
            )
        if not self.frames:
            raise InvalidPredictionError("frames of a prediction: expected one row or more")
        frames: tuple[tuple[float, ...], ...] = ((),) * len(self.frames)
        probabilities: tuple[float, ...] = ()
        # Whatever stands beside a reason is dropped, such as the equal shares of older ledgers.
        if not self.withheld:
            frames = tuple(
                _distribution(f"frame {index}", row, len(classes))
                for index, row in enumerate(self.frames)
            )
            probabilities = _distribution("probabilities", self.probabilities, len(classes))
        if self.outside and not self.withheld:
            object.__setattr__(self, "withheld", UNLIKE)
            frames, probabilities = ((),) * len(frames), ()
        if self.withheld:
            object.__setattr__(self, "warning", "")
        object.__setattr__(self, "classes", classes)
        object.__setattr__(self, "frames", frames)
        object.__setattr__(self, "probabilities", probabilities)

    def _check_labels(self) -> None:
        for field in ("model", "version", "dataset", "engine"):
            _check_name(field, getattr(self, field))
        for field in ("weights_sha256", "backbone_sha256"):
            digest = getattr(self, field)
            if not (_SHA256.fullmatch(digest) if digest else field == "backbone_sha256"):
                raise InvalidPredictionError(
                    f"{field} of a prediction: expected 64 lower-case hex digits"
                )
        if self.date.utcoffset() is None:
            raise InvalidPredictionError("date of a prediction: expected one with a time zone")
        for field in ("withheld", "warning"):
            _check_reason(field, getattr(self, field))

    @property
    def outside(self) -> bool:
        """Whether the image is too unlike the training images to be given a class."""
        return self.unlikeness is not None and self.unlikeness.outside


def in_agreement(heads: Sequence[Prediction], *, also: bool = False) -> tuple[Prediction, ...]:
    """Have the heads of one network agree on whether an image is given a class.

    What one head finds too unlike its training images the others cannot judge either: they see the
    same features. A head that gave a class then gives none, and says why.

    Parameters
    ----------
    heads
        What heads of one backbone said of one image.
    also
        Whether a further head, of which nothing is reported, would give it no class.
    """
    if not also and not any(head.withheld for head in heads):
        return tuple(heads)
    return tuple(head if head.withheld else replace(head, withheld=ANOTHER_HEAD) for head in heads)


def _check_name(field: str, name: str) -> None:
    if not name or name != name.strip() or not name.isprintable():
        raise InvalidPredictionError(
            f"{field} of a prediction: expected a printable text without spaces around it"
        )


def _check_reason(field: str, reason: str) -> None:
    if not reason:
        return
    _check_name(field, reason)
    # It goes into the private block as "{ Withheld : ... }".
    if set(reason) & set("{}\\"):
        raise InvalidPredictionError(f"{field} of a prediction: expected no braces and backslashes")


def _distribution(what: str, values: Sequence[float], classes: int) -> tuple[float, ...]:
    numbers = tuple(float(value) for value in values)
    if len(numbers) != classes:
        raise InvalidPredictionError(
            f"{what} of a prediction: expected {classes} numbers, one for each class, "
            f"not {len(numbers)}"
        )
    if not all(0.0 <= number <= 1.0 + _SLACK for number in numbers):
        raise InvalidPredictionError(f"{what} of a prediction: expected numbers in 0..1")
    total = math.fsum(numbers)
    if abs(total - 1.0) > _SLACK:
        raise InvalidPredictionError(
            f"{what} of a prediction: expected a sum of 1, not {total:.6g} (is a softmax missing?)"
        )
    # Left alone where it is right already: making a Prediction of its own fields changes nothing.
    if abs(total - 1.0) <= 1e-12 and max(numbers) <= 1.0:
        return numbers
    return tuple(number / total for number in numbers)
