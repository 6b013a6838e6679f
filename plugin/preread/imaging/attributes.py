"""Reading attributes of a data set that nobody vouches for.

pydicom converts a value when it is asked for, and then raises whatever the value's fault suggests.
These functions turn every such fault into one sentence that names the attribute.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite
from typing import Any

from pydicom.datadict import tag_for_keyword
from pydicom.dataelem import RawDataElement
from pydicom.dataset import Dataset
from pydicom.multival import MultiValue

from preread.elements import dictionary_vr, most_values
from preread.elements.decimals import decimal_text
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

    A decimal comma is read as what it is, as long as it can be nothing else; see
    `preread.elements.decimals`.

    Raises
    ------
    UnreadableImage
        If it is no number.
    """
    texts = _decimals(dataset, keyword)
    return _finite(keyword, first_of(dataset, keyword) if texts is None else texts[0])


def numbers_of(dataset: Dataset, keyword: str) -> list[float] | None:
    """Give all of an attribute's values as finite numbers, None where it is absent or empty.

    Raises
    ------
    UnreadableImage
        If one of them is no number.
    """
    values: Any = _decimals(dataset, keyword)
    if values is None:
        values = value_of(dataset, keyword)
    if values is None:
        return None
    each = values if isinstance(values, MultiValue | list | tuple) else [values]
    numbers = [_finite(keyword, value) for value in each]
    return [number for number in numbers if number is not None]


def _decimals(dataset: Dataset, keyword: str) -> list[bytes] | None:
    """Give numbers that are written as text, from the bytes that pydicom has not converted yet."""
    tag = tag_for_keyword(keyword) or 0
    vr = dictionary_vr(tag)
    if vr not in (b"DS", b"IS") or tag not in dataset:
        return None
    raw = dataset.get_item(tag)
    if not isinstance(raw, RawDataElement) or not isinstance(raw.value, bytes):
        return None
    text = decimal_text(
        raw.value,
        (raw.VR or "").encode("latin-1"),
        "<" if raw.is_little_endian else ">",
        most=most_values(tag),
    )
    return None if text is None else text.split(b"\\")


def _finite(keyword: str, value: Any) -> float | None:
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
    """Give an attribute's first value as upper-case text, "" where it is absent.

    Raises
    ------
    UnreadableImage
        If it is no text.
    """
    value = first_of(dataset, keyword)
    if value is None:
        return ""
    if not isinstance(value, str):
        raise UnreadableImage(f"{named(keyword)} holds no text")
    return value.strip(" \0").upper()


def items_of(dataset: Dataset, keyword: str) -> Sequence[Dataset]:
    """Give a sequence's items, none where it is absent.

    Raises
    ------
    UnreadableImage
        If it is no sequence.
    """
    value = value_of(dataset, keyword)
    try:
        items = list(value or ())
    except TypeError:
        items = [value]
    if not all(isinstance(item, Dataset) for item in items):
        raise UnreadableImage(f"{named(keyword)} is no sequence of items")
    return items
