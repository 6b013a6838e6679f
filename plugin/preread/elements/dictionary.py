"""The VRs of PS3.6, as pydicom's dictionary has them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from pydicom.datadict import (  # type: ignore[attr-defined]  # public by pydicom's own manual
    DicomDictionary,
    RepeatersDictionary,
)

_VR_OF: Final = {tag: entry[0].encode() for tag, entry in DicomDictionary.items()}
_VM_OF: Final = {tag: entry[1] for tag, entry in DicomDictionary.items()}
_REPEATING: Final = tuple(
    (
        int(pattern.replace("x", "0"), 16),
        int("".join("0" if digit == "x" else "F" for digit in pattern), 16),
        entry[0].encode(),
    )
    for pattern, entry in RepeatersDictionary.items()
)


def dictionary_vr(tag: int) -> bytes:
    """Return the VR of a standard attribute as PS3.6 has it, empty if it has none.

    Ambiguous ones are returned as they stand there: ``US or SS``.

    >>> dictionary_vr(0x00100010)
    b'PN'
    """
    vr = _VR_OF.get(tag)
    if vr is not None:
        return vr
    if tag & 0xFFFF == 0:
        return b"UL"
    for value, mask, repeating in _REPEATING:
        if tag & mask == value:
            return repeating
    return b""


def most_values(tag: int) -> int:
    """Return how many values an attribute of PS3.6 may have; 0 where that has no bound.

    >>> most_values(0x00280010), most_values(0x00080008), most_values(0x00281101)
    (1, 0, 3)
    """
    vm = _VM_OF.get(tag, "n")
    if "n" in vm:
        return 0
    return max(int(number) for number in vm.replace("-", " ").split() if number.isdigit())


def tag_in_words(tag: int) -> str:
    """Return a tag as it may be logged; empty for one that PS3.6 does not have.

    Where lengths are wrong, a tag is read from within a value: its four bytes may be of a name.

    >>> tag_in_words(0x00100010), tag_in_words(0x616E7972)
    ('(0010,0010)', '')
    """
    is_graphic = tag >> 24 in (0x50, 0x60) and tag & 0xFFFF and dictionary_vr(tag)
    return f"({tag >> 16:04X},{tag & 0xFFFF:04X})" if tag in _VR_OF or is_graphic else ""


def standard_tags() -> Iterator[int]:
    """Return the tags of PS3.6 that are not part of a repeating group.

    >>> 0x00100010 in set(standard_tags())
    True
    """
    return iter(_VR_OF)
