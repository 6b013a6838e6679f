"""The loop over the elements of one file.

The new data set is a list of parts: stretches of the original that stay, and what stands where
something was replaced. They are joined once, so that pixel data is copied once.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping, Sequence
from itertools import islice
from operator import itemgetter, lt
from typing import Final

from pydicom._uid_dict import UID_dictionary

from preread.deidentify.dummies import dummy
from preread.deidentify.profile import Action, Profile
from preread.deidentify.pseudonyms import Pseudonyms
from preread.elements import (
    DEEPEST,
    IMPLICIT_LITTLE,
    MOST_ELEMENTS,
    Element,
    Encoding,
    Ends,
    MalformedFile,
    dictionary_vr,
    encode_element,
    encode_header,
    items,
    scan,
)

Part = bytes | memoryview

_PIXEL_DATA: Final = 0x7FE00010
_UNDEFINED: Final = 0xFFFFFFFF
_LONGEST_SHORT: Final = 0xFFFE
_MOST_ITEMS = 300_000
"""Items of a file beyond which it is refused: a large slide or volume has a hundred thousand."""
_ITEM: Final = (0xFFFE, 0xE000)
_ITEM_END: Final = (0xFFFE, 0xE00D, 0)
_SEQUENCE_END: Final = (0xFFFE, 0xE0DD, 0)
_SEQUENCES: Final = frozenset((Action.ITEMS, Action.DUMMY_ITEMS, Action.DUMMY_CONTENT))
_HOLDS_ITEMS: Final = frozenset((b"SQ", b"UN", b""))
_SUSPECT: Final = frozenset((b"SQ", b"UN", b"PN"))  # no attribute that stays has such a VR
_NEW: Final = -1
_TAG = itemgetter(0)

# Names of things that all the world shares: transfer syntaxes, SOP classes, well-known instances
# and frames of reference (PS3.6 Annex A). By the list, not by its root 1.2.840.10008: whoever
# writes a name behind the root must not get it through.
_WELL_KNOWN: Final = frozenset(str(uid) for uid in UID_dictionary)


class Replacements:
    """Emptied elements and dummies of one encoding, made when they are first needed.

    Parameters
    ----------
    encoding
        How they are written.
    dummy_text
        What stands in VRs that hold any text.

    Attributes
    ----------
    implicit
        The same for what lies in a sequence of VR UN.
    """

    def __init__(self, encoding: Encoding, dummy_text: str) -> None:
        self.encoding = encoding
        self.dummy_text = dummy_text
        is_implicit = encoding == IMPLICIT_LITTLE
        self.implicit: Replacements = (
            self if is_implicit else Replacements(IMPLICIT_LITTLE, dummy_text)
        )
        self._made: dict[int, bytes] = {}
        self._made_dummies: dict[int, bytes] = {}

    def empty(self, tag: int) -> bytes:
        """Return an attribute without a value."""
        made = self._made.get(tag)
        if made is None:
            made = encode_element(tag, dictionary_vr(tag), b"", self.encoding)
            self._made[tag] = made
        return made

    def dummy(self, tag: int) -> bytes:
        """Return an attribute with a value that tells nothing."""
        made = self._made_dummies.get(tag)
        if made is None:
            vr = dictionary_vr(tag)[:2]
            made = encode_element(tag, vr, dummy(vr, self.dummy_text), self.encoding)
            self._made_dummies[tag] = made
        return made


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
    pseudonyms
        What UIDs become.

    Attributes
    ----------
    counts
        How many elements there were, by action.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        profile: Profile,
        replacements: Replacements,
        pseudonyms: Pseudonyms,
    ) -> None:
        self._data = data
        self._view = memoryview(data)
        self._profile = profile
        self._replacements = replacements
        self._pseudonyms = pseudonyms
        self._ends: Ends = {}
        self._items_seen = 0
        self._written: Mapping[int, bytes] = {}
        self._parts: list[Part] = []
        self.counts = [0] * len(Action)

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
        present = set(map(_TAG, elements))
        new = [Element(tag, b"", _NEW, _NEW, _NEW, _NEW) for tag in written if tag not in present]
        self._level([*elements, *new], self._replacements, actions, self._profile.actions, 0)
        return self._parts

    def _level(
        self,
        elements: list[Element],
        replacements: Replacements,
        actions: Mapping[int, Action],
        inner: Mapping[int, Action],
        depth: int,
    ) -> tuple[int, bool]:
        """Rewrite the elements of a data set or item.

        Returns
        -------
        tuple of int and bool
            The length of what was written, and whether it differs from what was there.
        """
        tags = [element[0] for element in elements]
        if not all(map(lt, tags, tags[1:])):
            # Out of order or twice. The sort is stable: of two the first counts, as it does for
            # the identity, and the other goes.
            elements = list({element[0]: element for element in reversed(elements)}.values())
            elements.sort(key=_TAG)
            changed = True
        else:
            changed = False
        keep, counts = Action.KEEP, self.counts
        parts, view = self._parts, self._view
        begin = end = length = 0  # of the stretch that stays
        for element in elements:
            tag, vr, start, _, value_end, stop = element
            action = actions.get(tag, Action.REMOVE)
            if action is keep and (vr in _SUSPECT or stop != value_end):
                action = self._settled(element)
            elif action in _SEQUENCES:
                mark = len(parts)
                parts.append(view[begin:end])
                written, differs = self._sequence(element, action, replacements, inner, depth)
                if differs:
                    length += end - begin + written
                    begin = end = 0
                    changed = True
                    continue
                # As it was, to the byte: the stretch goes on.
                del parts[mark:]
                action = keep
            if action is keep:
                if start != end:
                    parts.append(view[begin:end])
                    length += end - begin
                    begin = start
                end = stop
                continue
            parts.append(view[begin:end])
            replaced = self._replaced(element, action, replacements)
            parts.append(replaced)
            length += end - begin + len(replaced)
            begin = end = 0
            changed = True
            counts[action] += 1
        parts.append(view[begin:end])
        return length + end - begin, changed

    @staticmethod
    def _settled(element: Element) -> Action:
        """Decide about what stays by its tag, but holds items or a name by its VR.

        Encapsulated pixel data has items of another kind; a value whose writer did not know its VR
        has none. All else is not what the standard means by the attribute.
        """
        if element.undefined:
            is_value = element.tag == _PIXEL_DATA and element.vr not in _HOLDS_ITEMS
        else:
            is_value = element.vr == b"UN"
        return Action.KEEP if is_value else Action.REMOVE

    def _replaced(self, element: Element, action: Action, replacements: Replacements) -> bytes:
        tag = element.tag
        if action is Action.REMOVE:
            return b""
        if action is Action.SET:
            return self._written[tag]
        if action is Action.EMPTY:
            return replacements.empty(tag)
        if action is Action.DUMMY:
            return replacements.dummy(tag)
        uids = self._uids(element)
        # PS3.5 section 6.2.2: what is too long for a short length is written as UN.
        vr = b"UI" if len(uids) <= _LONGEST_SHORT else b"UN"
        return encode_element(tag, vr, uids, replacements.encoding)

    def _uids(self, element: Element) -> bytes:
        if element.undefined:
            return b""
        values = bytes(self._view[element.value : element.value_end]).decode("latin-1")
        uids = (value.strip(" \0") for value in values.split("\\"))
        return "\\".join(
            uid if not uid or uid in _WELL_KNOWN else self._pseudonyms.uid(uid) for uid in uids
        ).encode("ascii")

    def _sequence(
        self,
        element: Element,
        action: Action,
        replacements: Replacements,
        inner: Mapping[int, Action],
        depth: int,
    ) -> tuple[int, bool]:
        """Rewrite a sequence.

        Returns
        -------
        tuple of int and bool
            As `_level` does; what is the same may be taken back from the parts.
        """
        if action is Action.DUMMY_ITEMS:
            inner = self._profile.dummies
        elif action is Action.DUMMY_CONTENT and inner is not self._profile.dummies:
            inner = self._profile.content
        mark = len(self._parts)
        if element.vr not in _HOLDS_ITEMS:
            return self._gone(mark)
        outer = replacements.encoding
        if element.vr == b"UN":
            replacements = replacements.implicit
        if depth >= DEEPEST:
            raise MalformedFile(element.start, element.tag, f"nested deeper than {DEEPEST} levels")
        try:
            return self._items(element, outer, replacements, inner, depth + 1)
        except MalformedFile:
            if element.vr == b"UN" and not element.undefined:
                return self._gone(mark)  # nobody knows how this is written
            raise

    def _gone(self, mark: int) -> tuple[int, bool]:
        del self._parts[mark:]
        self.counts[Action.REMOVE] += 1
        return 0, True

    def _items(
        self,
        element: Element,
        outer: Encoding,
        replacements: Replacements,
        inner: Mapping[int, Action],
        depth: int,
    ) -> tuple[int, bool]:
        tag, vr, _, value, value_end, _ = element
        parts, data, ends = self._parts, self._data, self._ends
        encoding = replacements.encoding
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
            if self._items_seen > _MOST_ITEMS or len(level) == MOST_ELEMENTS:
                raise MalformedFile(item_start, tag, "more items or elements than any image has")
            written, item_differs = self._level(level, replacements, inner, inner, depth)
            differs = differs or item_differs
            if data[item_start + 4 : inside] == b"\xff\xff\xff\xff":
                parts[item_place] = item(*_ITEM, _UNDEFINED)
                parts.append(item(*_ITEM_END))
                length, position = length + 16 + written, inside_end + 8
            else:
                parts[item_place] = item(*_ITEM, written)
                length, position = length + 8 + written, inside_end
        differs = differs or position != value_end  # a delimiter before the end of its length
        if element.undefined:
            header = encode_header(tag, vr, _UNDEFINED, outer)
            parts.append(item(*_SEQUENCE_END))
            length += 8
        else:
            header = encode_header(tag, vr, length, outer)
        parts[place] = header
        return length + len(header), differs
