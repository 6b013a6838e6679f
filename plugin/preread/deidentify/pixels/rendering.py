"""Frames as a text detector sees them: 8 bits, in more than one way, since text hides in some."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import grey_closing, grey_opening

View = NDArray[np.uint8]
"""(H, W) or (H, W, 3)."""

_OUTLIERS = 0.5  # percent at either end
_STROKE = 13
"""Pixels: what is thinner than this stands out from what lies behind it."""
_NARROWER = 0.8


def display_views(values: NDArray[Any]) -> Iterator[View]:
    """Give a frame as a display would show it.

    The whole range of values first; then, where a few outliers squeeze that, the range of the
    others, cut off at both ends.

    Parameters
    ----------
    values
        (H, W) of any number type, or (H, W, 3) RGB.
    """
    finite = _finite(values)
    low, high = float(finite.min()), float(finite.max())
    yield _scaled(finite, low, high)
    inner_low, inner_high = (
        float(end) for end in np.percentile(finite, (_OUTLIERS, 100 - _OUTLIERS))
    )
    if inner_low < inner_high and (inner_high - inner_low) < _NARROWER * (high - low):
        yield _scaled(finite, inner_low, inner_high)


def stroke_views(values: NDArray[Any]) -> Iterator[View]:
    """Give what is thin and bright in a frame, then what is thin and dark, without the rest.

    The difference to the morphological opening and closing: what is wider than the strokes of a
    letter becomes black, so that text on organs and edges is seen as text on nothing.

    Parameters
    ----------
    values
        As above.
    """
    finite = _finite(values)
    low, high = (float(end) for end in np.percentile(finite, (_OUTLIERS, 100 - _OUTLIERS)))
    if low == high:
        low, high = float(finite.min()), float(finite.max())
    grey = _scaled(finite, low, high)
    if grey.ndim == 3:
        grey = grey.max(axis=2)
    size = (_STROKE, _STROKE)
    yield _stretched(grey - grey_opening(grey, size))
    yield _stretched(grey_closing(grey, size) - grey)


def _finite(values: NDArray[Any]) -> NDArray[Any]:
    if values.dtype.kind != "f":
        return values
    finite: NDArray[Any] = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
    return finite


def _scaled(values: NDArray[Any], low: float, high: float) -> View:
    if low == high:
        return np.zeros(values.shape, np.uint8)
    clipped = np.clip(values, low, high).astype(np.float32)
    scaled: View = ((clipped - np.float32(low)) * np.float32(255 / (high - low))).astype(np.uint8)
    return scaled


def _stretched(thin: View) -> View:
    top = max(1.0, float(np.percentile(thin, 99.5)))
    stretched: View = np.minimum(thin * np.float32(255 / top), 255).astype(np.uint8)
    return stretched
