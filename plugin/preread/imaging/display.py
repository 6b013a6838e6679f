"""From modality values to what a display would show: PS3.3 C.11.2 and C.11.6.

All transformations here map any value to 0 (black) to 1 (white) in float32. pydicom's own
`apply_windowing` maps to a range of integers that depends on the data set's bits, which a network
cannot use; the formulas are the same and are tested against it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

Finite = Annotated[float, Field(allow_inf_nan=False, ge=-1e9, le=1e9)]


class Voi(Protocol):
    """How an image's values of interest are mapped to 0 to 1."""

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map values in modality units to 0 (black) to 1 (white); the shape is kept."""
        ...


class VoiFunction(StrEnum):
    """VOI LUT Function (0028,1056), PS3.3 C.11.2.1.3."""

    LINEAR = "LINEAR"
    LINEAR_EXACT = "LINEAR_EXACT"
    SIGMOID = "SIGMOID"


class Window(BaseModel):
    """A window in modality units (Hounsfield units in CT), PS3.3 C.11.2.1.2 and C.11.2.1.3.

    Attributes
    ----------
    center, width
        As Window Center (0028,1050) and Window Width (0028,1051). The width is at least 1 for
        `LINEAR` and above 0 for the others.
    function
        How values in the window are mapped.

    Examples
    --------
    >>> lung = Window(center=-600, width=1500)
    >>> lung.apply(np.array([-2000.0, -600.5, 2000.0])).tolist()
    [0.0, 0.5, 1.0]
    """

    model_config = ConfigDict(
        alias_generator=to_pascal, populate_by_name=True, extra="forbid", frozen=True
    )

    center: Finite
    width: Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]
    function: VoiFunction = VoiFunction.LINEAR

    @model_validator(mode="after")
    def _wide_enough(self) -> Window:
        if self.function is VoiFunction.LINEAR and self.width < 1:
            raise ValueError(
                f"a LINEAR window's width is at least 1 (PS3.3 C.11.2.1.2.1), not {self.width}"
            )
        return self

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map values in modality units to 0 (black) to 1 (white).

        Parameters
        ----------
        values
            Of any shape and number type.

        Returns
        -------
        ndarray of float32
            Of the same shape, 0 to 1.
        """
        match self.function:
            case VoiFunction.LINEAR if self.width == 1:
                return np.asarray(values > self.center - 0.5, dtype=np.float32)
            case VoiFunction.LINEAR:
                return _clipped(values, self.center - 0.5 - (self.width - 1) / 2, self.width - 1)
            case VoiFunction.LINEAR_EXACT:
                return _clipped(values, self.center - self.width / 2, self.width)
            case VoiFunction.SIGMOID:
                # 1 / (1 + exp(-4 (x - c) / w)), in the form that does not overflow.
                shifted = (np.asarray(values, dtype=np.float32) - np.float32(self.center)) * (
                    np.float32(2 / self.width)
                )
                return np.asarray(0.5 + 0.5 * np.tanh(shifted), dtype=np.float32)


@dataclass(frozen=True, slots=True)
class Span:
    """The straight line from `low` (black) to `high` (white).

    For values that nobody gave a window: pictures (0 to 255) and images without a VOI.

    Raises
    ------
    ValueError
        If `low` is above `high` or either is not a number.
    """

    low: float
    high: float

    def __post_init__(self) -> None:
        if not self.low <= self.high:
            raise ValueError(f"a span runs from low to high, not from {self.low} to {self.high}")

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Map values to 0 to 1; a span of no length shows everything black."""
        if self.high == self.low:
            return np.zeros(values.shape, dtype=np.float32)
        return _clipped(values, self.low, self.high - self.low)


@dataclass(frozen=True, slots=True, eq=False)
class Table:
    """A VOI LUT (0028,3010), PS3.3 C.11.2.1.1.

    Attributes
    ----------
    first
        The value that the first entry stands for; what lies below takes the first entry.
    entries
        (N,) float32, 0 to 1; what lies beyond the end takes the last.
    """

    first: int
    entries: NDArray[np.float32]

    def apply(self, values: NDArray[Any]) -> NDArray[np.float32]:
        """Look values up, rounded to whole numbers."""
        index = np.clip(np.rint(values) - self.first, 0, len(self.entries) - 1)
        shown: NDArray[np.float32] = self.entries[index.astype(np.intp)]
        return shown


def _clipped(values: NDArray[Any], low: float, width: float) -> NDArray[np.float32]:
    """Give (values - low) / width, held between 0 and 1."""
    # The difference is taken first: in float32 a slope and an offset, folded into one product and
    # one sum, lose digits when the window is far from 0.
    shown: NDArray[np.float32] = np.subtract(values, np.float32(low), dtype=np.float32)
    shown /= np.float32(width)
    np.clip(shown, 0.0, 1.0, out=shown)
    return shown
