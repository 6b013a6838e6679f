"""The options of PS3.15 E.3, one by one and in pairs, against the table's own columns."""

from __future__ import annotations

import itertools
import json
from collections.abc import Callable
from importlib import resources
from io import BytesIO
from typing import Any

import pytest
from pydicom import Dataset, dcmread
from pydicom.datadict import dictionary_VR

from preread.deidentify import (
    Deidentifier,
    DeidentifyOptions,
    Option,
    Secret,
)
from preread.deidentify.iod_types import types_of

ROWS: list[tuple[str, str, str, dict[str, str]]] = json.loads(
    resources.files("preread.deidentify").joinpath("table-e1-1.json").read_text()
)["Rows"]
CT = "1.2.840.10008.5.1.4.1.1.2"
WRITTEN = {
    0x00080018, 0x00100010, 0x00100020, 0x00120062, 0x00120063, 0x00120064, 0x0020000D, 0x0020000E,
    0x00280303, 0x04000500,
}  # fmt: skip
TEXT = (b"LO", b"LT", b"SH", b"ST", b"UC", b"UT")
TIME = (b"DA", b"DT", b"TM")
KEY = Secret(bytes(range(32)))
ALONE = [frozenset((option,)) for option in Option]
FULL, MODIFIED = Option.RETAIN_LONGITUDINAL_FULL_DATES, Option.RETAIN_LONGITUDINAL_MODIFIED_DATES
PAIRS = [
    frozenset(pair) for pair in itertools.combinations(Option, 2) if set(pair) != {FULL, MODIFIED}
]
WANTED = {1: "DZ", 2: "ZD", 3: "XZD"}


def _vr(tag: int) -> bytes:
    try:
        return dictionary_VR(tag)[:2].encode()
    except KeyError:
        return b""


LISTED = [
    (int(tag, 16), action, options)
    for tag, _, action, options in ROWS
    if tag != "private" and "x" not in tag and int(tag, 16) >> 16 > 4 and _vr(int(tag, 16))
]


def _value(vr: bytes, number: int, codes: dict[str, str]) -> bytes:
    """Return a value that is valid for its VR and like no other."""
    if vr in TEXT:
        return b"chest Zq%05d" % number if "C" in codes.values() else b"Zq%05d" % number
    return {
        b"AE": b"AEZQ%05d" % number,
        b"AS": b"0%02dY" % (number % 90 + 10),
        b"CS": b"ZQ%05d" % number,
        b"DA": b"19%02d0%d1%d" % (number % 90 + 10, number % 9 + 1, number % 9),
        b"DS": b"%d.5" % number,
        b"DT": b"19%02d0%d1%d081203" % (number % 90 + 10, number % 9 + 1, number % 9),
        b"IS": b"%d" % number,
        b"PN": b"Zq%05d^Jane" % number,
        b"TM": b"11%02d%02d" % (number // 60 % 60, number % 60),
        b"UI": b"1.9.76543.%d" % (number + 1000),
        b"UR": b"http://zq%05d" % number,
        b"US": (number + 1).to_bytes(2, "little"),
    }.get(vr, (number + 1).to_bytes(8, "little"))  # fmt: skip


@pytest.fixture(scope="module")
def original(node: Any, image: Callable[..., bytes]) -> bytes:
    """Every attribute of the table at the top level; sequences hold a name, a UID and a text."""
    nodes = [
        node(0x00080008, b"CS", b"ORIGINAL\\PRIMARY\\AXIAL"),  # no text is looked for
        # With Rows they tell where the pixels end, so that nothing is looked for behind them.
        node(0x00280002, b"US", b"\1\0"),
        node(0x00280011, b"US", b"\1\0"),
        node(0x00280100, b"US", b"\x10\0"),
    ]
    for number, (tag, _, codes) in enumerate(LISTED):
        vr = _vr(tag)
        if tag in WRITTEN:
            continue
        if vr == b"SQ":
            inside = [
                node(0x00081155, b"UI", b"1.9.76543.%d" % (number + 5000)),
                node(0x00100010, b"PN", b"Zq%05d^Nested" % number),
                node(0x0040A160, b"UT", b"chest Zq%05d" % number),
            ]
            nodes.append(node(tag, b"SQ", items=[inside]))
        else:
            nodes.append(node(tag, vr, _value(vr, number, codes)))
    return image(*nodes)


def _expected(tag: int, action: str, codes: dict[str, str], options: frozenset[Option]) -> str:
    """Read the table as it stands: what is kept outweighs what is cleaned.

    But a device's date that stayed beside dates that move would tell how far they moved.
    """
    chosen = {code for name, code in codes.items() if name in set(map(str, options))}
    if MODIFIED in options and MODIFIED in codes:
        return "C"
    if chosen:
        return "K" if "K" in chosen else "C"
    types = types_of(CT)
    assert types is not None
    alternatives = action.split("/")
    if len(alternatives) == 1 or "U*" in alternatives:
        return alternatives[-1]
    return next(code for code in WANTED[types.get(tag, 3)] if code in alternatives)


def _check_value(
    code: str, vr: bytes, before: Any, done: Dataset, tag: int, engine: Deidentifier
) -> None:
    if code == "X":
        assert tag not in done
        return
    after = done[tag]
    if code == "Z":
        assert after.is_empty
    elif code == "D":
        assert not after.is_empty
        assert after.value != before.value or vr not in TEXT + TIME
    elif code == "U":
        assert engine.pseudonyms.is_ours_uid(after.value)
    elif code == "K":
        assert after.value == before.value
    else:
        assert code == "C"
        _check_cleaned(vr, before, after, engine)


def _check_cleaned(vr: bytes, before: Any, after: Any, engine: Deidentifier) -> None:
    if vr in TEXT:
        assert after.value == "chest"
    else:
        assert vr in (*TIME, b"AE"), "the others cannot be cleaned"
        assert after.value != before.value
        assert not after.is_empty


def _check_sequence(code: str, done: Dataset, tag: int, options: frozenset[Option]) -> None:
    if code == "X":
        assert tag not in done
    elif code == "Z":
        assert not done[tag].value
    else:
        inside = done[tag].value[0]
        assert not str(inside.get("PatientName", "")).startswith("Zq")
        kept = Option.RETAIN_UIDS in options
        assert inside.ReferencedSOPInstanceUID.startswith("1.9." if kept else "2.25.")
        if code == "C":
            assert inside.TextValue == "chest"
        if code == "D":
            assert inside.TextValue in {"**.**", "chest"}


# No text, so that what is cleaned is what cannot be: it gets the Basic Profile's action.
NOT_CLEANABLE = (b"OB", b"CS")


@pytest.mark.parametrize(
    "options", [frozenset(), *ALONE, *PAIRS], ids=lambda options: "+".join(sorted(options))
)
def test_every_row_is_as_its_options_want_it(options: frozenset[Option], original: bytes) -> None:
    engine = Deidentifier(KEY, DeidentifyOptions(options=options))
    before, result = dcmread(BytesIO(original)), engine.deidentify(original)
    done = dcmread(BytesIO(result.data))
    checked = 0
    for tag, action, codes in LISTED:
        if tag in WRITTEN:
            continue
        vr, code = _vr(tag), _expected(tag, action, codes, options)
        if tag == 0x00080201:  # an offset from UTC: this value is none
            code = action
        if code == "C" and vr in NOT_CLEANABLE:
            code = _expected(tag, action, {}, options)
        if vr == b"SQ":
            _check_sequence(code, done, tag, options)
        elif not (tag == 0x006A0003 and code == "D"):  # a new UID is the dummy of a UID
            _check_value(code, vr, before[tag], done, tag, engine)
        checked += 1
    assert checked > 600
    codes_written = {item.CodeValue for item in done.DeidentificationMethodCodeSequence}
    assert codes_written == {"113100", *(option.code for option in options)}
    again = engine.deidentify(result.data)
    assert again.data == result.data
    assert again.options == options
