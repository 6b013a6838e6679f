"""All that a reader found in one subject, and who it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from preread.findings.lesion import Lesion
    from preread.findings.map import Map


@dataclass(frozen=True, slots=True)
class Algorithm:
    """Which reader found something, in words that stay true when it is replaced.

    Attributes
    ----------
    name, version
        Of the reader, as on its card.
    sha256
        Of its weights, hexadecimal; empty for one that has none.
    uid
        Of the object that it is kept as; empty for one that is no object.
    trained_on
        Name of the data set; empty for one that was not trained.
    """

    name: str
    version: str
    sha256: str = ""
    uid: str = ""
    trained_on: str = ""


@dataclass(frozen=True, slots=True)
class Classification:
    """The probabilities of classes for an image or a series, or why there are none.

    Attributes
    ----------
    classes
        Each once.
    probabilities
        One for each, 0..1, of sum 1; empty where no class is given.
    withheld
        Why no class is given; empty where one is.

    Raises
    ------
    ValueError
        If there are neither probabilities nor a reason, or both, or they do not fit.

    Examples
    --------
    >>> Classification(("lung", "other"), (0.75, 0.25)).likeliest
    'lung'
    """

    classes: tuple[str, ...]
    probabilities: tuple[float, ...] = ()
    withheld: str = ""

    def __post_init__(self) -> None:
        if bool(self.probabilities) == bool(self.withheld):
            raise ValueError("classification: expected probabilities or a reason for none")
        if self.probabilities and (
            len(self.probabilities) != len(self.classes)
            or not all(0.0 <= one <= 1.0 for one in self.probabilities)
            or abs(sum(self.probabilities) - 1.0) > 1e-6
        ):
            raise ValueError("classification: expected a probability for each class, of sum 1")

    @property
    def likeliest(self) -> str | None:
        """The class of the largest probability; None where none is given."""
        if not self.probabilities:
            return None
        return self.classes[max(range(len(self.classes)), key=self.probabilities.__getitem__)]


@dataclass(frozen=True, slots=True, eq=False)
class Findings:
    """What a reader found in an image or a series.

    Attributes
    ----------
    algorithm
        Who found it.
    classification
        Of the whole subject; None where the reader gives none.
    lesions
        In any order.
    maps
        Of some frames.
    """

    algorithm: Algorithm
    classification: Classification | None = None
    lesions: tuple[Lesion, ...] = ()
    maps: tuple[Map, ...] = ()
