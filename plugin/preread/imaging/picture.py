"""PNG and JPEG pictures, decoded within bounds and without what is attached to them."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PillowImage
from PIL import ImageOps

from preread.imaging.errors import UnreadableImage
from preread.imaging.frame import Frame, frame_from_array

_FORMATS = ("PNG", "JPEG")
_SIXTEEN_BITS = ("I;16", "I;16B", "I;16L", "I;16N")
_GREY = ("1", "L", "LA")


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """A decoded picture: pixels, and nothing else of the file.

    Attributes
    ----------
    pixels
        (H, W) uint8 or uint16 grey, or (H, W, 3) uint8 RGB, upright.
    is_lossy
        Whether it was a JPEG.
    """

    pixels: NDArray[Any]
    is_lossy: bool


def read_picture(data: bytes, *, max_bytes: int) -> Picture:
    """Decode a PNG or JPEG.

    The orientation that EXIF gives is applied. Transparent parts are black, as a display's
    background is. Palettes, CMYK and colours of 16 bits become RGB of 8 bits; grey of 16 bits
    stays so. Of an animation only the first picture is read.

    Parameters
    ----------
    data
        The whole file.
    max_bytes
        The largest size of the decoded pixels.

    Raises
    ------
    UnreadableImage
        If it is neither, is damaged, or its header claims more than `max_bytes`.
    """
    try:
        with warnings.catch_warnings():
            # The bound below is ours; Pillow only warns at its own.
            warnings.simplefilter("ignore", PillowImage.DecompressionBombWarning)
            opened = PillowImage.open(BytesIO(data), formats=_FORMATS)
    except PillowImage.DecompressionBombError:
        raise UnreadableImage("the picture's header claims more pixels than can be meant") from None
    except Exception as error:  # noqa: BLE001 - decoders raise whatever the bytes provoke
        raise UnreadableImage(
            f"neither a PNG nor a JPEG picture, or a damaged one ({type(error).__name__})"
        ) from None
    with opened:
        size = opened.width * opened.height * (2 if opened.mode in _SIXTEEN_BITS else 3)
        if size > max_bytes:
            raise UnreadableImage(
                f"a picture of {opened.width} x {opened.height} pixels takes {size} bytes, more "
                f"than {max_bytes}"
            )
        try:
            pixels = _pixels(ImageOps.exif_transpose(opened))
        except Exception as error:  # noqa: BLE001 - decoders raise whatever the bytes provoke
            raise UnreadableImage(
                f"the {opened.format} picture is damaged or cut off ({type(error).__name__})"
            ) from None
        return Picture(pixels, is_lossy=opened.format != "PNG")


def open_picture(data: bytes, *, max_bytes: int) -> Frame:
    """Decode a PNG or JPEG to a frame; see `read_picture`.

    Returns
    -------
    Frame
        In `Units.DISPLAY`.

    Raises
    ------
    UnreadableImage
        As `read_picture`.
    """
    return frame_from_array(read_picture(data, max_bytes=max_bytes).pixels)


def _pixels(picture: PillowImage.Image) -> NDArray[Any]:
    if picture.mode in _SIXTEEN_BITS:
        return np.asarray(picture).astype(np.uint16)
    if picture.mode == "I":
        # What older versions of Pillow make of 16 bits.
        clipped: NDArray[Any] = np.clip(np.asarray(picture), 0, 65535).astype(np.uint16)
        return clipped
    if picture.mode in ("LA", "PA", "RGBA", "La", "RGBa") or "transparency" in picture.info:
        grey = picture.mode in ("LA", "La", "L", "1")
        with_alpha = picture.convert("RGBA")
        ground = PillowImage.new("RGBA", with_alpha.size, (0, 0, 0, 255))
        picture = PillowImage.alpha_composite(ground, with_alpha)
        return np.array(picture.convert("L" if grey else "RGB"))
    return np.array(picture.convert("L" if picture.mode in _GREY else "RGB"))
