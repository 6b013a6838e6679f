"""The search for planted values in every byte, also in what bytes are wrapped into."""

from __future__ import annotations

import base64
import gzip
import re
import warnings
import zlib
from collections.abc import Iterator, Sequence
from io import BytesIO
from typing import Final

from pydicom import dcmread

from tests.unit.deidentify.torture.canaries import Canary

_TOKEN: Final = re.compile(rb"\d+(?:\.\d+)*[DWMYdwmy]?")
# The tag of group 0032 begins with a byte that is a digit.
_BEFORE_A_TAG: Final = re.compile(rb"(\d{8,}(?:\.\d+)*)[0-9]\0")
_WIDE: Final = (
    (re.compile(rb"(?:[\x20-\x7e]\0){4,}"), 0),
    (re.compile(rb"(?:\0[\x20-\x7e]){4,}"), 1),
)
_HEX: Final = re.compile(rb"[0-9A-Fa-f]{8,}")
_BASE64: Final = re.compile(rb"[A-Za-z0-9+/_-](?:[\r\n]{0,2}[A-Za-z0-9+/_-]){5,}")
_STREAM: Final = re.compile(rb"(?=\x1f\x8b\x08|[\x08-\x78][\x01\x5e\x9c\xda])", flags=re.DOTALL)
_MOST: Final = 1 << 24  # bytes of one inflated stream
_LEAST: Final = 4  # unwrapped bytes that are worth a look
_DEEPEST: Final = 3
_META: Final = 144  # preamble, DICM and the element with the length of the file meta information

_URL_SAFE: Final = bytes.maketrans(b"-_", b"+/")


class Search:
    """Looks for canaries.

    Parameters
    ----------
    canaries
        Those of one file.
    """

    def __init__(self, canaries: Sequence[Canary]) -> None:
        self._tokens = {token: each for each in canaries for token in each.tokens}
        self._forms = [(form, each) for each in canaries for form in each.forms]

    def found(self, data: bytes, *, is_file: bool = True) -> set[Canary]:
        """Return the canaries that are somewhere in it.

        Raw and in any case, in UTF-16, base64 and hexadecimal, in deflated, zlib and gzip streams,
        and in these within these; of a DICOM file also in what its texts mean in their character
        sets.
        """
        left: set[Canary] = set()
        for part in (data, *(_parts(data) if is_file else ())):
            for view in views(part):
                left |= self._in(view)
        return left

    def _in(self, view: bytes) -> set[Canary]:
        tokens = {*map(bytes.upper, _TOKEN.findall(view)), *_BEFORE_A_TAG.findall(view)}
        left = {self._tokens[token] for token in tokens & self._tokens.keys()}
        return left | {each for form, each in self._forms if form in view}


def views(data: bytes, depth: int = 0) -> Iterator[bytes]:
    """Return what bytes may be: themselves, and what they unwrap to."""
    yield data
    if depth == _DEEPEST:
        return
    streams = b"\n".join(found for found in _inflated(data) if len(found) >= _LEAST)
    for unwrapped in (_wide(data), _from_hex(data), _from_base64(data), streams):
        if len(unwrapped) >= _LEAST:
            yield from views(unwrapped, depth + 1)


def _wide(data: bytes) -> bytes:
    return b"\n".join(run[first::2] for form, first in _WIDE for run in form.findall(data))


def _from_hex(data: bytes) -> bytes:
    found = []
    for run in _HEX.findall(data):
        for first in (0, 1):
            cut = run[first:]
            found.append(bytes.fromhex(cut[: len(cut) // 2 * 2].decode("ascii")))
    return b"\n".join(found)


def _from_base64(data: bytes) -> bytes:
    found = []
    for run in _BASE64.findall(data):
        plain = run.replace(b"\r", b"").replace(b"\n", b"").translate(_URL_SAFE)
        for first in range(4):
            cut = plain[first:]
            if len(cut) % 4 == 1:
                cut = cut[:-1]
            found.append(base64.b64decode(cut + b"=" * (-len(cut) % 4)))
    return b"\n".join(found)


def _inflated(data: bytes) -> Iterator[bytes]:
    """Return streams with a header wherever one begins, and a bare one that begins here."""
    for match in _STREAM.finditer(data):
        at = match.start()
        if data.startswith(b"\x1f\x8b\x08", at):
            yield _inflate(data[at:], zlib.MAX_WBITS | 16)
        elif int.from_bytes(data[at : at + 2], "big") % 31 == 0:
            yield _inflate(data[at:], zlib.MAX_WBITS)
    yield _inflate(data, -zlib.MAX_WBITS)


def _inflate(data: bytes, bits: int) -> bytes:
    engine, found = zlib.decompressobj(bits), bytearray()
    try:
        # In small steps, so that what comes before damage is not lost.
        for at in range(0, len(data), 1024):
            found += engine.decompress(data[at : at + 1024], _MOST)
            if engine.eof:
                break
    except zlib.error:
        pass
    return bytes(found)


def _parts(data: bytes) -> Iterator[bytes]:
    """Return a DICOM file's data set, its texts in UTF-8, and its binary values one by one."""
    if data[128:132] == b"DICM":
        yield data[_META + int.from_bytes(data[_META - 4 : _META], "little") :]
    texts: list[str] = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            for element in dcmread(BytesIO(data), force=True).iterall():
                if isinstance(element.value, bytes):
                    yield element.value
                elif element.VR != "SQ":
                    texts.append(str(element.value))
        except Exception:  # noqa: BLE001 - what cannot be parsed was searched as bytes
            texts.append("")
    yield "\n".join(texts).encode("utf-8", "surrogatepass")


def compressed(data: bytes) -> tuple[bytes, bytes, bytes]:
    """Return a text deflated, as zlib stream and as gzip."""
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return engine.compress(data) + engine.flush(), zlib.compress(data), gzip.compress(data)
