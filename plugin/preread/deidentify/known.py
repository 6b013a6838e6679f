"""What a header itself says about who somebody is: words that a description must not repeat."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from preread.elements import (
    DEEPEST,
    Element,
    Encoding,
    Header,
    MalformedFile,
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
_MOST: Final = 2000


def identifying_texts(header: Header, character_sets: Sequence[str]) -> Iterator[str]:
    """Return the names, identifiers and birth dates in a header, at any depth.

    Parameters
    ----------
    header
        As it came.
    character_sets
        Of its top level.
    """
    found = _texts(header.data, header.all_elements, header.encoding, character_sets, 0)
    for _, text in zip(range(_MOST), found, strict=False):
        yield text


def _texts(
    data: bytes | memoryview,
    elements: Sequence[Element],
    encoding: Encoding,
    terms: Sequence[str],
    depth: int,
) -> Iterator[str]:
    for element in elements:
        vr = element.vr if element.vr not in (b"", b"UN") else dictionary_vr(element.tag)
        if vr == b"SQ":
            if depth < DEEPEST:
                yield from _nested(data, element, element.inner_encoding(encoding), terms, depth)
        elif vr == b"PN" or (_identifies(element.tag) and vr in _READABLE):
            raw = bytes(data[element.value : element.value_end])
            yield decode_text(raw, terms, is_name=vr == b"PN").strip(" \0")


def _nested(
    data: bytes | memoryview,
    sequence: Element,
    encoding: Encoding,
    terms: Sequence[str],
    depth: int,
) -> Iterator[str]:
    try:
        for _, start, end in items(data, sequence.value, sequence.value_end, encoding):
            inside = list(scan(data, start, end, encoding))
            yield from _texts(data, inside, encoding, terms, depth + 1)
    except MalformedFile:
        return  # it will be removed as a whole


def _identifies(tag: int) -> bool:
    return (tag >> 16 == _PATIENT and tag not in _NOT_IDENTIFIERS) or tag in _IDENTIFIERS
