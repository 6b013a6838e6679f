"""What can be done with an element, whatever decides about it."""

from __future__ import annotations

from enum import IntEnum
from typing import Final


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
    CLEAN_ITEMS = 9
    """A sequence that stays; its texts are cleaned, its codes stay."""
    CLEAN = 10
    """A text that stays without what may identify."""
    SHIFT = 11
    """A date or time that is moved by the patient's offset."""
    TIME = 12
    """A date or time that stays if it is one."""
    VALID_UID = 13
    """UIDs that stay if they are UIDs."""
    ALIAS = 14
    """A title that gets a keyed name of its own."""
    MEANING = 15
    """A code or its meaning: stays if a standard's scheme defines it."""


SEQUENCES: Final = frozenset(
    (Action.ITEMS, Action.DUMMY_ITEMS, Action.DUMMY_CONTENT, Action.CLEAN_ITEMS)
)
VALUES: Final = frozenset(
    (
        Action.CLEAN,
        Action.SHIFT,
        Action.TIME,
        Action.VALID_UID,
        Action.ALIAS,
        Action.MEANING,
    )
)
"""What depends on the value, which may stay as it is."""

CODES: Final = {
    Action.REMOVE: "X",
    Action.EMPTY: "Z",
    Action.DUMMY: "D",
    Action.UID: "U",
    Action.CLEAN: "C",
    Action.SET: "set",
}
"""How the actions are counted, in the table's own codes."""
