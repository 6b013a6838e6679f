"""From a frame to what a network takes in, the same in training and in use.

Nothing here knows torch. Training calls `prepare` on frames from pictures, the runner on frames
from DICOM, and so both see the same arithmetic.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydantic import BaseModel, ConfigDict, Field, model_validator
from pydantic.alias_generators import to_pascal

from preread.imaging.display import Finite, Window
from preread.imaging.frame import Frame

Side = Annotated[int, Field(ge=1, le=4096)]
Deviation = Annotated[float, Field(gt=0, le=1e9, allow_inf_nan=False)]


class Fit(StrEnum):
    """How an image of another shape is brought to the network's."""

    STRETCH = "stretch"
    """Each side by its own factor; the whole image is kept, its proportions are not."""
    LETTERBOX = "letterbox"
    """The whole image in its proportions, centred, with black around it."""
    CROP = "crop"
    """The largest centred part that has the network's proportions."""


class Resampling(StrEnum):
    """The interpolation; each is widened by the factor of reduction, so that nothing aliases."""

    BOX = "box"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    LANCZOS = "lanczos"


class Preprocessing(BaseModel):
    """What is done to a frame before a network sees it; a part of the model's card.

    In this order: the window (0 to 1), inversion of MONOCHROME1, grey or colour as `channels`
    asks, the resize, 0 to 1 spread over `range`, then ``(x - mean) / std``.

    Attributes
    ----------
    size
        Height and width of the network's input, in pixels.
    window
        In modality units (HU in CT), applied to every grey frame that has such units; None shows
        each image with its own VOI. Pictures and secondary captures are brightness already and
        are never windowed.
    fit
        How other proportions are dealt with.
    resampling
        The interpolation.
    channels
        1 for grey (colour is reduced to its luma, ITU-R BT.601), 3 for RGB (grey is repeated).
    range
        What black and white become before `mean` and `std`.
    mean, std
        One value, or one for each channel.

    Examples
    --------
    >>> card = Preprocessing(size=(224, 224), window=Window(center=40, width=400))
    >>> card.model_dump(mode="json", by_alias=True)["Window"]
    {'Center': 40.0, 'Width': 400.0, 'Function': 'LINEAR'}
    """

    model_config = ConfigDict(
        alias_generator=to_pascal, populate_by_name=True, extra="forbid", frozen=True
    )

    size: tuple[Side, Side]
    window: Window | None = None
    fit: Fit = Fit.STRETCH
    resampling: Resampling = Resampling.BILINEAR
    channels: Literal[1, 3] = 3
    range: tuple[Finite, Finite] = (-1.0, 1.0)
    mean: tuple[Finite, ...] = (0.0,)
    std: tuple[Deviation, ...] = (1.0,)

    @model_validator(mode="after")
    def _consistent(self) -> Preprocessing:
        for name, values in (("Mean", self.mean), ("Std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(
                    f"{name} has {len(values)} values; expected 1 or one for each of the "
                    f"{self.channels} channels"
                )
        if self.range[0] >= self.range[1]:
            raise ValueError(f"Range must rise, not run from {self.range[0]} to {self.range[1]}")
        return self

    @property
    def shape(self) -> tuple[int, int, int]:
        """Channels, height and width of what `prepare` gives."""
        return (self.channels, *self.size)


def prepare(frame: Frame, preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Turn a frame into a network's input.

    Parameters
    ----------
    frame
        Grey in any units, or RGB.
    preprocessing
        What the model's card asks for.

    Returns
    -------
    ndarray of float32
        (C, H, W), C-contiguous, `preprocessing.shape`.
    """
    shown = frame.display(preprocessing.window)
    if shown.ndim == 3 and preprocessing.channels == 1:
        shown = shown @ _LUMA
    planes = [shown] if shown.ndim == 2 else [shown[:, :, channel] for channel in range(3)]
    resized = [_resized(plane, preprocessing) for plane in planes]

    low, high = preprocessing.range
    mean = np.asarray(preprocessing.mean, dtype=np.float64)
    std = np.asarray(preprocessing.std, dtype=np.float64)
    scale = np.broadcast_to((high - low) / std, preprocessing.channels)
    offset = np.broadcast_to((low - mean) / std, preprocessing.channels)
    result = np.empty(preprocessing.shape, dtype=np.float32)
    for channel in range(preprocessing.channels):
        plane = resized[channel if len(resized) == 3 else 0]
        np.multiply(plane, np.float32(scale[channel]), out=result[channel])
        result[channel] += np.float32(offset[channel])
    return result


_LUMA = np.array([0.299, 0.587, 0.114], dtype=np.float32)

_FILTERS = {
    Resampling.BOX: PillowImage.Resampling.BOX,
    Resampling.BILINEAR: PillowImage.Resampling.BILINEAR,
    Resampling.BICUBIC: PillowImage.Resampling.BICUBIC,
    Resampling.LANCZOS: PillowImage.Resampling.LANCZOS,
}


class Placement(NamedTuple):
    """Where the parts of a frame lie in a network's input.

    Attributes
    ----------
    box
        What of the frame is kept, in its pixels: left, upper, right and lower edge.
    inner
        Height and width that this takes up in the input.
    corner
        Rows above it and columns to the left of it.
    """

    box: tuple[float, float, float, float]
    inner: tuple[int, int]
    corner: tuple[int, int]


def placement(rows: int, columns: int, preprocessing: Preprocessing) -> Placement:
    """Tell how a frame of some height and width is fitted into a network's input."""
    height, width = preprocessing.size
    box: tuple[float, float, float, float] = (0.0, 0.0, float(columns), float(rows))
    inner = (height, width)
    if preprocessing.fit is Fit.CROP:
        factor = max(height / rows, width / columns)
        kept_rows, kept_columns = min(rows, height / factor), min(columns, width / factor)
        top, left = (rows - kept_rows) / 2, (columns - kept_columns) / 2
        box = (left, top, left + kept_columns, top + kept_rows)
    elif preprocessing.fit is Fit.LETTERBOX:
        factor = min(height / rows, width / columns)
        inner = (
            min(height, max(1, round(rows * factor))),
            min(width, max(1, round(columns * factor))),
        )
    return Placement(box, inner, ((height - inner[0]) // 2, (width - inner[1]) // 2))


def _resized(plane: NDArray[np.float32], preprocessing: Preprocessing) -> NDArray[np.float32]:
    """Bring one plane, 0 to 1, to the network's height and width."""
    height, width = preprocessing.size
    rows, columns = plane.shape
    if (rows, columns) == (height, width):
        return plane
    box, inner, (top, left) = placement(rows, columns, preprocessing)
    picture = PillowImage.fromarray(np.ascontiguousarray(plane)).resize(
        (inner[1], inner[0]), _FILTERS[preprocessing.resampling], box=box
    )
    # Cubic and Lanczos kernels overshoot at edges; no display shows brighter than white.
    resized = np.clip(np.asarray(picture, dtype=np.float32), 0.0, 1.0)
    if inner == (height, width):
        return resized
    framed = np.zeros((height, width), dtype=np.float32)
    framed[top : top + inner[0], left : left + inner[1]] = resized
    return framed
