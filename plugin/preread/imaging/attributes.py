"""Reading attributes of a data set that nobody vouches for.

pydicom converts a value when it is asked for, and then raises whatever the value's fault suggests.
These functions turn every such fault into one sentence that names the attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from preread.imaging.errors import UnreadableImage


def named(keyword: str) -> str:
    """Give an attribute's keyword with its tag, for messages.

    Examples
    --------
    >>> named("Rows")
    'Rows (0028,0010)'
    """
    tag = tag_for_keyword(keyword) or 0
    return f"{keyword} ({tag >> 16:04X},{tag & 0xFFFF:04X})"


def value_of(dataset: Dataset, keyword: str) -> Any:
    """Give an attribute's value, None where it is absent or empty.

    Raises
    ------
    UnreadableImage
        If its bytes cannot be what its VR says.
    """
    try:
        value = dataset.get(keyword)
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever the bytes provoke
        raise UnreadableImage(
            f"{named(keyword)} cannot be read as its VR ({type(error).__name__})"
        ) from None
    if value is None or (isinstance(value, str | bytes | MultiValue) and len(value) == 0):
        return None
    return value


def first_of(dataset: Dataset, keyword: str) -> Any:
    """Give an attribute's first value, None where it is absent or empty."""
    value = value_of(dataset, keyword)
    return value[0] if isinstance(value, MultiValue | list | tuple) else value


def number_of(dataset: Dataset, keyword: str) -> float | None:
    """Give an attribute's first value as a finite number, None where it is absent or empty.

    Raises
    ------
    UnreadableImage
        If it is no number.
    """
    value = first_of(dataset, keyword)
    if value is None:
        return None
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        number = float("nan")
    if not isfinite(number):
        raise UnreadableImage(f"{named(keyword)} holds no number")
    return number


def whole_of(dataset: Dataset, keyword: str) -> int | None:
    """Give an attribute's only value as a whole number, None where it is absent or empty.

    Raises
    ------
    UnreadableImage
        If it is no whole number, or there are several.
    """
    value = value_of(dataset, keyword)
    if isinstance(value, MultiValue):
        raise UnreadableImage(f"{named(keyword)} holds {len(value)} values; expected one")
    number = number_of(dataset, keyword)
    if number is None:
        return None
    if number != int(number):
        raise UnreadableImage(f"{named(keyword)} holds no whole number")
    return int(number)


def text_of(dataset: Dataset, keyword: str) -> str:
    """Give an attribute's first value as upper-case text, "" where it is absent or no text."""
    value = first_of(dataset, keyword)
    return value.strip(" \0").upper() if isinstance(value, str) else ""


def items_of(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Give a sequence's items, none where it is absent or not a sequence."""
    value = value_of(dataset, keyword)
    try:
        return [item for item in value or () if isinstance(item, Dataset)]
    except TypeError:
        return []
