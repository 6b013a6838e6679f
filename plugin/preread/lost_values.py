"""Attributes without which an image cannot be read truthfully, and the mark that one was lost.

De-identification removes what it cannot read. A reader of the image would take it for absent then,
and read with a default in its place: Hounsfield units that are off by 1024. So the file says what
was lost, in De-identification Method (0012,0063), and is left unread.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from pydicom.datadict import tag_for_keyword

PIXEL_ATTRIBUTES: Final = (
    "SOPClassUID",
    "Modality",
    "PresentationIntentType",
    "SamplesPerPixel",
    "PhotometricInterpretation",
    "PlanarConfiguration",
    "NumberOfFrames",
    "Rows",
    "Columns",
    "BitsAllocated",
    "BitsStored",
    "HighBit",
    "PixelRepresentation",
    "PixelPaddingValue",
    "PixelPaddingRangeLimit",
    "FloatPixelPaddingValue",
    "FloatPixelPaddingRangeLimit",
    "DoubleFloatPixelPaddingValue",
    "DoubleFloatPixelPaddingRangeLimit",
    "WindowCenter",
    "WindowWidth",
    "VOILUTFunction",
    "VOILUTSequence",
    "RescaleIntercept",
    "RescaleSlope",
    "RescaleType",
    "ModalityLUTSequence",
    "PresentationLUTShape",
    "RedPaletteColorLookupTableDescriptor",
    "GreenPaletteColorLookupTableDescriptor",
    "BluePaletteColorLookupTableDescriptor",
    "RedPaletteColorLookupTableData",
    "GreenPaletteColorLookupTableData",
    "BluePaletteColorLookupTableData",
    "SegmentedRedPaletteColorLookupTableData",
    "SegmentedGreenPaletteColorLookupTableData",
    "SegmentedBluePaletteColorLookupTableData",
    "SharedFunctionalGroupsSequence",
    "PerFrameFunctionalGroupsSequence",
)
"""What says what the values of pixels mean and how they are shown."""

GEOMETRY: Final = (
    "PixelSpacing",
    "ImagerPixelSpacing",
    "NominalScannedPixelSpacing",
    "PixelAspectRatio",
    "ImagePositionPatient",
    "ImageOrientationPatient",
    "SliceThickness",
    "SpacingBetweenSlices",
)
"""What says where pixels lie and how large they are: numbers, all of them."""

_WITHIN: Final = (
    "PixelValueTransformationSequence",
    "FrameVOILUTSequence",
    "PixelMeasuresSequence",
    "PlanePositionSequence",
    "PlaneOrientationSequence",
    "ModalityLUTType",
    "LUTDescriptor",
    "LUTData",
)
_TAGS: Final = frozenset(
    tag
    for keyword in (*PIXEL_ATTRIBUTES, *GEOMETRY, *_WITHIN)
    if (tag := tag_for_keyword(keyword)) is not None
)
_MARK: Final = re.compile(r"Preread lost ([0-9A-F]{8})", flags=re.ASCII)
_MOST: Final = 16  # marks in a file: one is enough to leave it unread


def marks_of(tags: Iterable[int]) -> tuple[str, ...]:
    """Return the values of DeidentificationMethod for what was lost; none for what matters not.

    >>> marks_of([0x00281052, 0x00281052, 0x00181152])
    ('Preread lost 00281052',)
    """
    return tuple(f"Preread lost {tag:08X}" for tag in sorted(_TAGS.intersection(tags))[:_MOST])


def lost_tags(methods: Iterable[str]) -> tuple[int, ...]:
    """Return which attributes the values of DeidentificationMethod say to be lost.

    >>> [f"{tag:08X}" for tag in lost_tags(["Somebody", "Preread lost 00281052"])]
    ['00281052']
    """
    found = (_MARK.fullmatch(method.strip(" \0")) for method in methods)
    return tuple(
        tag for match in found if match is not None and (tag := int(match[1], 16)) in _TAGS
    )
