"""The search that the torture set relies on: it must find what is there, and nothing else."""

from __future__ import annotations

import base64
import random
import zlib
from collections.abc import Callable

import pytest

from tests.unit.deidentify.torture import Canary, Mint, Search
from tests.unit.deidentify.torture.canaries import TEXTS, Script
from tests.unit.deidentify.torture.scripts import SCRIPTS
from tests.unit.deidentify.torture.searching import compressed

VRS = (
    b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OW",
    b"PN", b"SH", b"SL", b"ST", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"UT",
)  # fmt: skip
AROUND = b"The quick brown fox, "


def _minted(vr: bytes) -> tuple[bytes, Canary]:
    mint = Mint()
    raw = mint.make(vr, "top", (0x00100010,))
    return raw, mint.made[0]


def _deflated(raw: bytes) -> bytes:
    return compressed(raw * 3)[0]


WRAPPED: dict[str, Callable[[bytes], bytes]] = {
    "raw": lambda raw: raw,
    "lower": bytes.lower,
    "upper": bytes.upper,
    "utf-16-le": lambda raw: raw.decode("latin-1").encode("utf-16-le"),
    "utf-16-be": lambda raw: raw.decode("latin-1").encode("utf-16-be"),
    "hex": lambda raw: raw.hex().encode(),
    "HEX": lambda raw: raw.hex().upper().encode(),
    "hex, odd": lambda raw: b"a" + raw.hex().encode(),
    "base64": base64.b64encode,
    "base64, second": lambda raw: base64.b64encode(b" " + raw),
    "base64, third": lambda raw: base64.b64encode(b"  " + raw),
    "base64, in lines": lambda raw: base64.encodebytes(AROUND * 4 + raw + b" " + AROUND),
    "base64, for URLs": lambda raw: base64.urlsafe_b64encode(b"\xff\xff " + raw + b" \xff"),
    "zlib": lambda raw: compressed(AROUND + raw)[1],
    "gzip": lambda raw: compressed(AROUND + raw)[2],
    "gzip in base64": lambda raw: base64.b64encode(compressed(raw)[2]),
    "base64 in zlib": lambda raw: compressed(base64.b64encode(raw))[1],
    "hex in UTF-16": lambda raw: raw.hex().encode("utf-16-le"),
}


# A binary value has no case and no characters.
OF_TEXT = {"lower", "upper", "utf-16-le", "utf-16-be"}


@pytest.mark.parametrize(
    ("vr", "how"),
    [(vr, how) for vr in VRS for how in WRAPPED if how not in OF_TEXT or _minted(vr)[1].tokens],
)
def test_a_value_is_found_however_it_is_wrapped(vr: bytes, how: str) -> None:
    raw, canary = _minted(vr)
    data = AROUND + b"\0" + WRAPPED[how](raw) + b"\0" + AROUND
    assert Search([canary]).found(data, is_file=False) == {canary}


def test_a_bare_deflated_value_is_found_where_a_value_begins() -> None:
    raw, canary = _minted(b"LO")
    assert Search([canary]).found(_deflated(raw), is_file=False) == {canary}
    half = compressed(b"".join(b"%d " % number for number in range(5000)) + raw)[0]
    assert Search([canary]).found(half, is_file=False) == {canary}
    # What comes before damage is not lost.
    early = bytearray(compressed(raw + random.Random(1).randbytes(9000))[0])
    early[-5000] ^= 0xFF
    assert Search([canary]).found(bytes(early), is_file=False) == {canary}


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.name)
def test_a_text_is_found_in_every_script(script: Script) -> None:
    for vr in sorted(TEXTS):
        mint = Mint()
        raw = mint.make(vr, "top", (0x00100010,), script)
        canary = mint.made[0]
        text = script.text(canary.number)
        for data in (
            raw,
            text.encode(),
            text.encode("utf-16-le"),
            text.encode("utf-16-be"),
            base64.b64encode(b"  " + text.encode()),
            zlib.compress(raw),
        ):
            assert Search([canary]).found(AROUND + data + AROUND, is_file=False) == {canary}
        other = script.text(canary.number + 1)
        assert not Search([canary]).found(other.encode(), is_file=False)


@pytest.mark.parametrize("vr", VRS, ids=bytes.decode)
def test_nothing_is_found_that_is_not_there(vr: bytes) -> None:
    mint = Mint()
    raw = [mint.make(vr, "top", (0x00100010,)) for _ in range(200)]
    noise = random.Random(7).randbytes(20_000)
    half = Search(mint.made[:100])
    assert half.found(noise + b"\0".join(raw[100:]) + noise, is_file=False) == set()


def test_part_of_a_longer_number_is_not_taken_for_a_value() -> None:
    raw, canary = _minted(b"DA")
    assert not Search([canary]).found(b"2.25.1" + raw + b"5", is_file=False)
    assert not Search([canary]).found(b"1.2." + raw + b".5", is_file=False)
    assert Search([canary]).found(b"-" + raw + b"/", is_file=False)
