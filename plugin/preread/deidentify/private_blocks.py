"""Which private attributes of a level stay (PS3.15 E.3.10)."""

from __future__ import annotations

from preread.deidentify.actions import Action
from preread.deidentify.level import Level
from preread.deidentify.safe_private import SafePrivate
from preread.elements import Element

_FIRST_CREATOR = 0x10
_FIRST_ELEMENT = 0x1000
_TIMES = (b"DA", b"DT", b"TM")


class PrivateBlocks:
    """Decides about the private attributes of one file.

    Parameters
    ----------
    data
        What the elements' offsets point into.
    safe
        The registry of those that are safe; None if none stays.
    uids, times
        What is done with UIDs, and with dates and times, among them.
    """

    def __init__(
        self, data: memoryview, safe: SafePrivate | None, uids: Action, times: Action
    ) -> None:
        self._data = data
        self._safe = safe
        self._special = {b"UI": uids, b"SQ": Action.ITEMS, **dict.fromkeys(_TIMES, times)}

    @property
    def none_stays(self) -> bool:
        """Whether all of them are removed, whatever is around them."""
        return self._safe is None

    def action(self, element: Element, level: Level) -> Action:
        """Return what is done with an attribute of an odd group.

        Parameters
        ----------
        level
            What is around it.
        """
        number = element.tag & 0xFFFF
        if self._safe is None or number < _FIRST_CREATOR or 0x100 <= number < _FIRST_ELEMENT:
            return Action.REMOVE
        if number >= 0x100:
            return self._listed(element, level)
        if level.safe_creators is None:
            level.safe_creators = self._kept(level)
        kept = element.tag in level.safe_creators and element.vr in (b"", b"LO")
        return Action.KEEP if kept else Action.REMOVE

    def _kept(self, level: Level) -> frozenset[int]:
        """Find the creators that have something that stays."""
        return frozenset(
            creator.tag
            for element in level.elements
            if element.tag & 0x10000
            and element.tag & 0xFFFF >= _FIRST_ELEMENT
            and (creator := level.creator(element.tag)) is not None
            and self._listed(element, level) is not Action.REMOVE
        )

    def _listed(self, element: Element, level: Level) -> Action:
        creator = level.creator(element.tag)
        if self._safe is None or creator is None:
            return Action.REMOVE
        vr = self._safe.vr(self._name(creator), element.tag >> 16, element.tag & 0xFF)
        if vr is None or (vr != b"SQ" and (element.undefined or element.vr in (b"SQ", b"PN"))):
            return Action.REMOVE
        # A date is one by either of the two: what is written, or what the registry says.
        written = self._special.get(element.vr) if element.vr in _TIMES else None
        return written or self._special.get(vr, Action.KEEP)

    def _name(self, element: Element) -> str:
        if element.undefined:
            return ""
        value = bytes(self._data[element.value : element.value_end])
        return value.decode("latin-1").strip(" \0")
