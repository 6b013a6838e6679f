"""Walking over the elements of a data set without parsing their values (PS3.5 section 7)."""

from __future__ import annotations

import struct
from collections import deque
from collections.abc import Callable, Iterator
from itertools import islice
from typing import Final, NamedTuple

from preread.elements.budget import Budget, unlimited
from preread.elements.encoding import LONG_VRS, VRS, Encoding
from preread.elements.errors import MalformedFile, NestedTooDeep

UNDEFINED: Final = 0xFFFFFFFF
ITEM: Final = 0xFFFEE000
ITEM_END: Final = 0xFFFEE00D
SEQUENCE_END: Final = 0xFFFEE0DD
DEEPEST: Final = 32
"""Nesting beyond which a file is refused. Real files stay below ten; Orthanc 1.10.1 itself
overflows the stack of its HTTP threads somewhere beyond forty."""
MOST_ELEMENTS: Final = 100_000
"""Elements of one level beyond which a file is refused; PS3.6 has some five thousand."""

IMPLICIT_LITTLE: Final = Encoding(implicit=True, little=True)
"""What a VR of UN with undefined length is written in, whatever is around it (PS3.5 6.2.2)."""

_SHORT_VRS: Final = VRS - LONG_VRS


class Ends(dict[int, int]):
    """Where what has an undefined length ends, by the offset at which it begins.

    Finding such an end walks over all that lies within. Who later goes into it level by level
    hands the same mapping on, so that nothing is walked over more than twice, however deep it lies.

    Parameters
    ----------
    budget
        What the walks may cost; by default as much as they take.
    """

    __slots__ = ("budget",)

    def __init__(self, budget: Budget | None = None) -> None:
        super().__init__()
        self.budget = budget or unlimited()


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

    def inner_encoding(self, encoding: Encoding) -> Encoding:
        """Return how the items of this sequence are written, in a data set written so."""
        return IMPLICIT_LITTLE if self.vr == b"UN" else encoding


_Unpack = Callable[[bytes | memoryview, int], tuple[int, ...]]


class _Readers(NamedTuple):
    explicit: Callable[[bytes | memoryview, int], tuple[int, int, bytes, int]]
    implicit: _Unpack
    long: _Unpack


def _readers(order: str) -> _Readers:
    return _Readers(
        struct.Struct(order + "HH2sH").unpack_from,
        struct.Struct(order + "HHI").unpack_from,
        struct.Struct(order + "I").unpack_from,
    )


_READERS: Final = {True: _readers("<"), False: _readers(">")}


def scan(
    data: bytes | memoryview,
    start: int,
    end: int,
    encoding: Encoding,
    *,
    stop_before: int | None = None,
    stop_behind: int | None = None,
    depth: int = 0,
    ends: Ends | None = None,
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
        A tag from which on nothing is looked at; the delimiters of items (FFFE,E00D) can be
        named too. Elements are taken in the order of the file, which a malformed file does not
        keep.
    stop_behind
        The tag of an element that is the last one.
    depth
        How deep the level lies.
    ends
        What is known of undefined lengths; see `Ends`.

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
    explicit, implicit = readers.explicit, readers.implicit
    is_implicit = encoding.implicit
    limit = 1 << 32 if stop_before is None else stop_before
    new = tuple.__new__  # half the time of Element(...), and this is the innermost loop of all
    vr = b""
    while start < end:
        if end - start < 8:
            raise MalformedFile(start, None, "the file ends within an element's header")
        value = start + 8
        if is_implicit:
            group, number, length = implicit(data, start)
            tag = group << 16 | number
            if tag >= limit:
                return
        else:
            group, number, vr, length = explicit(data, start)
            tag = group << 16 | number
            if tag >= limit:
                return
            if vr not in _SHORT_VRS:
                value, length = _long_length(data, start, end, vr, tag, readers)
        if length == UNDEFINED:
            inner = IMPLICIT_LITTLE if vr == b"UN" else encoding
            ends = Ends() if ends is None else ends
            value_end = _end_of_items(data, tag, value, end, inner, depth + 1, ends)
            start_of_next = value_end + 8
        else:
            start_of_next = value_end = value + length
            if value_end > end:
                # How long it claims to be is not said: where a length is wrong, another may have
                # been read from within a value.
                raise MalformedFile(start, tag, "it claims more bytes than are left")
        yield new(Element, (tag, vr, start, value, value_end, start_of_next))
        if tag == stop_behind:
            return
        start = start_of_next


def _long_length(
    data: bytes | memoryview, start: int, end: int, vr: bytes, tag: int, readers: _Readers
) -> tuple[int, int]:
    """Return the offset of the value and its length, of an element that has a VR like OB.

    A VR that nobody knows is either newer than this, and then its length is a long one (PS3.5
    7.1.2), or a fault, and then it is the form after which the data set goes on.
    """
    if tag >> 16 == 0xFFFE:
        raise MalformedFile(start, tag, "expected a VR of PS3.5 Table 6.2-1")
    if start + 12 <= end:
        length = readers.long(data, start + 8)[0]
        if vr in LONG_VRS:
            return start + 12, length
        if data[start + 6 : start + 8] == b"\0\0" and _goes_on(
            data, start + 12 + length, end, tag, readers
        ):
            return start + 12, length
    elif vr in LONG_VRS:
        raise MalformedFile(start, tag, "the file ends within an element's header")
    length = readers.explicit(data, start)[3]
    if _goes_on(data, start + 8 + length, end, tag, readers):
        return start + 8, length
    raise MalformedFile(start, tag, "expected a VR of PS3.5 Table 6.2-1")


def _goes_on(
    data: bytes | memoryview, position: int, end: int, tag: int, readers: _Readers
) -> bool:
    """Tell whether the data set ends here, or has a later element of a known VR."""
    if position == end:
        return True
    if position + 8 > end:
        return False
    group, number, vr, _ = readers.explicit(data, position)
    return vr in VRS and group << 16 | number > tag


def read_element(
    data: bytes | memoryview,
    position: int,
    end: int,
    encoding: Encoding,
    *,
    depth: int = 0,
    ends: Ends | None = None,
) -> Element:
    """Read the header of the element at `position` and find its end.

    Raises
    ------
    MalformedFile
        If there is none that fits into the range.
    """
    for element in scan(data, position, end, encoding, depth=depth, ends=ends):
        return element
    raise MalformedFile(position, None, "the file ends where an element was expected")


def items(
    data: bytes | memoryview,
    start: int,
    end: int,
    encoding: Encoding,
    *,
    depth: int = 1,
    ends: Ends | None = None,
) -> Iterator[tuple[int, int, int]]:
    """Walk over the items of a sequence's value, or the fragments of encapsulated pixel data.

    Yields
    ------
    tuple of int
        Offset of the item's tag, of its first element, and behind its last element.

    Raises
    ------
    MalformedFile
        If there is anything but items.
    """
    read = _READERS[encoding.little].implicit
    ends = Ends() if ends is None else ends
    spend = ends.budget.spend
    position = start
    while position < end:
        spend(1)
        if position + 8 > end:
            raise MalformedFile(position, None, "the file ends within an item's header")
        group, number, length = read(data, position)
        tag = group << 16 | number
        if tag == SEQUENCE_END:
            return
        if tag != ITEM:
            raise MalformedFile(position, tag, "expected an item of a sequence")
        inside = position + 8
        if length == UNDEFINED:
            inside_end = _end_of_item(data, inside, end, encoding, depth, ends)
            yield position, inside, inside_end
            position = inside_end + 8
        else:
            inside_end = inside + length
            if inside_end > end:
                raise MalformedFile(position, tag, "an item is longer than its sequence")
            yield position, inside, inside_end
            position = inside_end


def _end_of_items(
    data: bytes | memoryview,
    tag: int,
    start: int,
    end: int,
    encoding: Encoding,
    depth: int,
    ends: Ends,
) -> int:
    """Return the offset of the delimiter that ends a value of undefined length."""
    known = ends.get(start)
    if known is not None:
        return known
    if depth > DEEPEST:
        raise NestedTooDeep(start, tag, f"nested deeper than {DEEPEST} levels")
    read = _READERS[encoding.little].implicit
    spend = ends.budget.spend
    position = start
    while position + 8 <= end:
        spend(1)
        group, number, length = read(data, position)
        found = group << 16 | number
        if found == SEQUENCE_END:
            ends[start] = position
            return position
        if found != ITEM:
            raise MalformedFile(position, found, "expected an item or the end of a sequence")
        position += 8
        if length == UNDEFINED:
            position = _end_of_item(data, position, end, encoding, depth, ends) + 8
        else:
            position += length
    raise MalformedFile(start, tag, "the sequence has no end")


def _end_of_item(
    data: bytes | memoryview, start: int, end: int, encoding: Encoding, depth: int, ends: Ends
) -> int:
    """Return the offset of the delimiter that ends an item of undefined length."""
    known = ends.get(start)
    if known is not None:
        return known
    scanned = scan(data, start, end, encoding, stop_before=ITEM_END, depth=depth, ends=ends)
    # Of all elements only the last one is kept: a list at each depth would take much memory.
    last = deque(enumerate(islice(scanned, MOST_ELEMENTS), 1), maxlen=1)
    seen, position = (last[0][0], last[0][1].end) if last else (0, start)
    if seen == MOST_ELEMENTS:
        raise MalformedFile(start, ITEM, f"more than {MOST_ELEMENTS} elements in an item")
    ends.budget.spend(seen)
    # The scan ended before the delimiter, or at the end of the range.
    if position + 8 > end:
        raise MalformedFile(start, ITEM, "the item has no end")
    group, number, _ = _READERS[encoding.little].implicit(data, position)
    if group << 16 | number != ITEM_END:
        raise MalformedFile(position, group << 16 | number, "expected the end of an item")
    ends[start] = position
    return position
