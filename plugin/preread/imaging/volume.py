"""The order and geometry of a series: which image lies behind which, and how large a pixel is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from preread.imaging.errors import NoImagePlaneError
from preread.imaging.plane import ImagePlane

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset


def in_order(headers: Sequence[Dataset]) -> list[int]:
    """Order images by their place along the patient; where one has none, by their numbers.

    The place is that along the normal of the first image's plane. Images of one place follow each
    other by InstanceNumber, and by SOPInstanceUID.

    Parameters
    ----------
    headers
        Without pixels.

    Returns
    -------
    list of int
        Positions in `headers`.
    """
    ranks = _ranks(headers)
    return sorted(range(len(headers)), key=ranks.__getitem__)


def _ranks(headers: Sequence[Dataset]) -> list[tuple[float, float, str]]:
    try:
        planes = [ImagePlane.of(one) for one in headers]
        normal = np.cross(planes[0].along_row, planes[0].along_column) if planes else np.zeros(3)
        places = [float(plane.position @ normal) for plane in planes]
    except NoImagePlaneError:
        places = [0.0] * len(headers)
    return [
        (place, _number(one), str(one.get("SOPInstanceUID", "")))
        for place, one in zip(places, headers, strict=True)
    ]


def _number(header: Dataset) -> float:
    try:
        return float(header.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        return 0.0


def is_localizer(image: Dataset) -> bool:
    """Tell whether an image only serves to plan others (Image Type, PS3.3 C.8.2.1.1.1)."""
    kinds = image.get("ImageType") or ()
    kinds = [kinds] if isinstance(kinds, str) else list(kinds)
    return "LOCALIZER" in [str(kind).strip().upper() for kind in kinds[2:]]


def pixel_area(header: Dataset, frame: int) -> float | None:
    """Give the size of a frame's pixels in square millimetres; None if PixelSpacing is not there.

    ImagerPixelSpacing of projections is not taken: it is the detector's, not the patient's.
    """
    for item in (*_measures(header, frame), header):
        try:
            rows, columns = (float(value) for value in item.get("PixelSpacing") or ())
        except (AttributeError, TypeError, ValueError):
            continue
        if rows > 0 and columns > 0 and rows * columns < 1e6:
            return rows * columns
    return None


def _measures(header: Dataset, frame: int) -> list[Dataset]:
    """Give the Pixel Measures of a frame, its own first; none of what are no sequences."""
    try:
        groups = [
            *list(header.get("PerFrameFunctionalGroupsSequence") or ())[frame : frame + 1],
            *list(header.get("SharedFunctionalGroupsSequence") or ())[:1],
        ]
        return [item for group in groups for item in group.get("PixelMeasuresSequence") or ()]
    except (AttributeError, TypeError):
        return []
