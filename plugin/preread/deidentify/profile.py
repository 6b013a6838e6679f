"""What is done with which attribute: the table, and what follows for all it does not list.

PS3.15 Table E.1-1 leaves the conditional actions to the type that the IOD gives an attribute, which
a byte engine does not know. Each is resolved to the choice that is safe and keeps an object valid
whatever the type: X/Z to Z, X/D, Z/D and X/Z/D to D, X/Z/U* to new UIDs in the items.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import IntEnum
from functools import cache
from typing import Final

from preread.deidentify.table import PRIVATE, table_e1_1
from preread.elements import dictionary_vr, standard_tags


class Action(IntEnum):
    """What is done with an element."""

    KEEP = 0
    REMOVE = 1
    EMPTY = 2
    DUMMY = 3
    UID = 4
    ITEMS = 5
    """A sequence that stays; what it holds is de-identified."""
    DUMMY_ITEMS = 6
    """A sequence of which the table wants a dummy: its texts and codes become dummies too."""
    DUMMY_CONTENT = 7
    """The content of a structured report: its texts become dummies, its codes stay."""
    SET = 8
    """Written anew at the top level."""


CODES: Final = {
    Action.REMOVE: "X",
    Action.EMPTY: "Z",
    Action.DUMMY: "D",
    Action.UID: "U",
    Action.SET: "set",
}
"""How the actions are counted, in the table's own codes."""

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

# Names and times that the table does not list: of industry, of archives, of trials long ago.
_TELLING_VRS: Final = frozenset((b"DA", b"DT", b"PN", b"TM"))
_TEXT_VRS: Final = frozenset((b"LO", b"LT", b"PN", b"SH", b"ST", b"UC", b"UR", b"UT"))
# What names a concept (PS3.3 section 8.1 and following). Without it a report has no structure.
_CODE_ATTRIBUTES: Final = frozenset(
    (
        0x00080100, 0x00080102, 0x00080103, 0x00080104, 0x00080105, 0x0008010E, 0x0008010F,
        0x00080119, 0x00080120, 0x00080122, 0x0040DB00,
    )
)  # fmt: skip

# UIDs of instances, frames of reference, events and repositories that the table does not list. Left
# as they were they would lead back to the originals, and break references between objects.
_MORE_UIDS: Final = frozenset(
    (
        0x00081167, 0x00083012, 0x0018991E, 0x00200242, 0x00209312, 0x00209313, 0x00280304,
        0x0040A021, 0x0040A022, 0x0040E011, 0x0040E030, 0x0040E031, 0x00440102, 0x00440108,
        0x00687004, 0x0070031B, 0x00701209, 0x0072007F, 0x300A0675,
    )
)  # fmt: skip
# Encrypted attributes of a stranger's de-identification, and the identifier of a CDA document.
_MORE_REMOVED: Final = frozenset((0x04000500, 0x0040E001))
_DOCUMENT_TITLE: Final = 0x00420010
_LEFT_URLS: Final = frozenset((0x0008010E, 0x00080120))


@dataclass(frozen=True, slots=True)
class Profile:
    """What is done, by tag; what is named nowhere is removed.

    Attributes
    ----------
    edition
        The edition of the table.
    actions
        For a data set and its ordinary sequences.
    content
        Within the content of a structured report.
    dummies
        Within sequences of which the table wants a dummy.
    """

    edition: str
    actions: dict[int, Action]
    content: dict[int, Action]
    dummies: dict[int, Action]


@cache
def basic_profile() -> Profile:
    """Return the Basic Application Level Confidentiality Profile.

    Private and unknown attributes, command and file meta elements within a data set, and groups
    50xx are in no mapping. Neither is group 60xx: an overlay without its data is invalid.

    >>> basic_profile().actions[0x00100010].name
    'EMPTY'
    """
    table = table_e1_1()
    actions = {
        tag: _unlisted(tag, dictionary_vr(tag)) for tag in standard_tags() if _in_data_set(tag)
    }
    for row in table.rows:
        tag = 0 if row.tag == PRIVATE or "x" in row.tag else int(row.tag, 16)
        if _in_data_set(tag):
            actions[tag] = _listed(tag, _RESOLVED[row.action])
    content = {tag: _text(tag, action, _CODE_ATTRIBUTES) for tag, action in actions.items()}
    dummies = {tag: _text(tag, action, frozenset()) for tag, action in actions.items()}
    for each in (actions, content, dummies):
        for tag in [tag for tag, action in each.items() if action is Action.REMOVE]:
            del each[tag]  # as good as unknown, and the mappings stay small
    return Profile(table.edition, actions, content, dummies)


def _in_data_set(tag: int) -> bool:
    """Tell whether an attribute may stand in the data set of an image or document at all."""
    return tag >> 16 > 4 and tag & 0xFFFF != 0 and tag >> 16 != 0xFFFE


def _unlisted(tag: int, vr: bytes) -> Action:
    if vr in _TELLING_VRS or tag in _MORE_REMOVED or (vr == b"UR" and tag not in _LEFT_URLS):
        return Action.REMOVE
    if tag in _MORE_UIDS:
        return Action.UID
    if tag == _DOCUMENT_TITLE:
        return Action.EMPTY
    return Action.ITEMS if vr == b"SQ" else Action.KEEP


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


def _text(tag: int, action: Action, left: frozenset[int]) -> Action:
    if action is Action.KEEP and dictionary_vr(tag) in _TEXT_VRS and tag not in left:
        return Action.DUMMY
    return action
