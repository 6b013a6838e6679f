"""Numbers that say where pixels lie and how large they are: readable, or the image is not read.

No value of a pixel depends on them. But regions, areas and whatever else comes of a reading do, and
there a number that was written and cannot be read must not be taken for one that is missing.
"""

from __future__ import annotations

from collections.abc import Iterable

from pydicom.datadict import keyword_for_tag
from pydicom.dataset import Dataset

from preread.imaging.attributes import named, numbers_of, value_of
from preread.imaging.errors import UnreadableImage
from preread.imaging.meaning import functional_group
from preread.lost_values import GEOMETRY, lost_tags

_GROUPS = ("PixelMeasuresSequence", "PlanePositionSequence", "PlaneOrientationSequence")


def check_nothing_lost(dataset: Dataset) -> None:
    """Refuse an image of which de-identification had to remove what it is read with.

    Raises
    ------
    UnreadableImage
        With the first of the attributes that the file says to be lost.
    """
    methods = value_of(dataset, "DeidentificationMethod") or ()
    for tag in lost_tags([methods] if isinstance(methods, str) else map(str, methods)):
        raise UnreadableImage(
            f"{named(keyword_for_tag(tag))} had a value that could not be read and was removed by "
            "de-identification; without it the image would be read wrongly: correct the sender"
        )


def check_geometry(dataset: Dataset) -> None:
    """Hold the attributes of the top level to be numbers.

    Raises
    ------
    UnreadableImage
        With the attribute that holds something else.
    """
    _check((dataset,))


def check_geometry_of_frame(dataset: Dataset, index: int) -> None:
    """Do what `check_geometry` does for the functional groups of a frame.

    Parameters
    ----------
    dataset
        The image's attributes.
    index
        Of the frame, from 0.
    """
    found = (functional_group(dataset, index, keyword) for keyword in _GROUPS)
    _check(item for item in found if item is not None)


def _check(items: Iterable[Dataset]) -> None:
    for item in items:
        for keyword in GEOMETRY:
            numbers_of(item, keyword)
