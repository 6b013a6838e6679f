"""Whether an element that stays is what its tag says: a name may stand in a VR that has none."""

from __future__ import annotations

import re
from typing import Final

from preread.elements import dictionary_vr, standard_tags

_UNPLAIN: Final = frozenset((b"PN", b"SQ", b"UN", b""))

PLAIN_VRS: Final = {
    tag: vr for tag in standard_tags() if len(vr := dictionary_vr(tag)) == 2 and vr not in _UNPLAIN
}
"""The VR of each attribute that has one alone; none that can hold items or a name."""

NUMBERS: Final = frozenset((b"DS", b"IS"))
"""VRs of numbers that are written as text."""

is_number: Final = re.compile(rb"[0-9+\-.eE\\ \0]*").fullmatch
"""Tells, of data from one offset to another, whether no more than numbers can stand there."""

# Writers mistake these for each other, and none of them tells more than the others could.
_ALIKE: Final = (
    frozenset((b"CS", b"LO", b"LT", b"SH", b"ST", b"UC", b"UT")),
    frozenset((b"DS", b"IS")),
    frozenset((b"SL", b"SS", b"SV", b"UL", b"US", b"UV", b"AT")),
    frozenset((b"FD", b"FL")),
    frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW")),
)


def fits(vr: bytes, tag: int) -> bool:
    """Tell whether an element may stay as what its tag says.

    Parameters
    ----------
    vr
        As it is written; empty in implicit VR, UN where its writer did not know.
    tag
        Of a standard attribute, or of a private one, of which nothing is known.

    >>> fits(b"LO", 0x00180050), fits(b"SH", 0x00081090), fits(b"SS", 0x00280106)
    (False, True, True)
    """
    if vr in (b"", b"UN"):
        return True
    expected = dictionary_vr(tag)
    if tag & 0x10000 or not expected:
        return vr not in _UNPLAIN
    if vr in expected.split(b" or "):
        return vr not in _UNPLAIN
    return any(vr in group and not group.isdisjoint(expected.split(b" or ")) for group in _ALIKE)
