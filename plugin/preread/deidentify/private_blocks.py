"""Which private attributes of a level stay (PS3.15 E.3.10)."""

from __future__ import annotations

from collections.abc import Sequence

from preread.deidentify.profile import Action
from preread.deidentify.safe_private import SafePrivate
from preread.elements import Element

_FIRST_CREATOR = 0x10
_FIRST_ELEMENT = 0x1000


class PrivateBlocks:
    """Decides about the private attributes of one file.

    Parameters
    ----------
    data
        What the elements' offsets point into.
    safe
        The registry of those that are safe; None if none stays.
    uids
        What is done with UIDs among them.
    """

    def __init__(self, data: memoryview, safe: SafePrivate | None, uids: Action) -> None:
        self._data = data
        self._safe = safe
        self._uids = uids

    def action(self, element: Element, level: Sequence[Element]) -> Action:
        """Return what is done with an attribute of an odd group.

        Parameters
        ----------
        level
            The elements around it, which hold the creators (PS3.5 section 7.8.1).
        """
        number = element.tag & 0xFFFF
        if self._safe is None or number < _FIRST_CREATOR:
            return Action.REMOVE
        if number < 0x100:
            return self._creator(element, level)
        if number < _FIRST_ELEMENT:
            return Action.REMOVE
        reserving = element.tag & 0xFFFF0000 | number >> 8
        for other in level:
            if other[0] == reserving:
                return self._listed(element, self._name(other))
        return Action.REMOVE

    def _creator(self, element: Element, level: Sequence[Element]) -> Action:
        """Keep a creator with what it reserves, and not without."""
        if element.vr not in (b"", b"LO"):
            return Action.REMOVE
        name = self._name(element)
        first = element.tag & 0xFFFF0000 | (element.tag & 0xFF) << 8
        kept = any(
            first <= other[0] <= first | 0xFF and self._listed(other, name) is not Action.REMOVE
            for other in level
        )
        return Action.KEEP if kept else Action.REMOVE

    def _listed(self, element: Element, creator: str) -> Action:
        if self._safe is None:
            return Action.REMOVE
        vr = self._safe.vr(creator, element.tag >> 16, element.tag & 0xFF)
        if vr is None or (vr != b"SQ" and (element.undefined or element.vr in (b"SQ", b"PN"))):
            return Action.REMOVE
        if vr == b"UI":
            return self._uids
        return Action.ITEMS if vr == b"SQ" else Action.KEEP

    def _name(self, element: Element) -> str:
        if element.undefined:
            return ""
        value = bytes(self._data[element.value : element.value_end])
        return value.decode("latin-1").strip(" \0")
