"""What a header itself says about who somebody is: words that a description must not repeat."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final

from preread.elements import (
    DEEPEST,
    MOST_ELEMENTS,
    Element,
    Encoding,
    Ends,
    Header,
    MalformedFile,
    TooMuch,
    decode_text,
    dictionary_vr,
    items,
    scan,
)

_PATIENT: Final = 0x0010
_READABLE: Final = frozenset((b"AE", b"AS", b"CS", b"DA", b"LO", b"LT", b"PN", b"SH", b"ST", b"UT"))
# Numbers that a person is found by, outside the patient's group; names are found by their VR.
_IDENTIFIERS: Final = frozenset(
    (
        0x00080050, 0x00080081, 0x00080092, 0x00080094, 0x00200010, 0x00380010, 0x00380014,
        0x00380060, 0x00401101, 0x00401102, 0x00401103, 0x00402016, 0x00402017, 0x00401001,
        0x00400253, 0x00120040, 0x00120042,
    )
)  # fmt: skip
# Of the patient's group: what says how somebody is, not who.
_NOT_IDENTIFIERS: Final = frozenset(
    (
        0x00100040, 0x00101010, 0x00102000, 0x00102110, 0x00102180, 0x001021A0, 0x001021B0,
        0x001021C0, 0x00102201, 0x00102203, 0x00102292, 0x00104000,
    )
)  # fmt: skip
_CHARSET: Final = 0x00080005
_PIXEL_DATA: Final = 0x7FE00010
_LONGEST_NAME: Final = 2**16
# What they cost, in units of a budget.
_OF_A_TEXT: Final = 20
_OF_AN_ITEM: Final = 10
_MOST_NESTED: Final = 2000
"""Of different texts. No bound holds for the top level, where the patient is."""


@dataclass(frozen=True, slots=True)
class _Level:
    """The elements of the data set or of an item, and what is needed to read them."""

    elements: Sequence[Element]
    encoding: Encoding
    terms: Sequence[str]
    depth: int


def identifying_texts(header: Header, character_sets: Sequence[str]) -> Iterator[str]:
    """Return the names, identifiers and birth dates in a header, at any depth.

    All of the top level come first; of those in sequences, which may be as many as their writer
    likes, the first 2000, the less deep before the deeper.

    Parameters
    ----------
    header
        As it came.
    character_sets
        Of its top level.

    Yields
    ------
    str
        Each text once.
    """
    top = _Level(header.all_elements, header.encoding, character_sets, 0)
    seen: set[str] = set()
    for text in header.ends.budget.over(_texts(header.data, top), _OF_A_TEXT):
        if text not in seen:
            seen.add(text)
            yield text
    most = len(seen) + _MOST_NESTED
    for level in _nested(header.data, top, header.ends):
        for text in _texts(header.data, level):
            if text not in seen:
                if len(seen) == most:
                    return
                seen.add(text)
                yield text


def _texts(data: bytes | memoryview, level: _Level) -> Iterator[str]:
    """Yield what identifies in the elements of one level, without what lies deeper."""
    for element in level.elements:
        vr = _vr(element)
        if vr == b"PN" or (vr in _READABLE and _identifies(element.tag)):
            if element.value_end - element.value > _LONGEST_NAME:
                raise TooMuch(element.start, element.tag, "longer than any name or number")
            raw = bytes(data[element.value : element.value_end])
            yield decode_text(raw, level.terms, is_name=vr == b"PN").strip(" \0")


def _nested(data: bytes | memoryview, top: _Level, ends: Ends) -> Iterator[_Level]:
    """Yield the items in all sequences, the less deep first."""
    waiting = deque([top])
    while waiting:
        level = waiting.popleft()
        if level.depth == DEEPEST:
            return
        for element in level.elements:
            if not _has_items(element):
                continue
            for item in _items(data, element, level, ends):
                yield item
                if any(map(_has_items, item.elements)):
                    waiting.append(item)


def _items(
    data: bytes | memoryview, sequence: Element, level: _Level, ends: Ends
) -> Iterator[_Level]:
    encoding, depth = sequence.inner_encoding(level.encoding), level.depth + 1
    try:
        for _, start, end in items(
            data, sequence.value, sequence.value_end, encoding, depth=depth, ends=ends
        ):
            scanned = scan(data, start, end, encoding, depth=depth, ends=ends)
            inside = list(islice(scanned, MOST_ELEMENTS))
            ends.budget.spend(_OF_AN_ITEM + 4 * len(inside))
            yield _Level(inside, encoding, _terms(data, inside, level.terms), depth)
    except MalformedFile:
        return  # it will be removed as a whole


def _terms(
    data: bytes | memoryview, elements: Sequence[Element], outer: Sequence[str]
) -> Sequence[str]:
    """Return the character sets of an item: its own, or those around it (PS3.3 C.12.1.1.2)."""
    for element in elements:
        if element.tag == _CHARSET:
            declared = bytes(data[element.value : element.value_end]).decode("ascii", "replace")
            return [term.strip(" \0") for term in declared.split("\\")]
    return outer


def _vr(element: Element) -> bytes:
    return element.vr if element.vr not in (b"", b"UN") else dictionary_vr(element.tag)


def _has_items(element: Element) -> bool:
    if element.vr in (b"", b"UN") and element.undefined:
        return element.tag != _PIXEL_DATA
    return _vr(element) == b"SQ"


def _identifies(tag: int) -> bool:
    return (tag >> 16 == _PATIENT and tag not in _NOT_IDENTIFIERS) or tag in _IDENTIFIERS
