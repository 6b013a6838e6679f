"""Walking over the elements of a data set without parsing their values (PS3.5 section 7)."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator
from typing import Final, NamedTuple

from preread.elements.encoding import LONG_VRS, VRS, Encoding
from preread.elements.errors import MalformedFile

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
DEEPEST: Final = 64
"""Nesting beyond which a file is refused; real files stay below ten."""

_IMPLICIT: Final = Encoding(implicit=True, little=True)


class Element(NamedTuple):
    """Where one element lies.

    Attributes
    ----------
    tag
        0xGGGGEEEE.
    vr
        Two letters; empty in an implicit VR data set.
    start
        Offset of its tag.
    value
        Offset of its value.
    value_end
        Offset behind its value, before the delimiter of an undefined length.
    end
        Offset of the next element.
    """

    tag: int
    vr: bytes
    start: int
    value: int
    value_end: int
    end: int

    @property
    def undefined(self) -> bool:
        """Whether its length is undefined: a delimiter ends it."""
        return self.end != self.value_end


class _Readers(NamedTuple):
    tag: Callable[..., tuple[int, ...]]
    short: Callable[..., tuple[int, ...]]
    long: Callable[..., tuple[int, ...]]


_READERS: Final = {
    True: _Readers(
        struct.Struct("<HH").unpack_from,
        struct.Struct("<H").unpack_from,
        struct.Struct("<I").unpack_from,
    ),
    False: _Readers(
        struct.Struct(">HH").unpack_from,
        struct.Struct(">H").unpack_from,
        struct.Struct(">I").unpack_from,
    ),
}


def scan(
    data: bytes | memoryview,
    start: int,
    end: int,
    encoding: Encoding,
    *,
    stop_before: int | None = None,
    depth: int = 0,
) -> Iterator[Element]:
    """Walk over the elements of one level; sequences and encapsulated pixel data are skipped.

    Parameters
    ----------
    data
        The file (or the inflated data set).
    start, end
        The range of the data set or item in it.
    encoding
        How it is written.
    stop_before
        A tag from which on nothing is looked at. Elements are taken in the order of the file,
        which a malformed file does not keep.
    depth
        How deep the level lies.

    Yields
    ------
    Element
        In the order of the file.

    Raises
    ------
    MalformedFile
        If an element does not fit into the range, or something is nested too deep.
    """
    readers = _READERS[encoding.little]
    position = start
    while position < end:
        element = read_element(data, position, end, encoding, readers, depth)
        if stop_before is not None and element.tag >= stop_before:
            return
        yield element
        position = element.end


def read_element(
    data: bytes | memoryview,
    position: int,
    end: int,
    encoding: Encoding,
    readers: _Readers | None = None,
    depth: int = 0,
) -> Element:
    """Read the header of the element at `position` and find its end."""
    read = readers or _READERS[encoding.little]
    if position + 8 > end:
        raise MalformedFile(position, None, "the file ends within an element's header")
    group, number = read.tag(data, position)
    tag = group << 16 | number
    if encoding.implicit:
        vr, value = b"", position + 8
        (length,) = read.long(data, position + 4)
    else:
        vr = bytes(data[position + 4 : position + 6])
        if vr in LONG_VRS:
            value = position + 12
            if value > end:
                raise MalformedFile(position, tag, "the file ends within an element's header")
            (length,) = read.long(data, position + 8)
        elif vr in VRS:
            value = position + 8
            (length,) = read.short(data, position + 6)
        else:
            raise MalformedFile(position, tag, "expected a VR of PS3.5 Table 6.2-1")
    if length != UNDEFINED:
        if value + length > end:
            raise MalformedFile(
                position, tag, f"claims {length} bytes where {end - value} are left"
            )
        return Element(tag, vr, position, value, value + length, value + length)
    inner = _IMPLICIT if vr == b"UN" else encoding
    value_end = _end_of_items(data, tag, value, end, inner, depth + 1)
    return Element(tag, vr, position, value, value_end, value_end + 8)


def items(
    data: bytes | memoryview, start: int, end: int, encoding: Encoding, *, depth: int = 1
) -> Iterator[tuple[int, int, int]]:
    """Walk over the items of a sequence's value.

    Yields
    ------
    tuple of int
        Offset of the item's tag, of its first element, and behind its last element.
    """
    read = _READERS[encoding.little]
    position = start
    while position < end:
        if position + 8 > end:
            raise MalformedFile(position, None, "the file ends within an item's header")
        group, number = read.tag(data, position)
        tag = group << 16 | number
        (length,) = read.long(data, position + 4)
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            raise MalformedFile(position, tag, "expected an item of a sequence")
        inside = position + 8
        if length == UNDEFINED:
            inside_end = _end_of_item(data, inside, end, encoding, depth)
            yield position, inside, inside_end
            position = inside_end + 8
        else:
            if inside + length > end:
                raise MalformedFile(position, tag, "an item is longer than its sequence")
            yield position, inside, inside + length
            position = inside + length


def _end_of_items(
    data: bytes | memoryview, tag: int, start: int, end: int, encoding: Encoding, depth: int
) -> int:
    """Return the offset of the delimiter that ends a value of undefined length."""
    if depth > DEEPEST:
        raise MalformedFile(start, tag, f"nested deeper than {DEEPEST} levels")
    read = _READERS[encoding.little]
    position = start
    while position + 8 <= end:
        group, number = read.tag(data, position)
        found = group << 16 | number
        if found == SEQUENCE_END:
            return position
        if found != ITEM:
            raise MalformedFile(position, found, "expected an item or the end of a sequence")
        (length,) = read.long(data, position + 4)
        if length == UNDEFINED:
            position = _end_of_item(data, position + 8, end, encoding, depth) + 8
        else:
            position += 8 + length
    raise MalformedFile(start, tag, "the sequence has no end")


def _end_of_item(
    data: bytes | memoryview, start: int, end: int, encoding: Encoding, depth: int
) -> int:
    """Return the offset of the delimiter that ends an item of undefined length."""
    read = _READERS[encoding.little]
    position = start
    while position + 8 <= end:
        group, number = read.tag(data, position)
        if group << 16 | number == ITEM_END:
            return position
        position = read_element(data, position, end, encoding, read, depth).end
    raise MalformedFile(start, ITEM, "the item has no end")
