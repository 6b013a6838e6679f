"""A region on a frame, the network that proposed it, and what a reviewer decides of it."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final, Protocol

import numpy as np

from preread.results.structure_set.errors import UnwritableStructureSetError

if TYPE_CHECKING:
    from numpy.typing import NDArray

MOST_REGIONS: Final = 10_000
_MOST_POINTS: Final = 100_000
_LONGEST_NAME: Final = 64  # characters of a PN
_NOT_IN_NAMES: Final = str.maketrans("\\^=", "   ")


class Region(Protocol):
    """What a network found on a frame; `preread.iodeep.prediction.Region` is one."""

    @property
    def frame(self) -> int:
        """Which of the frames of all source images, one image after the other, from 0."""
        ...

    @property
    def polygon(self) -> NDArray[np.float64]:
        """(N, 2): column and row of a closed line, pixel centres at whole numbers."""
        ...

    @property
    def area(self) -> float:
        """In pixels of the frame."""
        ...

    @property
    def score(self) -> float:
        """How sure the network is, 0..1."""
        ...


@dataclass(frozen=True, slots=True)
class Described:
    """The network that proposes.

    Attributes
    ----------
    name
        What people call it.
    uid
        Its DnnUID.
    version
        If it has one.
    weights_sha256
        Of its weights, hexadecimal.
    """

    name: str
    uid: str
    version: str
    weights_sha256: str


@dataclass(frozen=True, slots=True)
class ReviewedBy:
    """Who reviews.

    Attributes
    ----------
    typed
        The name that somebody typed, a PN.
    account
        The user who was authenticated; empty if nobody was.
    """

    typed: str
    account: str = ""

    @property
    def name(self) -> str:
        """As a PN: the user, if one was authenticated, else the name that was typed."""
        return self.account.translate(_NOT_IN_NAMES)[:_LONGEST_NAME] or self.typed

    @property
    def words(self) -> str:
        """Tell it, and whether anybody was authenticated."""
        if not self.account:
            return "Who reviewed was not authenticated."
        typed = f", who gave the name {self.typed}" if self.typed else ""
        return f"Reviewed by the authenticated user {self.name}{typed}."


class Verdict(StrEnum):
    """What becomes of a region."""

    ACCEPT = "accept"
    REJECT = "reject"


@dataclass(frozen=True, slots=True, eq=False)
class Decision:
    """What a reviewer decides of one region.

    Attributes
    ----------
    region
        Its ROINumber.
    verdict
        Whether it is right.
    polygon
        (N, 2): column and row of the line as the reviewer drew it; None for the network's own.
    """

    region: int
    verdict: Verdict
    polygon: NDArray[np.float64] | None = None


def check_polygon(polygon: NDArray[np.float64]) -> None:
    """Refuse what is no closed line.

    Raises
    ------
    UnwritableStructureSetError
        If it has fewer than 3 or more than 100000 points, or one that is no number.
    """
    if polygon.ndim != 2 or polygon.shape[1] != 2 or not 3 <= len(polygon) <= _MOST_POINTS:
        raise UnwritableStructureSetError(
            f"a region needs 3 to {_MOST_POINTS} points of column and row"
        )
    if not np.isfinite(polygon).all():
        raise UnwritableStructureSetError("a region has a point that is no number")
