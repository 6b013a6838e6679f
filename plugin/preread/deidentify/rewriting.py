"""The loop over the elements of one file.

The new data set is a list of parts: stretches of the original that stay, and what stands where
something was replaced. They are joined once, so that pixel data is copied once.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from itertools import islice
from operator import itemgetter, lt
from typing import Final, NamedTuple

from preread.deidentify.actions import SEQUENCES, Action
from preread.deidentify.level import Level
from preread.deidentify.private_blocks import PrivateBlocks
from preread.deidentify.profile import Profile
from preread.deidentify.replacements import Replacements
from preread.deidentify.standing_in import Part, StandingIn
from preread.deidentify.values import Values
from preread.deidentify.vrs import NOT_PLAIN, PLAIN
from preread.elements import (
    DEEPEST,
    MOST_ELEMENTS,
    Element,
    Encoding,
    Ends,
    MalformedFile,
    TooMuch,
    encode_header,
    items,
    scan,
)

_UNDEFINED: Final = 0xFFFFFFFF
_MOST_ITEMS = 4_000_000
"""Items of a file beyond which it is refused: 65,535 frames, the most of an enhanced image, with
sixty each. What they may cost is bounded by a budget."""
_MANY_ELEMENTS: Final = 2000
_MANY_ITEMS: Final = 500
_LONGEST_KNOWN: Final = 1024
_MOST_KNOWN: Final = 2000
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D, 0)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD, 0)
_HOLDS_ITEMS: Final = frozenset((b"SQ", b"UN", b""))
_NOTHING: Final = bytes(4)
# What they cost, in units of a budget.
_OF_AN_ELEMENT: Final = 16
_OF_AN_ITEM: Final = 20
_NEW: Final = -1
_TAG = itemgetter(0)


class _Around(NamedTuple):
    """What is around an element, and how deep.

    Attributes
    ----------
    replacements
        What stands where something was, in the encoding around it.
    inner
        What is done with the elements of its items.
    depth
        0 at the top level.
    """

    replacements: Replacements
    inner: Mapping[int, Action]
    depth: int


class Rewriting:
    """What is done to one file.

    Parameters
    ----------
    data
        What the offsets of its elements count from.
    profile
        What is done with which attribute.
    replacements
        What stands where something was, in the file's encoding.
    values
        What becomes of values that may stay.
    private
        Which private attributes stay.
    ends
        What is known of undefined lengths, and what may be spent.

    Attributes
    ----------
    counts
        How many elements there were, by action.
    changed
        The elements of the top level that did not stay as they were.
    lost
        How often what could not be read was removed for that, by tag and reason.
    places
        Which part each attribute is that was written anew, by tag.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        profile: Profile,
        replacements: Replacements,
        values: Values,
        private: PrivateBlocks,
        ends: Ends | None = None,
    ) -> None:
        self._data = data
        self._view = memoryview(data)
        self._profile = profile
        self._replacements = replacements
        self._private = private
        self._standing_in = StandingIn(data, profile, values)
        self._ends = Ends() if ends is None else ends
        self._budget = self._ends.budget
        self._written: Mapping[int, bytes] = {}
        self._items_seen = 0
        self._unchanged: set[tuple[object, ...]] = set()
        self._parts: list[Part] = []
        self.counts = [0] * len(Action)
        self.changed: list[Element] = []
        self.lost = self._standing_in.lost
        self.places: dict[int, int] = {}

    def data_set(
        self,
        elements: Sequence[Element],
        actions: Mapping[int, Action],
        written: Mapping[int, bytes],
    ) -> list[Part]:
        """Return the data set in parts.

        Parameters
        ----------
        elements
            Of its top level.
        actions
            What is done with them.
        written
            The attributes under `Action.SET`, as they are to be, whether they were there or not.
        """
        self._written = written
        absent = set(written).difference(map(_TAG, elements))
        new = [Element(tag, b"", _NEW, _NEW, _NEW, _NEW) for tag in absent]
        around = _Around(self._replacements, self._profile.actions, 0)
        self._level([*elements, *new], actions, around)
        return self._parts

    def _level(
        self,
        elements: list[Element],
        actions: Mapping[int, Action],
        around: _Around,
    ) -> tuple[int, bool]:
        """Rewrite the elements of a data set or item.

        Returns
        -------
        tuple of int and bool
            The length of what was written, and whether it differs from what was there.
        """
        elements, changed = _ordered(elements)
        keep, remove, data = Action.KEEP, Action.REMOVE, self._data
        plain, not_plain = PLAIN, NOT_PLAIN
        parts, view = self._parts, self._view
        begin = end = length = 0  # of the stretch that stays
        removed, none_stays = 0, self._private.none_stays
        differing = self.changed if around.depth == 0 else []
        level = Level(elements)
        for element in self._counted(elements):
            tag, vr, start, value, value_end, stop = element
            action = actions.get(tag, remove)
            stays = False
            if action is keep:
                expected, check, lengths = plain.get(tag, not_plain)
                stays = (
                    (vr == expected or not vr)
                    and stop == value_end
                    and value_end - value in lengths
                    and (check is None or check(data, value, value_end) is not None)
                )
            elif action is remove and (none_stays or not tag & 0x10000):
                # Most elements of many files: as short a way as can be.
                if end:
                    parts.append(view[begin:end])
                    length += end - begin
                    begin = end = 0
                removed += 1
                differing.append(element)
                continue
            if not stays:
                mark = len(parts)
                parts.append(view[begin:end])
                written = self._element(element, action, level, around)
                if written is not None:
                    length += end - begin + written
                    begin = end = 0
                    changed = True
                    differing.append(element)
                    continue
                # As it was, to the byte: the stretch goes on.
                del parts[mark:]
            if start != end:
                parts.append(view[begin:end])
                length += end - begin
                begin = start
            end = stop
        parts.append(view[begin:end])
        self.counts[remove] += removed
        return length + end - begin, changed or removed > 0

    def _counted(self, elements: list[Element]) -> Iterable[Element]:
        """Count what the elements of a very long level cost; those of others their item counts."""
        if len(elements) > _MANY_ELEMENTS:
            return self._budget.over(elements, _OF_AN_ELEMENT)
        return elements

    def _element(
        self, element: Element, action: Action, level: Level, around: _Around
    ) -> int | None:
        """Write what stands where an element was.

        Returns
        -------
        int or None
            Its length; None if the element stays as it is.
        """
        if action is Action.SET:
            written = self._written[element.tag]
            self.places[element.tag] = len(self._parts)
            self._parts.append(written)
            self.counts[action] += 1
            return len(written)
        if action is Action.REMOVE and element.tag & 0x10000:
            action = self._private.action(element, level)
        if action in SEQUENCES:
            length, differs = self._sequence(element, action, around)
            return length if differs else None
        done, part = self._standing_in.part(element, action, level, around.replacements)
        if part is None:
            return None
        self._parts.append(part)
        self.counts[done] += 1
        return len(part)

    def _sequence(self, element: Element, action: Action, around: _Around) -> tuple[int, bool]:
        """Rewrite a sequence.

        Returns
        -------
        tuple of int and bool
            As `_level` does; what is the same may be taken back from the parts.
        """
        mark = len(self._parts)
        if element.vr not in _HOLDS_ITEMS:
            return self._gone(element, mark, "its VR is not that of a sequence")
        replacements = around.replacements
        within = _Around(
            replacements.implicit if element.vr == b"UN" else replacements,
            self._profile.within(action, around.inner),
            around.depth + 1,
        )
        try:
            return self._items_once(element, replacements.encoding, within)
        except TooMuch:
            raise
        except MalformedFile as error:
            if element.undefined:
                raise  # where it ends nobody knows
            return self._gone(element, mark, error.reason)

    def _items_once(self, element: Element, outer: Encoding, within: _Around) -> tuple[int, bool]:
        """Rewrite the items of a sequence, unless the same sequence stayed as it was before."""
        if within.depth > DEEPEST:
            raise TooMuch(element.start, element.tag, f"nested deeper than {DEEPEST} levels")
        known = self._known(element, outer, within)
        if known in self._unchanged:
            return 0, False
        written, differs = self._items(element, outer, within)
        if known and not differs and len(self._unchanged) < _MOST_KNOWN:
            self._unchanged.add(known)
        return written, differs

    def _known(self, element: Element, outer: Encoding, within: _Around) -> tuple[object, ...]:
        """Return what two sequences have in common that come out the same; empty for most files.

        Of the sequences of an enhanced image each frame has the same again: those that stay as
        they were need not be walked over more than once.
        """
        if self._items_seen < _MANY_ITEMS or element.end - element.start > _LONGEST_KNOWN:
            return ()
        self._budget.spend(2)
        whole = bytes(self._view[element.start : element.end])
        return whole, id(within.inner), outer, within.depth

    def _gone(self, element: Element, mark: int, reason: str) -> tuple[int, bool]:
        """Remove what cannot be read: it costs the element, not the file."""
        del self._parts[mark:]
        self.counts[Action.REMOVE] += 1
        self._standing_in.lose(element.tag, reason)
        return 0, True

    def _items(self, element: Element, outer: Encoding, within: _Around) -> tuple[int, bool]:
        tag, vr, _, value, value_end, _ = element
        parts, data, ends = self._parts, self._data, self._ends
        encoding, depth = within.replacements.encoding, within.depth
        item = struct.Struct(encoding.order + "HHI").pack
        place = len(parts)
        parts.append(b"")
        length, differs, position = 0, False, value
        for item_start, inside, inside_end in items(
            data, value, value_end, encoding, depth=depth, ends=ends
        ):
            item_place = len(parts)
            parts.append(b"")
            self._items_seen += 1
            scanned = scan(data, inside, inside_end, encoding, depth=depth, ends=ends)
            level = list(islice(scanned, MOST_ELEMENTS))
            self._budget.spend(_OF_AN_ITEM + 6 * len(level))
            if self._items_seen > _MOST_ITEMS or len(level) == MOST_ELEMENTS:
                raise TooMuch(item_start, tag, "more items or elements than any image has")
            written, item_differs = self._level(level, within.inner, within)
            differs = differs or item_differs
            if data[item_start + 4 : inside] == b"\xff\xff\xff\xff":
                parts[item_place] = item(*_ITEM, _UNDEFINED)
                parts.append(item(*_ITEM_END))
                length, position = length + 16 + written, inside_end + 8
                differs = differs or data[position - 4 : position] != _NOTHING
            else:
                parts[item_place] = item(*_ITEM, written)
                length, position = length + 8 + written, inside_end
        differs = differs or position != value_end  # a delimiter before the end of its length
        if element.undefined:
            header = encode_header(tag, vr, _UNDEFINED, outer)
            parts.append(item(*_SEQUENCE_END))
            length += 8
            # The length of a delimiter means nothing, and has room for four letters.
            differs = differs or data[value_end + 4 : value_end + 8] != _NOTHING
        else:
            header = encode_header(tag, vr, length, outer)
        parts[place] = header
        return length + len(header), differs


def _ordered(elements: list[Element]) -> tuple[list[Element], bool]:
    """Return the elements of a level in their order, each once, and whether they were not.

    The sort is stable: of two the first counts, as it does for the identity, and the other goes.
    """
    tags = list(map(_TAG, elements))
    if all(map(lt, tags, islice(tags, 1, None))):
        return elements, False
    if len(set(tags)) < len(tags):
        elements = list({element[0]: element for element in reversed(elements)}.values())
    return sorted(elements, key=_TAG), True
