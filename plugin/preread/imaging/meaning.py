"""What the values of an image's pixels mean, from its own attributes and nothing else.

This is what tells pictures (`Units.DISPLAY`) from CT in Hounsfield units, here and nowhere else.

Pictures are colour, Secondary Captures, images that say that they are for presentation
(Presentation Intent Type, PS3.3 C.8.11.1), and images of at most 8 bits whose values are not
rescaled: no CT in Hounsfield units fits into 0 to 255. CT whose values are rescaled is in
Hounsfield units unless Rescale Type says otherwise (PS3.3 C.11.1.1.2).
"""

from __future__ import annotations

from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence

from preread.imaging.attributes import items_of, number_of, text_of, value_of
from preread.imaging.frame import Units
from preread.imaging.layout import COLOUR, GREY, PALETTE, Layout
from preread.imaging.source import Source

_SECONDARY_CAPTURE: Final = "1.2.840.10008.5.1.4.1.1.7"
_BITS_OF_A_PICTURE: Final = 8
_TRANSFORMATION: Final = "PixelValueTransformationSequence"
_PER_FRAME: Final = "PerFrameFunctionalGroupsSequence"
_SHARED: Final = "SharedFunctionalGroupsSequence"


def functional_group(dataset: Dataset, index: int, keyword: str) -> Dataset | None:
    """Find a functional group's item of a frame: its own, else the shared one."""
    for sequence, place in ((_PER_FRAME, index), (_SHARED, 0)):
        groups = _item_at(dataset, sequence, place)
        items = [] if groups is None else items_of(groups, keyword)
        if items:
            return items[0]
    return None


def _item_at(dataset: Dataset, keyword: str, place: int) -> Dataset | None:
    """Give one item of a sequence without going through the others: there may be thousands."""
    items = value_of(dataset, keyword)
    is_there = isinstance(items, Sequence) and place < len(items)
    return items[place] if is_there else None


def transformation(dataset: Dataset, index: int) -> Dataset:
    """Find what says how a frame's stored values become modality units (PS3.3 C.11.1)."""
    group = functional_group(dataset, index, _TRANSFORMATION)
    return dataset if group is None else group


def units_of_frame(source: Source, layout: Layout, index: int) -> Units:
    """Say what the values of a frame mean, once they are transformed.

    Parameters
    ----------
    source
        The file.
    layout
        Its checked Image Pixel module.
    index
        Of the frame, from 0.

    Raises
    ------
    UnreadableImage
        If a value that this depends on cannot be read.
    """
    if layout.PhotometricInterpretation in (*COLOUR, PALETTE):
        return Units.DISPLAY
    return units_by(source, layout, transformation(source.dataset, index))


def units_of_image(source: Source, layout: Layout) -> Units:
    """Say what the values of all frames mean; unknown where frames differ.

    Raises
    ------
    UnreadableImage
        As `units_of_frame`.
    """
    first = units_of_frame(source, layout, 0)
    # Only frames with functional groups of their own can differ. Their list is asked for once:
    # there may be tens of thousands.
    frames = items_of(source.dataset, _PER_FRAME)
    own = (items_of(groups, _TRANSFORMATION) for groups in frames[: layout.NumberOfFrames])
    is_grey = layout.PhotometricInterpretation in GREY
    differs = (items and units_by(source, layout, items[0]) is not first for items in own)
    return Units.UNKNOWN if is_grey and any(differs) else first


def units_by(source: Source, layout: Layout, item: Dataset) -> Units:
    """Say what grey values mean once they are transformed as an item says; see `transformation`."""
    tables = items_of(item, "ModalityLUTSequence")
    if tables:
        kind, is_transformed, is_rescaled = text_of(tables[0], "ModalityLUTType"), True, True
    else:
        slope, intercept = number_of(item, "RescaleSlope"), number_of(item, "RescaleIntercept")
        is_transformed = slope is not None or intercept is not None
        is_rescaled = slope not in (None, 1) or intercept not in (None, 0)
        kind = text_of(item, "RescaleType") if is_transformed else ""
    if kind == "HU":
        return Units.HOUNSFIELD
    if _is_picture(source, layout, is_rescaled=is_rescaled):
        return Units.DISPLAY
    if text_of(source.dataset, "Modality") == "CT" and not kind:
        return Units.HOUNSFIELD if is_transformed else Units.UNKNOWN
    return Units.MODALITY


def _is_picture(source: Source, layout: Layout, *, is_rescaled: bool) -> bool:
    if source.sop_class == _SECONDARY_CAPTURE or source.sop_class.startswith(
        f"{_SECONDARY_CAPTURE}."
    ):
        return True
    if text_of(source.dataset, "PresentationIntentType") == "FOR PRESENTATION":
        return True
    is_small = layout.keyword == "PixelData" and layout.BitsStored <= _BITS_OF_A_PICTURE
    return is_small and layout.PixelRepresentation == 0 and not is_rescaled
