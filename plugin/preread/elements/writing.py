"""Writing one element (PS3.5 section 7.1)."""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final, NamedTuple

from preread.elements.encoding import LONG_VRS, Encoding

_ZERO_PADDED: Final = frozenset((b"UI", b"OB", b"UN"))


class _Packers(NamedTuple):
    implicit: Callable[[int, int, int], bytes]
    short: Callable[[int, int, bytes, int], bytes]
    long: Callable[[int, int, bytes, int, int], bytes]


def _packers(order: str) -> _Packers:
    return _Packers(
        struct.Struct(order + "HHI").pack,
        struct.Struct(order + "HH2sH").pack,
        struct.Struct(order + "HH2sHI").pack,
    )


_PACKERS: Final = {True: _packers("<"), False: _packers(">")}


def encode_header(tag: int, vr: bytes, length: int, encoding: Encoding) -> bytes:
    """Return what comes before the value of an element.

    Parameters
    ----------
    tag
        0xGGGGEEEE.
    vr
        Two letters; not written in implicit VR.
    length
        Of the value in bytes; at most 65535 where the VR has a short length, 0xFFFFFFFF for an
        undefined one.
    encoding
        How the data set is written.
    """
    packers = _PACKERS[encoding.little]
    if encoding.implicit:
        return packers.implicit(tag >> 16, tag & 0xFFFF, length)
    if vr in LONG_VRS:
        return packers.long(tag >> 16, tag & 0xFFFF, vr, 0, length)
    return packers.short(tag >> 16, tag & 0xFFFF, vr, length)


def encode_element(tag: int, vr: bytes, value: bytes, encoding: Encoding) -> bytes:
    r"""Return an element with a defined length; the value is padded to an even one.

    Parameters
    ----------
    tag
        0xGGGGEEEE.
    vr
        Two letters; not written in implicit VR.
    value
        At most 65534 bytes where the VR has a short length.
    encoding
        How the data set is written.

    >>> encode_element(0x00100020, b"LO", b"abc", Encoding(implicit=False, little=True))
    b'\x10\x00 \x00LO\x04\x00abc '
    """
    if len(value) % 2:
        value += b"\0" if vr in _ZERO_PADDED else b" "
    return encode_header(tag, vr, len(value), encoding) + value


def encode_item(content: bytes, encoding: Encoding) -> bytes:
    """Return an item of defined length (PS3.5 section 7.5)."""
    return _PACKERS[encoding.little].implicit(0xFFFE, 0xE000, len(content)) + content
