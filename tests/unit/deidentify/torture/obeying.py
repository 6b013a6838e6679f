"""Whether a row of Table E.1-1 was obeyed at the top level, told from before and after."""

from __future__ import annotations

import re
import warnings
from collections.abc import Collection, Iterator
from typing import Final

from pydicom import Dataset
from pydicom.dataelem import DataElement
from pydicom.valuerep import validate_value

from preread.deidentify.iod_types import types_of
from preread.deidentify.table import Row
from tests.unit.deidentify.torture.rows import chosen

_UID: Final = re.compile(r"[0-2](\.(0|[1-9][0-9]*))+")
_BY_TYPE: Final = {1: "D", 2: "ZD", 3: "XZDU"}


def obeyed(
    before: Dataset, after: Dataset, tag: int, row: Row, options: Collection[str] = ()
) -> str:
    """Return nothing if it was, else what was done instead.

    Of a conditional code each alternative counts that is valid for the type that the IOD gives the
    attribute. Where the table wants a value emptied, PS3.15 E.1.1 lets a dummy stand as well.

    Parameters
    ----------
    before, after
        The data sets.
    tag
        Which attribute; it is in the first one.
    row
        Its row.
    options
        Those that were chosen.
    """
    done = _done(before[tag], after.get(tag))
    code = chosen(row, options)
    if code == "K":
        wanted = {"K"}
    elif code == "C":
        # What is nothing but an identifier may go altogether.
        wanted = {"C"} | _alternatives(row, tag, before)
    else:
        wanted = _alternatives(row, tag, before)
    return "" if done & wanted else "/".join(sorted(done)) or "invalid"


def _alternatives(row: Row, tag: int, before: Dataset) -> set[str]:
    codes = {code.rstrip("*") for code in row.action.split("/")}
    if len(codes) == 1:
        return codes
    types = types_of(before.SOPClassUID) or {}
    return codes & set(_BY_TYPE[types.get(tag, 3)]) or codes


def _done(before: DataElement, after: DataElement | None) -> set[str]:
    """Return the codes that describe what was done."""
    if after is None:
        return {"X"}
    if after.is_empty:
        return {"Z"}
    if before.VR == "SQ":
        return _sequence(before, after) if after.VR == "SQ" else set()
    if after.value == before.value:
        return {"K"}
    if not _is_valid(after):
        return set()
    return {"Z", "D", "C"} | ({"U"} if after.VR == "UI" else set())


def _sequence(before: DataElement, after: DataElement) -> set[str]:
    old = {(element.tag, str(element.value)) for element in _leaves(before)}
    new = list(_leaves(after))
    left = {element.tag for element in new if (element.tag, str(element.value)) in old}
    texts = {element.tag for element in new if element.VR not in {"DS", "IS"}}
    if not all(map(_is_valid, new)):
        return set()
    done = {"K"} if new else {"Z"}
    if not left:
        done |= {"Z", "D"}
    if not left & texts:
        done.add("C")
    uids = [element for element in new if element.VR == "UI"]
    if uids and not any(element.tag in left for element in uids):
        done.add("U")
    return done


def _leaves(sequence: DataElement) -> Iterator[DataElement]:
    for item in sequence.value:
        yield from (element for element in item.iterall() if element.VR != "SQ")


def _is_valid(element: DataElement) -> bool:
    if element.VR == "UI":
        values = [element.value] if element.VM <= 1 else element.value
        return all(_UID.fullmatch(str(one)) and len(str(one)) <= 64 for one in values if one)
    if element.VR in {"OB", "OW", "UN", "US", "SS"}:
        return True
    values = [element.value] if element.VM <= 1 else list(element.value)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            for value in values:
                validate_value(element.VR, str(value), 2)
        except (ValueError, UserWarning):
            return False
    return True
