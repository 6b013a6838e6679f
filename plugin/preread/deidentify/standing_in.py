"""What stands where one element was that is no sequence."""

from __future__ import annotations

from typing import Final

from preread.deidentify.actions import VALUES, Action
from preread.deidentify.kept_elements import fault_of, needs_its_vr, number_anew
from preread.deidentify.level import Level
from preread.deidentify.profile import Profile
from preread.deidentify.replacements import Replacements
from preread.deidentify.values import Values
from preread.elements import LONG_VRS, Element, Encoding, encode_element

Part = bytes | memoryview
"""A stretch of a file."""

_LONGEST_SHORT: Final = 0xFFFE


class StandingIn:
    """Decides about the single elements of one file.

    Parameters
    ----------
    data
        What the elements' offsets count from.
    profile
        What is done with what cannot be treated.
    values
        What becomes of values that may stay.

    Attributes
    ----------
    lost
        How often what could not be read was removed for that, by tag and reason.
    """

    def __init__(self, data: bytes | memoryview, profile: Profile, values: Values) -> None:
        self._data = data
        self._view = memoryview(data)
        self._profile = profile
        self._values = values
        self.lost: dict[tuple[int, str], int] = {}

    def part(
        self, element: Element, action: Action, level: Level, replacements: Replacements
    ) -> tuple[Action, Part | None]:
        """Return what stands where an element was, and what was done; None if it stays.

        Parameters
        ----------
        element
            Where it lies.
        action
            What is to be done, if it can: not `Action.SET`, which needs no element.
        level
            What is around it.
        replacements
            What stands where something was, in the encoding around it.
        """
        part: Part | None = None
        if action is Action.KEEP:
            action, part = self._settled(element, replacements.encoding)
        elif action in VALUES:
            action, part = self._valued(element, action, level, replacements)
        if part is None and action is not Action.KEEP:
            part = self._replaced(element, action, replacements)
        return action, part

    def lose(self, tag: int, reason: str) -> None:
        """Count what is removed since it cannot be read."""
        self.lost[tag, reason] = self.lost.get((tag, reason), 0) + 1

    def _settled(self, element: Element, encoding: Encoding) -> tuple[Action, Part | None]:
        """Decide about what stays by its tag: as it is, its number written anew, or not at all."""
        fault = fault_of(element, self._data, self._values.is_harmless)
        if fault is None and not needs_its_vr(element):
            return Action.KEEP, None
        number = number_anew(element, self._view, encoding)
        if number is not None or fault is None:
            return Action.KEEP, number
        self.lose(element.tag, fault)
        return Action.REMOVE, None

    def _valued(
        self,
        element: Element,
        action: Action,
        level: Level,
        replacements: Replacements,
    ) -> tuple[Action, Part | None]:
        """Treat a value that may stay; what cannot be treated gets the Basic Profile's action."""
        treated = self._values.treated(element, action, level)
        if treated is True:
            return Action.KEEP, None
        if treated is False:
            return self._profile.instead(element.tag, action), None
        vr, value = treated
        if len(value) > _LONGEST_SHORT and vr not in LONG_VRS:
            vr = b"UN"  # PS3.5 section 6.2.2
        counted = Action.UID if action is Action.VALID_UID else Action.CLEAN
        return counted, encode_element(element.tag, vr, value, replacements.encoding)

    def _replaced(self, element: Element, action: Action, replacements: Replacements) -> bytes:
        tag = element.tag
        if action is Action.REMOVE:
            return b""
        if action is Action.EMPTY:
            return replacements.empty(tag)
        if action is Action.DUMMY:
            return replacements.dummy(tag)
        uids = self._values.uids(element)
        # PS3.5 section 6.2.2: what is too long for a short length is written as UN.
        vr = b"UI" if len(uids) <= _LONGEST_SHORT else b"UN"
        return encode_element(tag, vr, uids, replacements.encoding)
