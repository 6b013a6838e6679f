"""How results that were written into a de-identified file stand beside the original's attributes.

Results were written where the de-identified file had room for them, and refer to it. The original
may need that room, and has other UIDs.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Final

from preread.elements import Encoding, items, scan
from preread.results.block import FIRST_BLOCK, FIRST_GROUP, LAST_BLOCK, PRIVATE_CREATOR
from preread.results.encoding import element, item, sequence
from preread.results.equipment import is_ours
from preread.results.splice import Layout, UnwritableInstanceError

Edits = dict[int, bytes | None]

_EXPLICIT: Final = Encoding(implicit=False, little=True)
_SOP_INSTANCE_UID: Final = 0x00080018
_CODE_VALUE: Final = 0x00080100
_REFERENCED_SERIES_SEQUENCE: Final = 0x00081115
_REFERENCED_SOP_INSTANCE_UID: Final = 0x00081155
_SOURCE_IMAGE_SEQUENCE: Final = 0x00082112
_DERIVATION_CODE_SEQUENCE: Final = 0x00089215
_CONTRIBUTING_EQUIPMENT_SEQUENCE: Final = 0x0018A001
_SERIES_INSTANCE_UID: Final = 0x0020000E

_DERIVED_BY_US: Final = b"PREDICTED"
_OF_THE_DERIVED: Final = frozenset(
    (
        0x00080008,  # ImageType
        0x00080012,  # InstanceCreationDate
        0x00080013,  # InstanceCreationTime
        _SOP_INSTANCE_UID,
        0x00080021,  # SeriesDate, which a derived image goes without
        0x00080031,  # SeriesTime, likewise
        0x0008103E,  # SeriesDescription
        0x00082111,  # DerivationDescription
        _SERIES_INSTANCE_UID,
        0x00200011,  # SeriesNumber
    )
)
"""What a derived image says of itself, and not of the image that it was made from."""


def with_results(layout: Layout, originals: Mapping[int, bytes]) -> Edits:
    """Return the original's attributes as they go into a file that may hold results.

    - A private block of results in a group that the original uses moves to a free group.
    - ContributingEquipmentSequence gets the original's items and those of the models.
    - An image that was derived to carry results stays that image, in its own series; what it says
      of its source gets the source's UIDs.

    Parameters
    ----------
    layout
        The de-identified file.
    originals
        Encoded elements by tag, Explicit VR Little Endian.

    Returns
    -------
    dict
        As `Layout.join` takes it.

    Raises
    ------
    preread.results.UnwritableInstanceError
        If no private group is free.
    preread.elements.MalformedFile
        If a sequence cannot be walked through.
    """
    edits: Edits = dict(originals)
    edits |= _moved_block(layout, originals)
    if _CONTRIBUTING_EQUIPMENT_SEQUENCE in originals:
        theirs = _items_of(originals, _CONTRIBUTING_EQUIPMENT_SEQUENCE)
        ours = filter(is_ours, layout.items(_CONTRIBUTING_EQUIPMENT_SEQUENCE))
        edits[_CONTRIBUTING_EQUIPMENT_SEQUENCE] = _joined(
            _CONTRIBUTING_EQUIPMENT_SEQUENCE, [*theirs, *ours]
        )
    if is_derived(layout):
        for tag in _OF_THE_DERIVED:
            edits.pop(tag, None)
        edits |= _references(layout, originals)
    return edits


def is_derived(layout: Layout) -> bool:
    """Tell whether an image was derived to carry results, rather than read in place."""
    return any(
        bytes(entry[place.value : place.value_end]).strip(b" ") == _DERIVED_BY_US
        for entry in layout.items(_DERIVATION_CODE_SEQUENCE)
        for place in scan(entry, 0, len(entry), _EXPLICIT)
        if place.tag == _CODE_VALUE
    )


def _references(layout: Layout, originals: Mapping[int, bytes]) -> Edits:
    """Name the source as it is named now; a derived image enters it last in each sequence."""
    uids = {
        tag: originals[own]
        for tag, own in (
            (_REFERENCED_SOP_INSTANCE_UID, _SOP_INSTANCE_UID),
            (_SERIES_INSTANCE_UID, _SERIES_INSTANCE_UID),
        )
        if own in originals
    }
    edits: Edits = {}
    for tag in (_SOURCE_IMAGE_SEQUENCE, _REFERENCED_SERIES_SEQUENCE, _DERIVATION_CODE_SEQUENCE):
        *earlier, last = layout.items(tag) if tag in layout else (memoryview(b""),)
        if tag in originals and tag != _SOURCE_IMAGE_SEQUENCE:
            earlier = _items_of(originals, tag)
        renamed = [memoryview(_renamed(last, uids))] if last else []
        edits[tag] = _joined(tag, [*earlier, *renamed])
    return edits


def _renamed(content: memoryview, uids: Mapping[int, bytes]) -> bytes:
    """Put other UIDs into an item, by tag, at any depth."""
    parts: list[bytes | memoryview] = []
    for place in scan(content, 0, len(content), _EXPLICIT):
        if place.vr == b"SQ":
            inside = items(content, place.value, place.value_end, _EXPLICIT)
            entries = [item([_renamed(content[start:end], uids)]) for _, start, end in inside]
            parts.append(sequence(place.tag, entries))
        elif place.tag in uids:
            parts.append(element(place.tag, "UI", value_of(uids[place.tag])))
        else:
            parts.append(content[place.start : place.end])
    return b"".join(parts)


def value_of(encoded: bytes) -> bytes:
    """Return the value of an element in Explicit VR Little Endian, without padding."""
    place = next(iter(scan(encoded, 0, len(encoded), _EXPLICIT)))
    return encoded[place.value : place.value_end].strip(b" \0")


def _items_of(originals: Mapping[int, bytes], tag: int) -> list[memoryview]:
    encoded = memoryview(originals[tag])
    place = next(iter(scan(encoded, 0, len(encoded), _EXPLICIT)))
    inside = items(encoded, place.value, place.value_end, _EXPLICIT)
    return [encoded[start:end] for _, start, end in inside]


def _joined(tag: int, entries: list[memoryview]) -> bytes:
    return sequence(tag, [item([entry]) for entry in entries])


def _moved_block(layout: Layout, originals: Mapping[int, bytes]) -> Edits:
    """Move results out of the private groups in which the original has elements.

    A block of results has a group of its own, so that the whole group moves.
    """
    theirs = {tag >> 16 for tag in originals}
    present = {place.tag >> 16 for place in layout.places}
    free = (group for group in range(FIRST_GROUP, 0xFFFF, 2) if group not in theirs | present)
    moved: Edits = {}
    for group in sorted(_groups_with_results(layout) & theirs):
        new = next(free, None)
        if new is None:
            raise UnwritableInstanceError("no private group is left for the results")
        for place in layout.places:
            if place.tag >> 16 == group:
                if place.tag not in originals:
                    moved[place.tag] = None
                head = struct.pack("<HH", new, place.tag & 0xFFFF)
                rest = layout.source[place.start + 4 : place.end]
                moved[new << 16 | place.tag & 0xFFFF] = head + rest
    return moved


def _groups_with_results(layout: Layout) -> set[int]:
    return {
        place.tag >> 16
        for place in layout.places
        if place.tag >> 16 & 1
        and FIRST_BLOCK <= place.tag & 0xFFFF <= LAST_BLOCK
        and layout.text(place.tag) == PRIVATE_CREATOR
    }
