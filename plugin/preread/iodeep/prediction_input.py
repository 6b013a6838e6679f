"""From a frame to the input of an IODeep's network: what differs between them, and its resolution.

The article's Algorithm 2 compares an image with the network's tensor (`check_tensor_shape`) before
it predicts, and does not say how levels become the numbers that a network takes. Here they are
brightness, 0 (black) to 1 (white): through the window that the network's object states
(WindowCenter, WindowWidth), if it does and the image has the modality's values; else as the image
asks to be shown.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal, Protocol, cast

import numpy as np
from PIL import Image as PillowImage
from pydantic import ValidationError

from preread.imaging import Fit, Preprocessing, Window, prepare
from preread.iodeep.errors import PredictionError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.imaging import Frame
    from preread.iodeep.architecture import Architecture
    from preread.iodeep.iod import IODeep

GREY: Final = ("MONOCHROME1", "MONOCHROME2")
_GROWN: Final = PillowImage.Resampling.BILINEAR
_SHRUNK: Final = PillowImage.Resampling.BOX


class ImagePixels(Protocol):
    """What the Image Pixel module says; `preread.imaging.layout.Layout` says it of a file."""

    @property
    def Rows(self) -> int:  # noqa: N802 - the attribute's own name
        """Of the image."""

    @property
    def Columns(self) -> int:  # noqa: N802
        """Of the image."""

    @property
    def SamplesPerPixel(self) -> int:  # noqa: N802
        """1, or 3 for colour."""

    @property
    def PhotometricInterpretation(self) -> str:  # noqa: N802
        """What the samples mean."""

    @property
    def PixelRepresentation(self) -> int:  # noqa: N802
        """1 where they are signed."""


@dataclass(frozen=True, slots=True)
class FramePixels:
    """The same of a decoded frame, whose palette and YBR have become RGB; see `ImagePixels`."""

    Rows: int
    Columns: int
    SamplesPerPixel: int
    PhotometricInterpretation: str
    PixelRepresentation: int

    @classmethod
    def of(cls, frame: Frame) -> FramePixels:
        """Tell what a frame has; values below 0, such as air's in HU, are signed."""
        rows, columns = frame.pixels.shape[:2]
        grey = GREY[0] if frame.inverted else GREY[1]
        return cls(
            Rows=rows,
            Columns=columns,
            SamplesPerPixel=3 if frame.is_colour else 1,
            PhotometricInterpretation="RGB" if frame.is_colour else grey,
            PixelRepresentation=int(frame.pixels.dtype.kind == "f" and frame.pixels.min() < 0),
        )


@dataclass(frozen=True, slots=True)
class TensorShape:
    """How frames become a network's input.

    Attributes
    ----------
    conversions
        What differs between image and network, by keyword, and what is done about it. Empty where
        the image is as the network takes it.
    preprocessing
        That brings frames to the input's rows, columns and channels.
    inverted
        Whether black becomes 1: the network was made for MONOCHROME1.
    channels_last
        Order of the input.
    """

    conversions: dict[str, str]
    preprocessing: Preprocessing
    inverted: bool
    channels_last: bool

    def tensor(self, frame: Frame) -> NDArray[np.float32]:
        """Give the input for a frame, 0 to 1, in the shape that the architecture states."""
        values = prepare(frame, self.preprocessing)
        if self.inverted:
            np.subtract(np.float32(1), values, out=values)
        return np.ascontiguousarray(np.moveaxis(values, 0, -1)) if self.channels_last else values


def check_tensor_shape(
    image: ImagePixels, network: IODeep, architecture: Architecture
) -> TensorShape:
    """Compare an image with a network's input; the article's `check_tensor_shape`.

    Parameters
    ----------
    image
        Its Rows, Columns, SamplesPerPixel, PhotometricInterpretation and PixelRepresentation.
    network
        What the object says.
    architecture
        Of the network.

    Returns
    -------
    TensorShape
        What differs is converted: sides are stretched, grey is repeated in three channels, colour
        becomes its luma, signed values are windowed like all others.

    Raises
    ------
    PredictionError
        If the network takes no image, or one of other channels than 1 or 3, or more than 4096
        pixels a side.
    """
    rows, columns, channels = _input_sides(architecture)
    window = None
    if network.WindowCenter is not None and network.WindowWidth is not None:
        window = Window(center=network.WindowCenter, width=network.WindowWidth)
    try:
        preprocessing = Preprocessing(
            size=(rows, columns),
            window=window,
            fit=Fit.STRETCH,
            channels=cast("Literal[1, 3]", channels),
            range=(0.0, 1.0),
        )
    except ValidationError:
        raise PredictionError(
            f"the network takes {rows} x {columns} pixels; at most 4096 a side are predicted on"
        ) from None
    return TensorShape(
        conversions=_conversions(image, network, (rows, columns, channels)),
        preprocessing=preprocessing,
        inverted=network.PhotometricInterpretation == GREY[0],
        channels_last=architecture.channels_last,
    )


def over_frame(plane: NDArray[np.float32], rows: int, columns: int) -> NDArray[np.float32]:
    """Spread what lies evenly over the input out over the frame that it was stretched from.

    A side that grows is interpolated, one that shrinks is averaged over each pixel. So a mask comes
    back as it was wherever the input has a whole multiple of the frame's rows and columns.

    Parameters
    ----------
    plane
        (h, w), any numbers.
    rows, columns
        Of the frame.

    Returns
    -------
    ndarray of float32
        (rows, columns), within the range of `plane`.
    """
    picture = PillowImage.fromarray(np.ascontiguousarray(plane, dtype=np.float32))
    across = _GROWN if columns > picture.width else _SHRUNK
    picture = picture.resize((columns, picture.height), across)
    down = _GROWN if rows > picture.height else _SHRUNK
    return np.asarray(picture.resize((columns, rows), down), dtype=np.float32)


def _input_sides(architecture: Architecture) -> tuple[int, int, int]:
    """Give rows, columns and channels of the input."""
    shape = architecture.input_shape
    if len(shape) != 3:
        raise PredictionError(
            "the network takes no image: input_shape has "
            f"{len(shape)} numbers; expected rows, columns and channels"
        )
    rows, columns, channels = shape if architecture.channels_last else (*shape[1:], shape[0])
    if channels not in (1, 3):
        raise PredictionError(f"the network takes {channels} channels; expected 1 or 3")
    return rows, columns, channels


def _conversions(
    image: ImagePixels, network: IODeep, sides: tuple[int, int, int]
) -> dict[str, str]:
    rows, columns, channels = sides
    found: dict[str, str] = {}
    if image.Rows != rows:
        found["Rows"] = f"{image.Rows} to {rows}"
    if image.Columns != columns:
        found["Columns"] = f"{image.Columns} to {columns}"
    samples = 1 if image.PhotometricInterpretation in GREY else 3
    if samples != channels:
        kind = "grey in three channels" if channels == 3 else "luma of the colours"
        found["SamplesPerPixel"] = f"{samples} to {channels}: {kind}"
    given, wanted = image.PhotometricInterpretation, network.PhotometricInterpretation
    if given != wanted:
        found["PhotometricInterpretation"] = f"{given} to {wanted}"
    if image.PixelRepresentation:
        found["PixelRepresentation"] = "signed values to levels from 0 to 1"
    return found
