"""Pixels that stand where de-identification removes them.

Some devices write compressed pixels into a private attribute, such as (07A1,100A) of ELSCINT1, and
leave PixelData out. Without it nothing of the image would be left but its header.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from typing import Final

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixel_module import COLUMNS, ROWS, number_of
from preread.elements import PIXEL_DATA, Element, Header, dictionary_vr

_PROVIDER_URL: Final = 0x00287FE0
_SPECTROSCOPY: Final = 0x56000020
_VARIABLE_PIXELS: Final = 0x7F  # groups 7Fxx of old, PS3.5-2007 section 7.6
_HOLDING: Final = frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"UN", b""))
_LEAST: Final = 64  # bytes: a smaller value holds no picture that anybody compressed
_NOTHING: Final = 8  # bytes of encapsulated pixel data that have an offset table and no frame


def check_pixels_stay(
    header: Header, changed: Iterable[Element], lost: Collection[tuple[int, str]]
) -> None:
    """Refuse an image that would be left without its pixels.

    Parameters
    ----------
    header
        As it came.
    changed
        The elements of the top level that did not stay as they were.
    lost
        Those that could not be read, by tag and reason.

    Raises
    ------
    DeidentificationError
        If there are Rows and Columns, no pixel data that stay, and something that may hold pixels
        among what goes.
    """
    last = header.all_elements[-1]
    least = _NOTHING if last.undefined else 0
    # Nearly every image leaves here.
    if last.tag in PIXEL_DATA and last.value_end - last.value > least and not lost:
        return
    gone = {tag for tag, _ in lost}
    if any(header.size(tag) > least and tag not in gone for tag in PIXEL_DATA):
        return
    if not (number_of(header, ROWS) and number_of(header, COLUMNS)):
        return
    if header.size(_SPECTROSCOPY):
        return
    for element in changed:
        if _may_hold_pixels(element):
            _refuse(element.tag)
    if last.tag in PIXEL_DATA and len(header.data) - last.end > _LEAST:
        _refuse(last.tag)


def _may_hold_pixels(element: Element) -> bool:
    tag, size = element.tag, element.value_end - element.value
    if tag in PIXEL_DATA or tag == _PROVIDER_URL:
        return size > 0
    is_place = tag & 0x10000 or tag >> 24 == _VARIABLE_PIXELS
    vr = element.vr or dictionary_vr(tag)[:2]
    return bool(is_place) and vr in _HOLDING and size > _LEAST


def _refuse(tag: int) -> None:
    raise DeidentificationError(
        tag,
        "the image has Rows and Columns but its pixels may be here, where de-identification "
        "removes them; have them sent as PixelData (7FE0,0010)",
    )
