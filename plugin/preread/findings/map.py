"""A number for each pixel of a frame: what a reader looked at, or how sure it is there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, eq=False)
class Map:
    """A map over one frame.

    Attributes
    ----------
    frame
        Which of the frames that the reader was given, from 0.
    values
        (rows, columns) of the frame, float32, 0..1.
    label
        What the values are of, in a few words.
    """

    frame: int
    values: NDArray[np.float32]
    label: str
