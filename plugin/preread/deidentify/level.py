"""One data set or item: its elements, and what is worked out of all of them when it is needed."""

from __future__ import annotations

from collections.abc import Sequence

from preread.elements import Element

_FIRST_CREATOR = 0x10
_LAST_CREATOR = 0xFF


class Level:
    """The elements around an element.

    Each is looked through once, however often it is asked: a file may have levels of a hundred
    thousand elements.

    Parameters
    ----------
    elements
        In the order of their tags.
    """

    __slots__ = ("_by_tag", "_creators", "elements", "safe_creators")

    def __init__(self, elements: Sequence[Element]) -> None:
        self.elements = elements
        self._by_tag: dict[int, Element] | None = None
        self._creators: dict[int, Element] | None = None
        self.safe_creators: frozenset[int] | None = None
        """Tags of the private creators that stay, as `PrivateBlocks` has found; None before."""

    def find(self, tag: int) -> Element | None:
        """Return the element of a tag, None if there is none."""
        if self._by_tag is None:
            self._by_tag = {element[0]: element for element in self.elements}
        return self._by_tag.get(tag)

    def creator(self, tag: int) -> Element | None:
        """Return what reserves the block of a private element (PS3.5 section 7.8.1)."""
        if self._creators is None:
            self._creators = {
                element[0]: element
                for element in self.elements
                if element[0] & 0x10000 and _FIRST_CREATOR <= element[0] & 0xFFFF <= _LAST_CREATOR
            }
        return self._creators.get(tag & 0xFFFF0000 | (tag & 0xFFFF) >> 8)
