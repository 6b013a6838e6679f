"""What becomes of an element that stays by its tag: it is one, can be made one, or may not stay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from preread.deidentify.vrs import fits, is_held
from preread.elements import (
    VRS,
    Element,
    Encoding,
    dictionary_vr,
    encode_element,
    most_values,
)
from preread.elements.decimals import LONGEST, decimal_text

_PIXEL_DATA: Final = 0x7FE00010
_HOLDS_ITEMS: Final = frozenset((b"SQ", b"UN", b""))
_NUMBERS: Final = frozenset((b"DS", b"IS"))


def fault_of(
    element: Element, data: bytes | memoryview, is_harmless: Callable[[Element], bool]
) -> str | None:
    """Return why an element may not stay as it is; None if it may.

    Encapsulated pixel data has items of another kind; a value whose writer did not know its VR has
    none. All else is not what the standard means by the attribute.

    Parameters
    ----------
    element
        One that is no sequence by its tag.
    data
        What its offsets count from.
    is_harmless
        Tells whether a code that CS does not allow is made of harmless words.
    """
    tag, vr, _, start, end, _ = element
    if vr and vr not in VRS:
        return "its VR is not one of the standard"
    if element.undefined:
        is_value = tag == _PIXEL_DATA and vr not in _HOLDS_ITEMS
        return None if is_value else "it holds items though it is no sequence"
    if not fits(vr, tag):
        return "its VR is not that of the attribute"
    is_code = dictionary_vr(tag) == b"CS"
    if not is_held(vr, tag, data, start, end) and not (is_code and is_harmless(element)):
        return "its value is none of its VR"
    return None


def needs_its_vr(element: Element) -> bool:
    """Tell whether fractions may stand under the VR of whole numbers."""
    return element.vr == b"IS" and dictionary_vr(element.tag) == b"DS"


def number_anew(element: Element, data: memoryview, encoding: Encoding) -> bytes | None:
    """Return an attribute of VR DS or IS as it is to be written, if its numbers are beyond doubt.

    Parameters
    ----------
    element
        Whose value may be of another VR, or have a decimal comma.
    data
        What its offsets count from.
    encoding
        How the data set or item around it is written.
    """
    vr = dictionary_vr(element.tag)
    length = element.value_end - element.value
    if vr not in _NUMBERS or element.undefined or length > LONGEST:
        return None
    raw = bytes(data[element.value : element.value_end])
    most, whole = most_values(element.tag), vr == b"IS"
    text = decimal_text(raw, element.vr, encoding.order, most=most, whole=whole)
    return None if text is None else encode_element(element.tag, vr, text, encoding)
