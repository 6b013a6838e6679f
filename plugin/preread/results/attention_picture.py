"""A map of attention drawn over a frame, with what one must know to read it.

The picture says all by itself, since any viewer shows pictures and few show what lies beside them.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from preread.results.inferno import INFERNO

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.imaging.mapping_back import Spread

NOTICE: Final = "Research only, not a diagnosis."
OUTSIDE: Final = "The image is unlike the training data: the model gives it no class."
TITLE: Final = "What the network looked at (Grad-CAM)"
_SHORTEST: Final = 512  # pixels of the frame's longer side as it is shown
_LONGEST: Final = 2048
_MOST_OPAQUE: Final = 0.5
_FULLY_FROM: Final = 0.35  # of the map: below this it fades into the frame
_BAR_WIDTH: Final = 18
_MARGIN: Final = 12
_TEXT: Final = 16
_SMALL: Final = 13
_SCALE: Final = 96  # pixels to the right of the frame, for the colour bar and its labels
_WHITE: Final = (255, 255, 255)
_GREY: Final = (176, 176, 176)
_WARNING: Final = (255, 190, 90)


@dataclass(frozen=True, slots=True)
class Legend:
    """What stands beside the map.

    Attributes
    ----------
    model, version, dataset
        As on the model's card.
    label
        The class that is explained.
    probability
        What the model gave it in this frame, 0..1; None for an image that is too unlike the
        training data to be given a class.
    predicted
        Whether it is the class that the model found likeliest.
    frame, frames
        Which frame, from 1, of how many.
    warning
        What stands before the class; empty where nothing has to.
    """

    model: str
    version: str
    dataset: str
    label: str
    probability: float | None
    predicted: bool
    frame: int = 1
    frames: int = 1
    warning: str = ""


def draw(shown: NDArray[np.float32], spread: Spread, legend: Legend) -> NDArray[np.uint8]:
    """Draw a map over a frame, with a colour bar and the legend around it.

    Parameters
    ----------
    shown
        The frame as displays show it, (rows, columns) or (rows, columns, 3), 0 to 1.
    spread
        The map, of the same rows and columns, 0..1.
    legend
        What is written.

    Returns
    -------
    ndarray of uint8
        (height, width, 3) RGB. The frame has its own size; a small one is enlarged by whole
        factors, and one of more than 2048 pixels a side is reduced to that.
    """
    rows, columns = spread.values.shape
    height, width = _size(rows, columns)
    blended = Image.fromarray(
        _blended(_reduced(shown, height, width), _reduced(spread.values, height, width))
    ).resize((width, height), Image.Resampling.NEAREST)
    wide = max(width, _SHORTEST)
    lines = _fitted(_lines(legend, spread), wide + _SCALE - 2 * _MARGIN)
    below = 2 * _MARGIN + sum(_height(size) for _, size, _ in lines)
    picture = Image.new("RGB", (wide + _SCALE, max(height, 200) + below))
    corner = ((wide - width) // 2, 0)
    picture.paste(blended, corner)
    pen = ImageDraw.Draw(picture)
    if spread.seen != (0, 0, rows, columns):
        _outline(pen, spread.seen, (height / rows, width / columns), corner)
    _colour_bar(picture, pen, wide + _MARGIN, max(height, 200))
    top = max(height, 200) + _MARGIN
    for text, size, colour in lines:
        pen.text((_MARGIN, top), text, font=_font(size), fill=colour)
        top += _height(size)
    return np.asarray(picture, dtype=np.uint8)


def _reduced(values: NDArray[np.float32], height: int, width: int) -> NDArray[np.float32]:
    """Shrink what is too large to be shown before it takes up more memory; leave the rest."""
    if values.shape[0] <= height and values.shape[1] <= width:
        return values
    planes = [values] if values.ndim == 2 else list(np.moveaxis(values, 2, 0))
    shrunk = [
        np.asarray(
            Image.fromarray(np.ascontiguousarray(plane, dtype=np.float32)).resize(
                (width, height), Image.Resampling.BOX
            )
        )
        for plane in planes
    ]
    return shrunk[0] if values.ndim == 2 else np.stack(shrunk, axis=2)


def _blended(shown: NDArray[np.float32], values: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Lay colour over the frame, the more opaque the more the map says."""
    grey = shown if shown.ndim == 3 else np.repeat(shown[:, :, np.newaxis], 3, axis=2)
    opaque = _MOST_OPAQUE * np.minimum(1.0, values / _FULLY_FROM)[:, :, np.newaxis]
    colours = _colours(values)
    mixed = (1.0 - opaque) * np.clip(grey, 0.0, 1.0) + opaque * colours
    return np.asarray(np.rint(255.0 * mixed), dtype=np.uint8)


def _colours(values: NDArray[np.float32]) -> NDArray[np.float32]:
    index = np.clip(np.rint(255.0 * values), 0, 255).astype(np.intp)
    found: NDArray[np.float32] = INFERNO[index]
    return found


def _size(rows: int, columns: int) -> tuple[int, int]:
    """Give the height and width in which a frame is shown."""
    longer = max(rows, columns)
    if longer > _LONGEST:
        factor = _LONGEST / longer
        return max(1, round(rows * factor)), max(1, round(columns * factor))
    times = -(-_SHORTEST // longer)
    return rows * times, columns * times


def _lines(legend: Legend, spread: Spread) -> list[tuple[str, int, tuple[int, int, int]]]:
    if legend.probability is None:
        which = f"Class {legend.label}: no probability given"
    else:
        which = f"Class {legend.label}: {100.0 * legend.probability:.2f} %"
        which += "" if legend.predicted else " (not the likeliest class)"
    if legend.frames > 1:
        which += f", frame {legend.frame} of {legend.frames}"
    lines = [(f"Caution: {legend.warning}.", _TEXT, _WARNING)] if legend.warning else []
    lines += [
        (which, _TEXT, _WHITE),
        (f"{legend.model} {legend.version}, trained on {legend.dataset}", _SMALL, _GREY),
        (TITLE, _SMALL, _GREY),
    ]
    if not spread.values.any():
        lines.append(("No area of the image speaks for this class.", _SMALL, _WARNING))
    if legend.probability is None:
        lines.append((OUTSIDE, _SMALL, _WARNING))
    lines.append((NOTICE, _SMALL, _WARNING))
    return lines


def _fitted(
    lines: list[tuple[str, int, tuple[int, int, int]]], width: int
) -> list[tuple[str, int, tuple[int, int, int]]]:
    """Break what is too long between words, or within one that is too long by itself."""
    fitted = []
    for text, size, colour in lines:
        rest = text
        while rest:
            end = len(rest)
            while end > 1 and _font(size).getlength(rest[:end]) > width:
                space = rest.rfind(" ", 0, end - 1)
                end = space if space > 0 else end - 1
            fitted.append((rest[:end], size, colour))
            rest = rest[end:].lstrip()
    return fitted


def _outline(
    pen: ImageDraw.ImageDraw,
    seen: tuple[int, int, int, int],
    factors: tuple[float, float],
    corner: tuple[int, int],
) -> None:
    """Frame what the network saw of an image of which it did not see all."""
    top, left, bottom, right = seen
    down, across = factors
    box = (
        corner[0] + left * across,
        corner[1] + top * down,
        corner[0] + right * across - 1,
        corner[1] + bottom * down - 1,
    )
    pen.rectangle(box, outline=_GREY)


def _colour_bar(picture: Image.Image, pen: ImageDraw.ImageDraw, left: int, height: int) -> None:
    """Draw the scale from 0, below, to 1, which is the most that this map has."""
    top, bottom = 2 * _MARGIN + _height(_SMALL), height - 2 * _MARGIN
    rising = np.linspace(1.0, 0.0, bottom - top, dtype=np.float32)
    bar = np.rint(255.0 * _colours(rising)).astype(np.uint8)
    bar = np.repeat(bar[:, np.newaxis, :], _BAR_WIDTH, axis=1)
    picture.paste(Image.fromarray(bar), (left, top))
    pen.rectangle((left - 1, top - 1, left + _BAR_WIDTH, bottom), outline=_GREY)
    font = _font(_SMALL)
    pen.text((left - 1, _MARGIN), "relative", font=font, fill=_GREY)
    for value, words in ((0.0, "0"), (0.5, "0.5"), (1.0, "1")):
        y = bottom - value * (bottom - top)
        pen.text((left + _BAR_WIDTH + 6, y), words, font=font, fill=_GREY, anchor="lm")


def _height(size: int) -> int:
    return round(1.5 * size)


@functools.cache
def _font(size: int) -> Any:
    """Give Pillow's own font, so that no machine lacks it."""
    return ImageFont.load_default(size)
