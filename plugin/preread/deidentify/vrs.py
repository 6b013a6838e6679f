"""Whether an element that stays is what its tag says: a name may stand in a VR that has none."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cache, lru_cache
from typing import Final, NamedTuple

from preread.elements import dictionary_vr, most_values, standard_tags

_UNPLAIN: Final = frozenset((b"PN", b"SQ", b"UN", b""))

is_number: Final = re.compile(rb"[0-9+\-.eE\\ \0]*").fullmatch
"""Tells, of data from one offset to another, whether no more than numbers can stand there."""

Check = Callable[[bytes | memoryview, int, int], object]
"""Tells, of data from one offset to another, whether it is what an attribute may have there."""

_SIZES: Final = {
    b"AT": 4, b"FD": 8, b"FL": 4, b"OD": 8, b"OF": 4, b"OL": 4, b"OV": 8, b"SL": 4, b"SS": 2,
    b"SV": 8, b"UL": 4, b"US": 2, b"UV": 8,
}  # fmt: skip
"""Bytes of one number, by VR (PS3.5 Table 6.2-1)."""
_ONE_VALUE: Final = frozenset((b"OD", b"OF", b"OL", b"OV"))
"""Of any length: its numbers are one value."""
_FORMS: Final = {
    b"AS": rb"(?:\d{1,3}[DWMY])?",
    b"CS": rb"[A-Z0-9_ ]{0,16}",
    b"DT": rb"[0-9.+\- ]{0,27}",
    b"UI": rb"[0-9.]{0,64}",
}
"""One value, by VR (PS3.5 Table 6.2-1), without what pads it."""
_PADDED: Final = rb"[ \0]*"
_CHARACTER_SETS: Final = 0x00080005
_MODALITY: Final = 0x00080060
# PS3.3 C.7.3.1.1.1, those that are retired too.
_MODALITIES: Final = (
    "ANN|AR|AS|ASMT|AU|BDUS|BI|BMD|CD|CF|CFM|CP|CR|CS|CT|CTPROTOCOL|DD|DF|DG|DM|DMS|DOC|DS|DX|EC|"
    "ECG|EEG|EMG|EOG|EPS|ES|FA|FID|FS|GM|HC|HD|IO|IOL|IVOCT|IVUS|KER|KO|LEN|LP|LS|M3D|MA|MG|MR|MS|"
    "NM|OAM|OCT|OP|OPM|OPR|OPT|OPTBSV|OPTENF|OPV|OSS|OT|PA|PLAN|POS|PR|PT|PX|REG|RESP|RF|RG|RTDOSE|"
    "RTIMAGE|RTINTENT|RTPLAN|RTRAD|RTRECORD|RTSEGANN|RTSTRUCT|RWV|SC|SEG|SM|SMR|SR|SRF|ST|STAIN|"
    "TEXTUREMAP|TG|US|VA|VF|XA|XAPROTOCOL|XC"
)


@cache
def _lengths(size: int, most: int) -> range:
    """Return how many bytes so many numbers take; 0 for as many as one likes."""
    return range(0, (size * most if most else _LONGEST) + 1, size)


@cache
def _formed(form: bytes, most: int) -> Check:
    """Give what holds texts to a form and to how many there may be."""
    more = b"{0,%d}" % (most - 1) if most else b"*"
    return re.compile(rb"(?:%b *\\)%b%b%b" % (form, more, form, _PADDED)).fullmatch


def _check(tag: int, vr: bytes) -> Check | None:
    if vr in (b"DS", b"IS"):
        return is_number
    if tag == _CHARACTER_SETS:
        return _formed(rb"[A-Z0-9_ \-]{0,16}", 0)  # the hyphen in old writers' ISO-IR
    if tag == _MODALITY:
        return _formed(b"(?:%b)?" % _MODALITIES.encode("ascii"), 1)
    form = _FORMS.get(vr)
    return None if form is None else _formed(form, most_values(tag))


class Plain(NamedTuple):
    """What an attribute is held to whose VR can hold neither items nor a name.

    Attributes
    ----------
    vr
        The one that it has; None where it has one of two.
    check
        Tells whether a value is one of the VR; None where that is any text or bytes.
    lengths
        Of binary numbers, and of texts that are checked, in bytes; of all else any.
    """

    vr: bytes | None
    check: Check | None
    lengths: range


def _plain(tag: int, vr: bytes) -> Plain:
    if vr == _EITHER:
        return Plain(None, None, _lengths(2, most_values(tag)))
    if vr in _SIZES:
        return Plain(vr, None, _lengths(_SIZES[vr], _most(tag, vr)))
    check = _check(tag, vr)
    return Plain(vr, check, ANY_LENGTH if check is None else _checked_lengths(vr))


def _checked_lengths(vr: bytes) -> range:
    """Return how many bytes of text are held to their form: to look at more takes too long."""
    return _NUMBERS_LENGTHS if vr in (b"DS", b"IS") else _FORMS_LENGTHS


def _most(tag: int, vr: bytes) -> int:
    return 0 if vr in _ONE_VALUE else most_values(tag)


_EITHER: Final = b"US or SS"
_LONGEST: Final = 2**33
ANY_LENGTH: Final = range(_LONGEST)
_FORMS_LENGTHS: Final = range(2**16 + 1)
_NUMBERS_LENGTHS: Final = range(2**24 + 1)

PLAIN: Final = {
    tag: _plain(tag, vr)
    for tag in standard_tags()
    if (len(vr := dictionary_vr(tag)) == 2 and vr not in _UNPLAIN) or vr == _EITHER
}
"""What each attribute is held to that cannot hold items or a name, by tag."""
NOT_PLAIN: Final = Plain(None, None, ANY_LENGTH)


def is_held(vr: bytes, tag: int, data: bytes | memoryview, start: int, end: int) -> bool:
    """Tell whether a value that stays is one of its VR.

    Parameters
    ----------
    vr
        As it is written; empty in implicit VR, UN where its writer did not know.
    tag
        Of a standard attribute; of any other nothing is known.
    data, start, end
        Where the value lies.

    >>> is_held(b"US", 0x00280010, b"JANE DOE", 0, 2), is_held(b"US", 0x00280010, b"JANE DOE", 0, 8)
    (True, False)
    >>> is_held(b"CS", 0x00080060, b"X JANE DOE", 0, 10), is_held(b"CS", 0x00080060, b"CT", 0, 2)
    (False, True)
    """
    written = dictionary_vr(tag)[:2] if vr in (b"", b"UN") else vr
    if written in _SIZES:
        # Writers mistake numbers of one length for those of another.
        return end - start in _lengths(_SIZES[written], _most(tag, written))
    _, check, lengths = PLAIN.get(tag, NOT_PLAIN)
    return check is None or (end - start in lengths and bool(check(data, start, end)))


def known_modality(modality: str) -> str:
    """Return a Modality if the standard has it, else nothing.

    >>> known_modality("CT"), known_modality("X JANE DOE")
    ('CT', '')
    """
    return modality if re.fullmatch(_MODALITIES, modality) else ""


# Writers mistake these for each other, and none of them tells more than the others could.
_ALIKE: Final = (
    frozenset((b"CS", b"LO", b"LT", b"SH", b"ST", b"UC", b"UT")),
    frozenset((b"DS", b"IS")),
    frozenset((b"SL", b"SS", b"SV", b"UL", b"US", b"UV", b"AT")),
    frozenset((b"FD", b"FL")),
    frozenset((b"OB", b"OD", b"OF", b"OL", b"OV", b"OW")),
)


@lru_cache(maxsize=4096)
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
