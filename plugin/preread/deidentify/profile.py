"""What is done with which attribute: the table, and what follows for all it does not list.

PS3.15 Table E.1-1 leaves the conditional actions to the type that the IOD gives an attribute; what
it removes in any case, and some IOD demands, is treated as if it were X/Z/D. At the top level of
the known SOP classes the type is looked up; deeper down, and for other classes, each action is
resolved to the choice that is safe and keeps an object valid whatever the type: X/Z to Z, X/D, Z/D
and X/Z/D to D. X/Z/U* is always new UIDs in the items, so that references stay right.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Final

from preread.deidentify.actions import Action
from preread.deidentify.iod_types import demanded, types_of
from preread.deidentify.options import Option
from preread.deidentify.table import PRIVATE, Row, table_e1_1
from preread.elements import dictionary_vr, standard_tags

# By the type that an IOD gives an attribute: the alternative that it needs, in the table's order.
_BY_TYPE: Final = {1: "DZ", 2: "ZD", 3: "XZD"}
_SIMPLE: Final = {"X": Action.REMOVE, "Z": Action.EMPTY, "D": Action.DUMMY}
_RESOLVED: Final = {
    "X": Action.REMOVE,
    "Z": Action.EMPTY,
    "X/Z": Action.EMPTY,
    "D": Action.DUMMY,
    "X/D": Action.DUMMY,
    "Z/D": Action.DUMMY,
    "X/Z/D": Action.DUMMY,
    "U": Action.UID,
    "X/Z/U*": Action.UID,
}

CONTENT_SEQUENCE: Final = 0x0040A730
_CODE_MEANING: Final = 0x00080104
_CODE_VALUES: Final = (0x00080100, 0x00080119)
_CODING_SCHEME_DESIGNATOR: Final = 0x00080102

# Names and times that the table does not list: of industry, of archives, of trials long ago.
_TIME_VRS: Final = frozenset((b"DA", b"DT", b"TM"))
TEXT_VRS: Final = frozenset((b"LO", b"LT", b"SH", b"ST", b"UC", b"UT"))
_DUMMY_TEXT_VRS: Final = TEXT_VRS | frozenset((b"AS", b"DS", b"IS", b"PN", b"UR"))
_REFERENCED_FRAME_NUMBER: Final = 0x00081160  # part of a reference, which stays right
_MEASURED_VALUE_SEQUENCE: Final = 0x0040A300
"""Type 2 in a report (PS3.3 C.18.1): without an item nothing was measured. A dummy for a number
could be taken for a measurement."""
# What names a concept (PS3.3 section 8.1 and following). Without it a report has no structure.
_CODE_ATTRIBUTES: Final = frozenset(
    (
        0x00080100, _CODING_SCHEME_DESIGNATOR, 0x00080103, 0x00080105, 0x0008010E, 0x0008010F,
        0x00080119, 0x00080120, 0x00080122, 0x0040DB00,
    )
)  # fmt: skip
# When a context group was published (PS3.3 Table 8.8-1): a time of the standard's, not a patient's.
_LEFT_TIMES: Final = frozenset((0x00080106, 0x00080107))

# UIDs of instances, frames of reference, events and repositories that the table does not list. Left
# as they were they would lead back to the originals, and break references between objects.
_MORE_UIDS: Final = frozenset(
    (
        0x00081167, 0x00083012, 0x0018991E, 0x00200242, 0x00209312, 0x00209313, 0x00280304,
        0x0040A021, 0x0040A022, 0x0040E011, 0x0040E030, 0x0040E031, 0x00440102, 0x00440108,
        0x00687004, 0x0070031B, 0x00701209, 0x0072007F, 0x300A0675,
    )
)  # fmt: skip
# Not in the table, and yet somebody can be found by them: encrypted attributes of a stranger's
# de-identification, the identifier of a CDA document, dates of birth and death in another calendar,
# a breed's register, order numbers, a network address, owners and contacts.
_MORE_REMOVED: Final = frozenset(
    (
        0x04000500, 0x0040E001, 0x00100033, 0x00100034, 0x00102295, 0x00181803, 0x00401006,
        0x00401007, 0x00402006, 0x00402007, 0x00720010, 0x0074100C, 0x21000160,
    )
)  # fmt: skip
_LEFT_URLS: Final = frozenset((0x0008010E, 0x00080120))
_TIMEZONE: Final = 0x00080201

_REFERENCED_STUDY_SEQUENCE: Final = 0x00081110
"""X/Z: optional in the General Study module, where an empty one is invalid, so that it goes; of
type 2 where a request refers to a study, deeper down, so that it is emptied there."""

_PIXELS: Final = dict.fromkeys(
    (0x7FE00001, 0x7FE00002, 0x7FE00003, 0x7FE00008, 0x7FE00009, 0x7FE00010), Action.KEEP
)
"""Pixel data and its offsets, which stay at the top level alone."""

_DATES: Final = (Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES)


@dataclass(frozen=True, slots=True)
class Profile:
    """What is done, by tag; what is named nowhere is removed.

    Attributes
    ----------
    edition
        The edition of the table.
    options
        Which options it is with.
    actions
        For a data set and its ordinary sequences.
    content
        Within the content of a structured report.
    dummies
        Within sequences of which the table wants a dummy.
    cleaned
        Within sequences that are cleaned.
    fallback
        What is done with what cannot be kept, moved or cleaned: the Basic Profile's action.
    """

    edition: str
    options: frozenset[Option]
    actions: dict[int, Action]
    content: dict[int, Action]
    dummies: dict[int, Action]
    cleaned: dict[int, Action]
    fallback: Mapping[int, Action]
    _tops: dict[str, dict[int, Action]] = field(default_factory=dict)

    @property
    def private_uids(self) -> Action:
        """What is done with the UIDs in safe private attributes."""
        return Action.VALID_UID if Option.RETAIN_UIDS in self.options else Action.UID

    @property
    def private_times(self) -> Action:
        """What is done with the dates and times in safe private attributes."""
        return _time(self.options) or Action.REMOVE

    def instead(self, tag: int, action: Action) -> Action:
        """Return what is done with a value that could not be kept, moved or cleaned."""
        if action is Action.MEANING:
            return Action.DUMMY
        is_text = action is Action.CLEAN and tag >> 24 not in _GRAPHICS
        # Within a tree, texts that the table does not list have a place that may not be empty.
        return self.fallback.get(tag, Action.DUMMY if is_text else Action.REMOVE)

    def within(self, action: Action, around: Mapping[int, Action]) -> Mapping[int, Action]:
        """Return what is done in the items of a sequence.

        Parameters
        ----------
        action
            What is done with the sequence.
        around
            What is done around it, which goes on within ordinary ones. Where all becomes dummies,
            nothing deeper down stays.
        """
        if action is Action.DUMMY_ITEMS:
            return self.dummies
        if action is Action.CLEAN_ITEMS and around is not self.dummies:
            return self.cleaned
        if action is Action.DUMMY_CONTENT and around is not self.dummies:
            return self.content
        return around

    def top(self, SOPClassUID: str) -> dict[int, Action]:  # noqa: N803 - the standard's keyword
        """Return what is done at the top level of an object of a SOP class.

        Parameters
        ----------
        SOPClassUID
            One that is not known gives the same as any other that is not.
        """
        types = types_of(SOPClassUID)
        key = "" if types is None else SOPClassUID
        found = self._tops.get(key)
        if found is None:
            found = {**self.actions, **_PIXELS}
            if Option.RETAIN_UIDS not in self.options:
                found.pop(_REFERENCED_STUDY_SEQUENCE, None)
            _by_type(found, types, self.options)
            self._tops[key] = found
        return found


def _by_type(
    actions: dict[int, Action], types: Mapping[int, int] | None, options: frozenset[Option]
) -> None:
    """Resolve the conditional actions as the types of an IOD want it.

    Of a SOP class that is not known those are resolved already that are conditional in the table.
    """
    for row in table_e1_1().rows:
        alternatives = alternatives_of(row)
        if len(alternatives) < 2 or "*" in row.action or _chosen(row, options):
            continue
        if types is None and row.action != "X":
            continue
        tag = int(row.tag, 16)
        kind = 1 if types is None else types.get(tag, 3)
        wanted = next(code for code in _BY_TYPE[kind] if code in alternatives)
        action = _listed(tag, _SIMPLE[wanted])
        if action is Action.REMOVE:
            actions.pop(tag, None)
        else:
            actions[tag] = action


def alternatives_of(row: Row) -> Sequence[str]:
    """Return the codes of a row's action, among which the type of the attribute decides.

    Where an IOD demands what the table would remove, removing it would leave no valid object.
    """
    if row.action == "X" and row.tag in demanded():
        return ("X", "Z", "D")
    return row.action.split("/")


@cache
def profile_of(options: frozenset[Option] = frozenset()) -> Profile:
    """Return the Basic Application Level Confidentiality Profile with options.

    Private and unknown attributes, command and file meta elements within a data set, and groups
    50xx are in no mapping. Neither is group 60xx: an overlay without its data is invalid. With
    the Clean Graphics Option both are, by the standard's own tags.

    >>> profile_of().actions[0x00100010].name
    'EMPTY'
    """
    table = table_e1_1()
    actions = {
        tag: _unlisted(tag, dictionary_vr(tag), options)
        for tag in standard_tags()
        if _in_data_set(tag)
    }
    fallback = dict(_DESCRIPTORS)
    for row in table.rows:
        tag = 0 if row.tag == PRIVATE or "x" in row.tag else int(row.tag, 16)
        if _in_data_set(tag):
            fallback[tag] = _listed(tag, _RESOLVED[row.action])
            actions[tag] = _optional(row, tag, fallback[tag], options)
    if Option.CLEAN_GRAPHICS in options:
        actions |= _graphics(options)
    content = {tag: _text(tag, action, _CODE_ATTRIBUTES) for tag, action in actions.items()}
    dummies = {tag: _text(tag, action, frozenset()) for tag, action in actions.items()}
    cleaned = {tag: _clean(tag, action, fallback) for tag, action in actions.items()}
    content |= dict.fromkeys((_CODE_MEANING, *_CODE_VALUES), Action.MEANING)
    cleaned[_CODE_MEANING] = Action.MEANING
    content[_MEASURED_VALUE_SEQUENCE] = Action.EMPTY
    for tag in _PIXELS:  # within a sequence nobody looks at them
        actions[tag] = content[tag] = dummies[tag] = cleaned[tag] = Action.REMOVE
    for each in (actions, content, dummies, cleaned):
        for tag in [tag for tag, action in each.items() if action is Action.REMOVE]:
            del each[tag]  # as good as unknown, and the mappings stay small
    return Profile(table.edition, options, actions, content, dummies, cleaned, fallback)


def _in_data_set(tag: int) -> bool:
    """Tell whether an attribute may stand in the data set of an image or document at all."""
    return tag >> 16 > 4 and tag & 0xFFFF != 0 and tag >> 16 != 0xFFFE


def _unlisted(tag: int, vr: bytes, options: frozenset[Option]) -> Action:
    if vr in _TIME_VRS:
        return Action.KEEP if tag in _LEFT_TIMES else _time(options) or Action.REMOVE
    if vr == b"PN" or tag in _MORE_REMOVED or (vr == b"UR" and tag not in _LEFT_URLS):
        return Action.REMOVE
    if tag in _MORE_UIDS:
        return Action.VALID_UID if Option.RETAIN_UIDS in options else Action.UID
    if tag in _DESCRIPTORS:
        return Action.CLEAN if Option.CLEAN_DESCRIPTORS in options else _DESCRIPTORS[tag]
    return Action.ITEMS if vr == b"SQ" else Action.KEEP


# Free text that the table does not list, with what is done with it where it is not cleaned.
_DESCRIPTORS: Final = {
    0x0040A160: Action.DUMMY,  # Text Value, also in content items outside of a report
    0x00240044: Action.REMOVE,  # Comments on Patient's Performance of Visual Field
    0x00400400: Action.REMOVE,  # Comments on the Scheduled Procedure Step
    0x00420010: Action.EMPTY,  # Document Title, type 2
    0x00720008: Action.DUMMY,  # Hanging Protocol Creator, type 1
}


def _time(options: frozenset[Option]) -> Action | None:
    if _DATES[0] in options:
        return Action.TIME
    return Action.SHIFT if _DATES[1] in options else None


def _listed(tag: int, action: Action) -> Action:
    vr = dictionary_vr(tag)
    if not vr:
        return Action.REMOVE  # a row newer than the dictionary
    if vr == b"SQ" and action is Action.UID:
        return Action.ITEMS
    if vr == b"SQ" and action is Action.DUMMY:
        return Action.DUMMY_CONTENT if tag == CONTENT_SEQUENCE else Action.DUMMY_ITEMS
    if vr == b"UI" and action is Action.DUMMY:
        return Action.UID  # a dummy that keeps references together
    return action


def _chosen(row: Row, options: frozenset[Option]) -> str:
    """Return what the options want done: K, C, or nothing; to keep outweighs to clean.

    But for dates that move: one of a device that stayed where it was would tell how far.
    """
    codes = {code for name, code in row.options.items() if Option(name) in options}
    if _DATES[1] in options and _DATES[1] in row.options:
        return "C"
    return "K" if "K" in codes else "C" if "C" in codes else ""


def _optional(row: Row, tag: int, basic: Action, options: frozenset[Option]) -> Action:
    chosen, vr = _chosen(row, options), dictionary_vr(tag)
    if not chosen or not vr:
        return basic
    if vr in _TIME_VRS or tag == _TIMEZONE:
        moved = chosen == "C" and vr in _TIME_VRS
        return Action.SHIFT if moved else Action.TIME
    if chosen == "K":
        return _KEPT.get(vr, Action.KEEP)
    return _CLEANED.get(vr, Action.CLEAN if vr in TEXT_VRS else basic)


_KEPT: Final = {b"SQ": Action.ITEMS, b"UI": Action.VALID_UID}
_CLEANED: Final = {b"SQ": Action.CLEAN_ITEMS, b"AE": Action.ALIAS, b"CS": Action.CLEAN}


def _graphics(options: frozenset[Option]) -> Iterable[tuple[int, Action]]:
    """Return what is done with overlays and curves when they stay (PS3.3 C.9, and C.10.2)."""
    for group in range(0, 0x20, 2):
        for first in (0x50000000, 0x60000000):
            base = first | group << 16
            for number in _GRAPHIC_NUMBERS[first]:
                tag = base | number
                vr = dictionary_vr(tag)
                if vr in _TIME_VRS:
                    yield tag, _time(options) or Action.REMOVE
                else:
                    yield tag, Action.CLEAN if vr in TEXT_VRS else Action.KEEP


_GRAPHICS: Final = frozenset((0x50, 0x60))
_GRAPHIC_NUMBERS: Final = {
    0x50000000: (
        0x0005, 0x0010, 0x0020, 0x0022, 0x0030, 0x0040, 0x0103, 0x0104, 0x0105, 0x0106, 0x0110,
        0x0112, 0x0114, 0x2500, 0x3000,
    ),
    0x60000000: (
        0x0010, 0x0011, 0x0012, 0x0015, 0x0022, 0x0040, 0x0045, 0x0050, 0x0051, 0x0052, 0x0100,
        0x0102, 0x1001, 0x1100, 0x1101, 0x1102, 0x1103, 0x1200, 0x1201, 0x1202, 0x1203, 0x1301,
        0x1302, 0x1303, 0x1500, 0x3000, 0x4000,
    ),
}  # fmt: skip


def _text(tag: int, action: Action, left: frozenset[int]) -> Action:
    kept = action in (Action.KEEP, Action.CLEAN) and tag != _REFERENCED_FRAME_NUMBER
    if kept and dictionary_vr(tag) in _DUMMY_TEXT_VRS and tag not in left:
        return Action.DUMMY
    return action


def _clean(tag: int, action: Action, fallback: Mapping[int, Action]) -> Action:
    """Texts of a tree that is cleaned: also those of which the table wants a dummy."""
    if action is Action.DUMMY_ITEMS or action is Action.DUMMY_CONTENT:
        return Action.CLEAN_ITEMS
    kept = action is Action.KEEP or (action is Action.DUMMY and tag in fallback)
    if kept and dictionary_vr(tag) in TEXT_VRS and tag not in _CODE_ATTRIBUTES:
        return Action.CLEAN
    return action
