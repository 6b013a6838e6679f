"""Compressed frames with metadata planted wherever their formats have room for some."""

from __future__ import annotations

import struct
from collections.abc import Sequence

PLANTED = b"PLANTED^JANE^7741"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"


def segment(marker: int, payload: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(payload) + 2) + payload


def metadata() -> bytes:
    """Return what cameras and workstations write behind the beginning of a JPEG."""
    thumbnail = PLANTED + b"\xff\xd8\xff\xda\xff\xd9" + PLANTED
    return b"".join(
        (
            segment(0xE0, b"JFXX\0\x10" + thumbnail),
            segment(0xE1, b"Exif\0\0II*\0" + thumbnail),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + PLANTED),
            segment(0xE2, b"ICC_PROFILE\0" + PLANTED),
            segment(0xE8, b"SPIFF\0" + PLANTED),
            segment(0xED, b"Photoshop 3.0\0" + PLANTED),
            b"\xff\xff" + segment(0xEF, PLANTED),
            segment(0xFE, PLANTED),
        )
    )


def planted_jpeg(frame: bytes) -> bytes:
    """Plant behind SOI, before each scan, before EOI and behind it; JPEG or JPEG-LS."""
    end = frame.rindex(b"\xff\xd9")
    first = _first_scan(frame)
    body, at = frame[2:first] + metadata(), first
    while (scan := frame.find(b"\xff\xda", at + 2, end)) > 0:
        body += frame[at:scan] + segment(0xFE, PLANTED) + segment(0xE5, PLANTED)
        at = scan
    body += frame[at:end] + segment(0xFE, PLANTED) + segment(0xE9, PLANTED)
    return frame[:2] + metadata() + body + b"\xff\xd9" + PLANTED


def _first_scan(frame: bytes) -> int:
    at = 2
    while frame[at + 1] != 0xDA:
        at += 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return at


def comment(text: bytes = PLANTED) -> bytes:
    return segment(0x64, b"\0\1" + text)


def planted_jpeg2000(frame: bytes, *, with_table: bool = True, last_open: bool = False) -> bytes:
    """Plant in the main header, each tile-part's header, and behind the end; add a TLM."""
    parts, at = [], frame.index(b"\xff\x90")
    main = frame[:at]
    while frame[at : at + 2] == b"\xff\x90":
        length = int.from_bytes(frame[at + 6 : at + 10], "big")
        end = at + length if length else frame.rindex(b"\xff\xd9")
        more = comment() + comment(PLANTED * 3)
        new = (end - at + len(more)).to_bytes(4, "big")
        parts.append(frame[at : at + 6] + new + frame[at + 10 : at + 12] + more)
        parts[-1] += frame[at + 12 : end]
        at = end
    size = 4 + int.from_bytes(main[4:6], "big")
    entries = b"".join(struct.pack(">BI", 0, len(part)) for part in parts)
    table = segment(0x55, b"\0\x50" + entries) if with_table else b""
    if last_open:
        parts[-1] = parts[-1][:6] + bytes(4) + parts[-1][10:]
    main = main[:size] + comment() + table + main[size:] + comment()
    return main + b"".join(parts) + b"\xff\xd9" + PLANTED


def table_of_lengths(frame: bytes) -> list[int]:
    """Return what the TLM segment that `planted_jpeg2000` writes says."""
    at = frame.index(b"\xff\x55")
    end = at + 2 + int.from_bytes(frame[at + 2 : at + 4], "big")
    return [struct.unpack_from(">BI", frame, entry)[1] for entry in range(at + 6, end, 5)]


def tile_parts(frame: bytes) -> list[int]:
    found, at = [], frame.index(b"\xff\x90")
    while frame[at : at + 2] == b"\xff\x90":
        found.append(int.from_bytes(frame[at + 6 : at + 10], "big"))
        at += found[-1]
    assert frame[at : at + 2] == b"\xff\xd9"
    return found


def box(name: bytes, content: bytes, *, long: bool = False) -> bytes:
    if long:
        return struct.pack(">I4sQ", 1, name, len(content) + 16) + content
    return struct.pack(">I4s", len(content) + 8, name) + content


def wrapped(frame: bytes) -> bytes:
    """Write a JP2 file with metadata boxes around a codestream."""
    header = box(b"ihdr", bytes(14)) + box(b"colr", b"\1\0\0\0\0\0\x11")
    return b"".join(
        (
            _JP2,
            box(b"ftyp", b"jp2 \0\0\0\0jp2 "),
            box(b"jp2h", header),
            box(b"xml ", PLANTED),
            box(b"uinf", box(b"url ", PLANTED), long=True),
            box(b"jp2c", frame),
            box(b"uuid", bytes(16) + PLANTED),
        )
    )


def encapsulated(
    frames: Sequence[bytes],
    *,
    piece: int | None = None,
    with_table: bool = True,
    pad: bytes = b"\0",
) -> tuple[bytes, list[int]]:
    """Write PixelData of undefined length; return it with the frames' offsets.

    With `piece`, each frame is cut into fragments of so many bytes.
    """
    offsets, body = [], b""
    for frame in frames:
        offsets.append(len(body))
        whole = frame + pad * (len(frame) % 2)
        step = piece or len(whole)
        for at in range(0, len(whole), step):
            part = whole[at : at + step]
            body += struct.pack("<HHI", 0xFFFE, 0xE000, len(part)) + part
    table = struct.pack(f"<{len(offsets)}I", *offsets) if with_table else b""
    item = struct.pack("<HHI", 0xFFFE, 0xE000, len(table)) + table
    header = struct.pack("<HH2sHI", 0x7FE0, 0x0010, b"OB", 0, 0xFFFFFFFF)
    return header + item + body + struct.pack("<HHI", 0xFFFE, 0xE0DD, 0), offsets
