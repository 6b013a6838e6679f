"""What says that, by whom and how an object was de-identified, and its file meta information."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from typing import Final

from preread.deidentify.options import BASIC_PROFILE, Option
from preread.elements import Encoding, encode_element, encode_item

IMPLEMENTATION_CLASS_UID: Final = "2.25.296081034861093263286352951043614437563"
IMPLEMENTATION_VERSION_NAME: Final = "PREREAD"

PATIENT_IDENTITY_REMOVED: Final = 0x00120062
DEIDENTIFICATION_METHOD: Final = 0x00120063
DEIDENTIFICATION_METHOD_CODE_SEQUENCE: Final = 0x00120064
LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: Final = 0x00280303

MARKS: Final = (
    PATIENT_IDENTITY_REMOVED,
    DEIDENTIFICATION_METHOD,
    DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
)

_EXPLICIT: Final = Encoding(implicit=False, little=True)
_PREAMBLE: Final = bytes(128) + b"DICM"
_VERSION: Final = encode_element(0x00020001, b"OB", b"\0\1", _EXPLICIT)
_IMPLEMENTATION: Final = encode_element(
    0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii"), _EXPLICIT
) + encode_element(0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii"), _EXPLICIT)


def marks(
    encoding: Encoding, edition: str, options: Iterable[Option], more_methods: Iterable[str] = ()
) -> dict[int, bytes]:
    """Return the attributes that PS3.15 E.1.1 wants, encoded, by tag.

    Parameters
    ----------
    encoding
        How the data set is written.
    edition
        Of the standard, for the text.
    options
        Those that have been applied to the object as a whole.
    more_methods
        Further values of DeidentificationMethod.
    """
    applied = frozenset(options)
    codes = [BASIC_PROFILE, *sorted((option.code, option.meaning) for option in applied)]
    if Option.RETAIN_LONGITUDINAL_FULL_DATES in applied:
        times = b"UNMODIFIED"
    elif Option.RETAIN_LONGITUDINAL_MODIFIED_DATES in applied:
        times = b"MODIFIED"
    else:
        times = b"REMOVED"
    values = {
        PATIENT_IDENTITY_REMOVED: (b"CS", b"YES"),
        DEIDENTIFICATION_METHOD_CODE_SEQUENCE: (
            b"SQ",
            b"".join(_code(encoding, *code) for code in codes),
        ),
        LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: (b"CS", times),
    }
    found = {tag: encode_element(tag, vr, value, encoding) for tag, (vr, value) in values.items()}
    found[DEIDENTIFICATION_METHOD] = method(encoding, edition, more_methods)
    return found


def method(encoding: Encoding, edition: str, more_methods: Iterable[str] = ()) -> bytes:
    """Return De-identification Method (0012,0063), encoded; see `marks`."""
    methods = (f"Preread, Basic Profile, PS3.15 E {edition}", *more_methods)
    value = "\\".join(methods).encode("ascii")
    return encode_element(DEIDENTIFICATION_METHOD, b"LO", value, encoding)


def _code(encoding: Encoding, value: str, meaning: str) -> bytes:
    """Return one item of a sequence of codes of PS3.16 CID 7050."""
    return encode_item(
        b"".join(
            encode_element(tag, vr, text.encode("ascii"), encoding)
            for tag, vr, text in (
                (0x00080100, b"SH", value),
                (0x00080102, b"SH", "DCM"),
                (0x00080104, b"LO", meaning),
            )
        ),
        encoding,
    )


def beginning(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information, which keep nothing of what was there."""
    told = b"".join(
        encode_element(tag, b"UI", uid.encode("ascii"), _EXPLICIT)
        for tag, uid in (
            (0x00020002, sop_class),
            (0x00020003, sop_instance),
            (0x00020010, transfer_syntax),
        )
    )
    size = len(_VERSION) + len(told) + len(_IMPLEMENTATION)
    length = encode_element(0x00020000, b"UL", struct.pack("<I", size), _EXPLICIT)
    return b"".join((_PREAMBLE, length, _VERSION, told, _IMPLEMENTATION))
