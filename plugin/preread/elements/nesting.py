"""How deep the sequences of a file are nested, those included that nobody will read."""

from __future__ import annotations

from preread.elements.dictionary import dictionary_vr
from preread.elements.encoding import Encoding
from preread.elements.errors import MalformedFile
from preread.elements.header import Header
from preread.elements.scan import DEEPEST, Element, Ends, items, scan

_PIXEL_DATA = 0x7FE00010


def check_nesting(header: Header) -> None:
    """Refuse a file whose sequences are nested too deep for those who parse it as a whole.

    De-identification does not look into what it removes; Orthanc's parser does.

    Raises
    ------
    MalformedFile
        If a sequence lies deeper than `DEEPEST`.
    """
    ends: Ends = {}
    level = [(each, header.encoding) for each in header.all_elements if _has_items(each)]
    for depth in range(1, DEEPEST + 2):
        if not level:
            return
        if depth > DEEPEST:
            first = level[0][0]
            raise MalformedFile(first.start, first.tag, f"nested deeper than {DEEPEST} levels")
        level = [
            found
            for element, encoding in level
            for found in _inside(header.data, element, encoding, ends)
        ]


def _has_items(element: Element) -> bool:
    if element.tag == _PIXEL_DATA:
        return False
    if element.vr in (b"", b"UN"):
        return element.undefined or dictionary_vr(element.tag) == b"SQ"
    return element.vr == b"SQ" or element.undefined


def _inside(
    data: bytes | memoryview, element: Element, encoding: Encoding, ends: Ends
) -> list[tuple[Element, Encoding]]:
    """Return the sequences in the items of a sequence; what is malformed there ends the walk."""
    inner = element.inner_encoding(encoding)
    found: list[tuple[Element, Encoding]] = []
    try:
        for _, start, end in items(data, element.value, element.value_end, inner, ends=ends):
            inside = scan(data, start, end, inner, ends=ends)
            found += [(each, inner) for each in inside if _has_items(each)]
    except MalformedFile:
        return found
    return found
