"""Table E.1-1 read as it stands: which values an option lets stay."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from functools import cache
from typing import Final

from pydicom.datadict import dictionary_VR

from preread.deidentify.table import PRIVATE, Row, table_e1_1

ROWS: Final = tuple(
    (int(row.tag, 16), row)
    for row in table_e1_1().rows
    if row.tag != PRIVATE and "x" not in row.tag and int(row.tag, 16) >> 16 > 4
)
"""Those that can stand in a data set, with their tags, without the repeating groups."""

_BY_TAG: Final = dict(ROWS) | {
    int(row.tag, 16): row for row in table_e1_1().rows if row.tag[:4] in {"0000", "0002", "0004"}
}
_PATTERNS: Final = {row.tag: row for row in table_e1_1().rows if "x" in row.tag}

_MODIFIED: Final = "RetainLongitudinalModifiedDates"

# By their names: rows that are newer than the dictionary.
_BY_NAME: Final = (
    ("Sequence", b"SQ"), ("DateTime", b"DT"), ("Comment", b"UT"), ("URI", b"UR"), ("", b"LO"),
)  # fmt: skip


@cache
def row_of(tag: int) -> Row | None:
    """Return the row of a tag, also of a repeating group; None if the table does not list it."""
    found = _BY_TAG.get(tag)
    if found is None and tag >> 24 == 0x50 and tag & 0x10000 == 0:
        return _PATTERNS["50xxxxxx"]
    if found is None and tag >> 24 == 0x60 and tag & 0x10000 == 0:
        return _PATTERNS.get(f"60xx{tag & 0xFFFF:04X}")
    return found


@cache
def vr_of(tag: int) -> bytes:
    """Return the VR of a standard attribute; the first of several."""
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        row = row_of(tag)
        name = "" if row is None else row.name
        return next(vr for word, vr in _BY_NAME if word in name)


def chosen(row: Row, options: Collection[str]) -> str:
    """Return what options want of a row: K, C, or nothing; to keep outweighs to clean.

    But where dates move, all of them do: one that stayed would tell how far.
    """
    if _MODIFIED in options and _MODIFIED in row.options:
        return "C"
    codes = {code for name, code in row.options.items() if name in options}
    return "K" if "K" in codes else "C" if "C" in codes else ""


def may_stay(path: Sequence[int], options: Collection[str]) -> bool:
    """Tell whether the table lets a value be as it was.

    Parameters
    ----------
    path
        The sequences around it, and its own tag.
    options
        The table's names of options.
    """
    if not path:
        return False
    *around, tag = path
    if any(each & 0x10000 for each in path):
        return False  # no creator here is in the registry
    is_kept = is_cleaned = False
    for outer in around:
        row = row_of(outer)
        is_kept = is_kept or (row is not None and chosen(row, options) == "K")
        is_cleaned = is_cleaned or (row is not None and chosen(row, options) == "C")
        # A sequence that the table does not list stays. Of the others, items that are there at
        # all are treated row by row.
        if row is not None and not chosen(row, options) and row.action in {"X", "Z", "X/Z"}:
            return False
    row = row_of(tag)
    if row is None:
        # Cleaned are texts; a number is what was measured or drawn.
        measured = is_cleaned and vr_of(tag) in {b"DS", b"IS"}
        return is_kept or measured or _unlisted(tag, options)
    if row.tag in {"50xxxxxx", "60xx3000"} and vr_of(tag) in {b"OB", b"OW"}:
        # What is drawn; whether it is a text, a look at the pixels tells.
        return chosen(row, options) == "C"
    return chosen(row, options) == "K"


def _unlisted(tag: int, options: Collection[str]) -> bool:
    if vr_of(tag) in {b"DA", b"TM", b"DT"}:
        return "RetainLongitudinalFullDates" in options
    return vr_of(tag) == b"UI" and "RetainUIDs" in options
