"""What stands where a value was: elements that are valid for their VR (PS3.5 section 6.2)."""

from __future__ import annotations

from typing import Final

# Of fixed form, so that the setting's text cannot stand there. Numbers are zeros in any order of
# bytes; text VRs are not named here.
_FIXED: Final = {
    b"AE": b"ANONYMIZED",
    b"AS": b"000Y",
    b"AT": bytes(4),
    b"CS": b"ANONYMIZED",
    b"DA": b"19000101",
    b"DS": b"0",
    b"DT": b"19000101000000",
    b"FD": bytes(8),
    b"FL": bytes(4),
    b"IS": b"0",
    b"OB": bytes(2),
    b"OD": bytes(8),
    b"OF": bytes(4),
    b"OL": bytes(4),
    b"OV": bytes(8),
    b"OW": bytes(2),
    b"PN": b"Anonymous",
    b"SL": bytes(4),
    b"SS": bytes(2),
    b"SV": bytes(8),
    b"TM": b"000000",
    b"UL": bytes(4),
    b"UN": bytes(2),
    b"UR": b"about:blank",
    b"US": bytes(2),
    b"UV": bytes(8),
}
_BY_TAG: Final = {0x00080201: b"+0000"}
"""Of attributes whose text has a form: TimezoneOffsetFromUTC (PS3.3 C.12.1.1)."""


def dummy(vr: bytes, text: str) -> bytes:
    """Return a value of a VR that tells nothing.

    Parameters
    ----------
    vr
        Two letters.
    text
        What stands in VRs that hold any text.

    >>> dummy(b"DA", "**.**")
    b'19000101'
    >>> dummy(b"LO", "**.**")
    b'**.**'
    """
    fixed = _FIXED.get(vr)
    return text.encode("ascii") if fixed is None else fixed


def dummy_of(tag: int, vr: bytes, text: str) -> bytes:
    """Return a value of an attribute that tells nothing; see `dummy`.

    >>> dummy_of(0x00080201, b"SH", "**.**")
    b'+0000'
    """
    fixed = _BY_TAG.get(tag)
    return dummy(vr, text) if fixed is None else fixed
