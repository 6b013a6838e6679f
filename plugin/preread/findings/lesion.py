"""Something that a reader found: its outlines on frames, linked to one lesion."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Outline:
    """Where a lesion meets one frame.

    Attributes
    ----------
    frame
        Which of the frames that the reader was given, from 0.
    polygon
        (N, 2) float64, column and row, N is 3 or more: pixel centres are whole numbers, (0, 0) is
        that of the top left pixel. The last point is joined to the first. A hole is joined to the
        line around it by a channel without width (PS3.3 C.8.8.6.3 calls that keyhole).
    area
        Pixels of the frame, above 0.
    """

    frame: int
    polygon: NDArray[np.float64]
    area: float


@dataclass(frozen=True, slots=True, eq=False)
class Lesion:
    """A lesion, on one frame or on several.

    Attributes
    ----------
    outlines
        At least one, by rising frame.
    score
        How sure the reader is, 0..1.
    centre
        (3,) in patient coordinates, mm; None where the frames have no place in the patient.
    box
        (2, 3): the least and the largest patient coordinates, mm; None as `centre`.
    long_axis, short_axis
        Of its largest outline, mm; None where pixels have no size, or it is seen on one frame of
        several that belong together.
    volume
        Cubic millimetres; None where it is not known.

    Raises
    ------
    ValueError
        If there is no outline, or the score is outside 0..1.
    """

    outlines: tuple[Outline, ...]
    score: float
    centre: NDArray[np.float64] | None = None
    box: NDArray[np.float64] | None = None
    long_axis: float | None = None
    short_axis: float | None = None
    volume: float | None = None

    def __post_init__(self) -> None:
        if not self.outlines or not 0.0 <= self.score <= 1.0:
            raise ValueError("lesion: expected an outline or more, and a score in 0..1")

    @property
    def largest(self) -> Outline:
        """The outline that takes most pixels."""
        return max(self.outlines, key=lambda one: one.area)
