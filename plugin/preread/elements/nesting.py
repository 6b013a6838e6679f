"""How deep the sequences of a file are nested, those included that nobody will read."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from preread.elements.budget import Budget, InflatesTooFar, OverBudget
from preread.elements.dictionary import dictionary_vr
from preread.elements.encoding import Encoding, read_file_meta
from preread.elements.errors import MalformedFile, NestedTooDeep
from preread.elements.header import Header, read_header
from preread.elements.scan import DEEPEST, Element, items, scan

_PIXEL_DATA: Final = 0x7FE00010
_ITEM_LITTLE: Final = b"\xfe\xff\x00\xe0"
_ITEM_BIG: Final = b"\xff\xfe\xe0\x00"

_Place = tuple[Element, Encoding]


def check_nesting(header: Header, *, forgiving: bool = False) -> None:
    """Refuse a file whose sequences are nested too deep for those who parse it as a whole.

    De-identification does not look into what it removes; Orthanc's parser does. A level needs an
    item, so that sequences with few items need not be walked over.

    Parameters
    ----------
    header
        Of the file.
    forgiving
        Whether what cannot be walked over is passed over.

    Raises
    ------
    NestedTooDeep
        If a sequence lies deeper than `DEEPEST`.
    MalformedFile
        If one cannot be walked over, and has so many items that it may.
    OverBudget
        If it takes longer than the header's budget lets it.
    """
    walk = _Walk(header, forgiving=forgiving)
    elements = header.all_elements
    end = elements[-1].start if elements[-1].tag == _PIXEL_DATA else elements[-1].end
    if not walk.may_be_too_deep(elements[0].start, end, 0):
        return  # as with nearly every file
    level = [
        (each, header.encoding)
        for each in elements
        if _has_items(each) and walk.may_be_too_deep(each.value, each.value_end, 1)
    ]
    for depth in range(1, DEEPEST + 1):
        level = [found for place in level for found in walk.inside(*place, depth)]
    if level:
        first = level[0][0]
        raise NestedTooDeep(first.start, first.tag, f"nested deeper than {DEEPEST} levels")


class _Walk:
    """Goes from one level of a file to the next, past what holds too few items to matter."""

    def __init__(self, header: Header, *, forgiving: bool) -> None:
        self._data = bytes(header.data)
        self._ends = header.ends
        self._forgiving = forgiving
        self._is_little = header.encoding.little

    def may_be_too_deep(self, start: int, end: int, depth: int) -> bool:
        """Tell whether there are enough items in a range of the file, a sequence at a depth."""
        count = self._data.count(_ITEM_LITTLE, start, end)
        if not self._is_little:
            count += self._data.count(_ITEM_BIG, start, end)
        return depth + count > DEEPEST

    def inside(self, element: Element, encoding: Encoding, depth: int) -> Iterator[_Place]:
        """Give the sequences in the items of a sequence."""
        inner = element.inner_encoding(encoding)
        data, ends = self._data, self._ends
        try:
            for _, start, end in items(data, element.value, element.value_end, inner, ends=ends):
                if not self.may_be_too_deep(start, end, depth + 1):
                    continue
                for each in ends.budget.over(scan(data, start, end, inner, ends=ends), 1):
                    if _has_items(each):
                        yield each, inner
        except NestedTooDeep:
            raise
        except MalformedFile:
            if not self._forgiving:
                raise


def is_shallow(
    data: bytes, budget: Budget | None = None, *, refused: BaseException | None = None
) -> bool:
    """Tell whether nobody who parses a file as a whole can meet deep nesting, malformed or not.

    Parameters
    ----------
    data
        A file of any kind.
    budget
        What it may cost; None for no bound.
    refused
        Why the file was not taken, where that is known: what inflates too far for those who wait
        is not inflated once more, since all others wait meanwhile.
    """
    if isinstance(refused, InflatesTooFar):
        return False
    try:
        check_nesting(read_header(data, budget))
    except NestedTooDeep:
        return False
    except (MalformedFile, OverBudget):
        most = data.count(_ITEM_LITTLE) + data.count(_ITEM_BIG)
        return not _is_deflated(data) and most <= DEEPEST
    return True


def _is_deflated(data: bytes) -> bool:
    try:
        return read_file_meta(data).encoding.deflated
    except MalformedFile:
        return False


def _has_items(element: Element) -> bool:
    if element.tag == _PIXEL_DATA:
        return False
    if element.vr in (b"", b"UN"):
        return element.undefined or dictionary_vr(element.tag) == b"SQ"
    return element.vr == b"SQ" or element.undefined
