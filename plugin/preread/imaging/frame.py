"""One frame of an image, decoded."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Any

import numpy as np
from numpy.typing import NDArray

from preread.imaging.display import Span, Voi, Window


class Units(StrEnum):
    """What the values of a frame's pixels mean."""

    HOUNSFIELD = "HU"
    MODALITY = "US"
    """The modality's own, not further specified (PS3.3 C.11.1.1.2)."""
    DISPLAY = "display"
    """Brightness: a picture, a secondary capture, or colour."""
    UNKNOWN = "unknown"
    """A CT that does not say how its values become HU."""


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """One frame, in modality units or in colour.

    Attributes
    ----------
    index
        From 0.
    pixels
        (H, W) float32 in `units`, or (H, W, 3) uint8, uint16 or float32 RGB.
    units
        What the pixels' values are.
    voi
        The image's own way to be shown.
    inverted
        Whether the lowest value is white (MONOCHROME1, or Presentation LUT Shape INVERSE).

    Raises
    ------
    ValueError
        If the pixels have another shape or number type.
    """

    index: int
    pixels: NDArray[Any]
    units: Units
    voi: Voi
    inverted: bool = False

    def __post_init__(self) -> None:
        grey = self.pixels.ndim == 2 and self.pixels.dtype == np.float32
        colour = (
            self.pixels.ndim == 3
            and self.pixels.shape[2] == 3
            and self.pixels.dtype in (np.uint8, np.uint16, np.float32)
        )
        if not (grey or colour) or 0 in self.pixels.shape:
            raise ValueError(
                "a frame is (H, W) float32 or (H, W, 3) uint8, uint16 or float32, not "
                f"{self.pixels.shape} {self.pixels.dtype}"
            )

    @property
    def is_colour(self) -> bool:
        """Whether the pixels are RGB."""
        return self.pixels.ndim == 3

    def display(self, window: Window | None = None) -> NDArray[np.float32]:
        """Give the frame as a display would show it.

        Parameters
        ----------
        window
            In modality units, in place of the image's own. Values in no such units
            (`Units.DISPLAY`, `Units.UNKNOWN`) are shown as the image itself asks for.

        Returns
        -------
        ndarray of float32
            (H, W) or (H, W, 3), 0 (black) to 1 (white).
        """
        given = window if self.units in (Units.HOUNSFIELD, Units.MODALITY) else None
        voi: Voi = given or self.voi
        shown = voi.apply(self.pixels)
        return np.subtract(1.0, shown, dtype=np.float32) if self.inverted else shown


def frame_from_array(
    array: NDArray[Any], *, units: Units = Units.DISPLAY, index: int = 0, voi: Voi | None = None
) -> Frame:
    """Make a frame of numbers that did not come from a DICOM file.

    Parameters
    ----------
    array
        (H, W) grey or (H, W, 3) RGB. Unsigned integers are brightness over their type's whole
        range; floats in `Units.DISPLAY` are 0 to 1.
    units
        `Units.HOUNSFIELD` for values in HU, to which a model's window then applies.
    index
        Of the frame, from 0.
    voi
        How the frame is shown when no window is given. Without it: the number type's range for
        unsigned integers, 0 to 1 for floats in `Units.DISPLAY`, else the array's own least and
        greatest value.

    Raises
    ------
    ValueError
        If the array has another shape or number type, or holds what is not a number.
    """
    if array.ndim not in (2, 3) or array.size == 0:
        raise ValueError(f"expected (H, W) or (H, W, 3), not {array.shape}")
    if array.dtype.kind not in "buif":
        raise ValueError(f"expected numbers, not {array.dtype}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise ValueError("expected finite values")
    if voi is None:
        voi = _whole_range(array, units)
    pixels = array if array.ndim == 3 else np.ascontiguousarray(array, dtype=np.float32)
    return Frame(index=index, pixels=pixels, units=units, voi=voi)


def _whole_range(array: NDArray[Any], units: Units) -> Span:
    if units is Units.DISPLAY and array.dtype.kind in "bf":
        return Span(0, 1)
    if units is Units.DISPLAY and array.dtype.kind == "u":
        return Span(0, float(np.iinfo(array.dtype).max))
    return Span(float(array.min()), float(array.max()))
