"""From stored values to modality units, and how an image wants them shown.

PS3.3 C.11.1 (Modality LUT), C.11.2 (VOI LUT), C.7.5.1.1.2 (pixel padding), and their places in the
functional groups of enhanced objects, C.7.6.16.2.9 and C.7.6.16.2.10.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError
from pydicom.dataset import Dataset

from preread.imaging.attributes import first_of, items_of, named, number_of, text_of
from preread.imaging.display import Span, Table, Voi, VoiFunction, Window
from preread.imaging.errors import UnreadableImage
from preread.imaging.frame import Frame, Units
from preread.imaging.layout import Layout
from preread.imaging.meaning import functional_group, transformation, units_by
from preread.imaging.source import Source
from preread.imaging.tables import lookup_table

_PADDING = {
    "PixelData": "PixelPadding",
    "FloatPixelData": "FloatPixelPadding",
    "DoubleFloatPixelData": "DoubleFloatPixelPadding",
}


def grey_frame(index: int, stored: NDArray[Any], source: Source, layout: Layout) -> Frame:
    """Make a frame of the stored values of a grey image.

    Parameters
    ----------
    index
        Of the frame, from 0.
    stored
        (H, W), of any number type.
    source
        The file.
    layout
        Its checked Image Pixel module.

    Raises
    ------
    UnreadableImage
        If a table or a number that the values depend on is broken.
    """
    padding = _padding(stored, source.dataset, layout)
    values, units = _in_modality_units(index, stored, source, layout)
    finite = np.isfinite(values) if layout.keyword != "PixelData" else None
    if finite is not None and not finite.all():
        padding = ~finite if padding is None else padding | ~finite
    inverted = (
        layout.PhotometricInterpretation == "MONOCHROME1"
        or text_of(source.dataset, "PresentationLUTShape") == "INVERSE"
    )
    if padding is not None:
        if padding.all() and finite is not None and not finite.any():
            raise UnreadableImage(f"frame {index + 1} holds no finite number")
        if not padding.all():
            shown = values[~padding]
            # Padding is outside of what was imaged: it is made as dark as the darkest pixel, so
            # that neither a window nor a range is drawn out by it.
            values[padding] = shown.max() if inverted else shown.min()
    voi = _voi(index, values, source) or _range_of(values, units, layout)
    return Frame(index=index, pixels=values, units=units, voi=voi, inverted=inverted)


def _in_modality_units(
    index: int, stored: NDArray[Any], source: Source, layout: Layout
) -> tuple[NDArray[np.float32], Units]:
    item = transformation(source.dataset, index)
    units = units_by(source, layout, item)
    tables = items_of(item, "ModalityLUTSequence")
    if tables:
        table = lookup_table(
            tables[0], signed=layout.PixelRepresentation == 1, little=source.little
        )
        values = table.apply(stored).astype(np.float32)
        return values, units
    slope, intercept = number_of(item, "RescaleSlope"), number_of(item, "RescaleIntercept")
    if slope is None and intercept is None:
        return stored.astype(np.float32), units
    if slope == 0:
        raise UnreadableImage(f"{named('RescaleSlope')} is 0, so all pixels would be one value")
    return _rescaled(stored, 1.0 if slope is None else slope, intercept or 0.0), units


def _rescaled(stored: NDArray[Any], slope: float, intercept: float) -> NDArray[np.float32]:
    if stored.dtype.itemsize <= 2:
        # Up to 16 bits are exact in float32, and a slope of 1 is the rule: no wider array needed.
        values = stored.astype(np.float32)
        if slope != 1:
            values *= np.float32(slope)
        if intercept:
            values += np.float32(intercept)
        return values
    wide = stored.astype(np.float64)
    wide *= slope
    wide += intercept
    with np.errstate(over="ignore"):
        return wide.astype(np.float32)


def _padding(stored: NDArray[Any], dataset: Dataset, layout: Layout) -> NDArray[np.bool_] | None:
    """Find the pixels that pad; None where no padding is declared."""
    name = _PADDING[layout.keyword]
    value = first_of(dataset, f"{name}Value")
    limit = first_of(dataset, f"{name}RangeLimit")
    if value is None:
        return None
    try:
        low = _as_stored(value, layout)
        high = low if limit is None else _as_stored(limit, layout)
    except (TypeError, ValueError, OverflowError):
        raise UnreadableImage(
            f"{named(f'{name}Value')} or {name}RangeLimit holds no number, so that padding cannot "
            "be told from the image"
        ) from None
    low, high = min(low, high), max(low, high)
    mask: NDArray[np.bool_] = stored == low if low == high else (stored >= low) & (stored <= high)
    return mask if mask.any() else None


def _as_stored(value: Any, layout: Layout) -> float:
    """Read a padding value as the pixels are: its VR may be US or SS whatever they are."""
    if layout.keyword != "PixelData":
        return float(value)
    number = int.from_bytes(value, "little") if isinstance(value, bytes) else int(value)
    bits = layout.BitsAllocated
    number &= (1 << bits) - 1
    signed = layout.PixelRepresentation == 1 and number >> (bits - 1)
    return number - (1 << bits) if signed else number


def _voi(index: int, values: NDArray[np.float32], source: Source) -> Voi | None:
    """Read the first VOI LUT or window; None where there is none that can be applied."""
    group = functional_group(source.dataset, index, "FrameVOILUTSequence")
    item = source.dataset if group is None else group
    tables = items_of(item, "VOILUTSequence")
    if tables:
        table = lookup_table(tables[0], signed=bool(values.min() < 0), little=source.little)
        entries = table.entries.astype(np.float32) / np.float32((1 << table.bits) - 1)
        return Table(table.first, entries)
    center, width = number_of(item, "WindowCenter"), number_of(item, "WindowWidth")
    if center is None or width is None:
        return None
    return _window(center, width, text_of(item, "VOILUTFunction"))


def _window(center: float, width: float, function: str) -> Window | None:
    """Make a window; None for a width that PS3.3 C.11.2.1.2 forbids, which files do hold."""
    known = VoiFunction.__members__.get(function, VoiFunction.LINEAR)
    if known is VoiFunction.LINEAR and 0 < width < 1:
        # Meant for values of small range, where LINEAR's offset of half a unit makes no sense.
        known = VoiFunction.LINEAR_EXACT
    try:
        return Window(center=center, width=width, function=known)
    except ValidationError:
        return None


def _range_of(values: NDArray[np.float32], units: Units, layout: Layout) -> Span:
    """Give the range of an image that has neither window nor table.

    One bit, eight bits and secondary captures show brightness, from 0 to what their bits hold: the
    same as for the picture that a capture was made from. Elsewhere nothing is known but the values.
    """
    low, high = float(values.min()), float(values.max())
    largest = float((1 << min(layout.BitsStored, 32)) - 1)
    brightness = units is Units.DISPLAY or layout.BitsStored <= 8
    if brightness and layout.keyword == "PixelData" and low >= 0 and high <= largest:
        return Span(0, largest)
    return Span(low, high)
