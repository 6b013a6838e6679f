"""The torture set: files in which every kind of place holds a canary."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache, partial
from typing import Final

from PIL import Image

from tests.unit.deidentify.conftest import (
    BIG_ENDIAN,
    DEFLATED,
    EXPLICIT,
    IMPLICIT,
    JPEG,
    Node,
    encoded,
    meta_of,
)
from tests.unit.deidentify.jpeg_planting import encapsulated, segment
from tests.unit.deidentify.torture.canaries import FIRST, Canary, Mint, Script
from tests.unit.deidentify.torture.planting import (
    KEPT_SEQUENCES,
    Planter,
    image,
    in_order,
    nested,
    swapped,
)
from tests.unit.deidentify.torture.reports import content_tree, observers
from tests.unit.deidentify.torture.scripts import SCRIPTS

_NESTED_IN: Final = (EXPLICIT, IMPLICIT, BIG_ENDIAN, DEFLATED, EXPLICIT)
_COMPREHENSIVE_SR: Final = b"1.2.840.10008.5.1.4.1.1.88.33"
_PRIVATE_VRS: Final = (
    b"AE", b"AS", b"CS", b"DA", b"DS", b"DT", b"FD", b"FL", b"IS", b"LO", b"LT", b"OB", b"OW",
    b"PN", b"SH", b"SL", b"ST", b"TM", b"UC", b"UI", b"UL", b"UN", b"UR", b"UT",
)  # fmt: skip


@dataclass(frozen=True)
class TortureFile:
    """One file.

    Attributes
    ----------
    name
        What it is for.
    data
        All of it.
    canaries
        What was planted in it.
    plain
        Whether pydicom reads it, so that peers can be expected to.
    """

    name: str
    data: bytes
    canaries: tuple[Canary, ...]
    plain: bool = True


@cache
def torture_files() -> tuple[TortureFile, ...]:
    """Return all of them; the same each time."""
    made: list[TortureFile] = []
    first = FIRST
    for name, write in _all():
        mint = Mint(first)
        data = write(Planter(mint))
        made.append(TortureFile(name, data, tuple(mint.made), plain=name not in _HARD))
        # None has two thousand, so that each canary is alone in the whole set.
        first += 3000
    return tuple(made)


_HARD: Final = frozenset(("outside the data set", "unknown VR", "behind the end"))


def _all() -> Iterator[tuple[str, Callable[[Planter], bytes]]]:
    for syntax, name in (
        (EXPLICIT, "explicit"),
        (IMPLICIT, "implicit"),
        (BIG_ENDIAN, "big endian"),
        (DEFLATED, "deflated"),
    ):
        yield f"top, {name}", partial(_top, syntax=syntax)
    for depth in range(1, 6):
        yield f"nested {depth}", partial(_nested, depth=depth)
    yield "private", _private
    yield "curves and overlays", _graphics
    yield "report", _report
    for script in SCRIPTS:
        yield f"in {script.name}", partial(_script, script=script)
    yield "outside the data set", _outside
    yield "unknown VR", _unknown
    yield "behind the end", _behind
    yield "JPEG", _jpeg


def write(nodes: list[Node], syntax: str = EXPLICIT, meta: list[Node] | None = None) -> bytes:
    """Return a file with these elements, put in order."""
    order = ">" if syntax == BIG_ENDIAN else "<"
    ordered = in_order(nodes)
    if order == ">":
        ordered = [swapped(node) for node in ordered]
    body = encoded(ordered, implicit=syntax == IMPLICIT, order=order)
    if syntax == DEFLATED:
        engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
        body = engine.compress(body) + engine.flush()
        body += b"\0" * (len(body) % 2)
    return meta_of(syntax, meta or []) + body


def _top(planter: Planter, syntax: str) -> bytes:
    return write([*image(planter, "top"), *planter.rows("top")], syntax)


def _nested(planter: Planter, depth: int) -> bytes:
    category, around = f"nested {depth}", KEPT_SEQUENCES[:depth]
    inside = [
        Node(0x00080100, b"SH", b"CODE"),
        *planter.rows(category, around, without=()),
    ]
    nodes = nested(in_order(inside), depth, undefined=depth % 2 == 0)
    return write([*image(planter, "top"), *nodes], _NESTED_IN[depth - 1])


def _private(planter: Planter) -> bytes:
    nodes = [*image(planter, "top"), *_block(planter, 0x0009, ())]
    nodes += _block(planter, 0x7FDF, ())
    # Without a creator, and where none can be.
    nodes += [planter.node(0x00111002, "private", vr=b"LO")]
    nodes += [planter.node(0x00130001, "private", vr=b"LO")]
    for depth in range(1, 6):
        # A private sequence in sequences that stay, and private attributes in private sequences.
        around = KEPT_SEQUENCES[: depth - 1]
        creator = planter.node(0x00290010, "private", around, vr=b"LO")
        inside = _block(planter, 0x002B, (*around, 0x00291010))
        inside += [planter.node(0x00100010, "private", (*around, 0x00291010))]
        inside += [planter.node(0x00080070, "private", (*around, 0x00291010))]
        sequence = Node(0x00291010, b"SQ", items=[in_order(inside)], undefined=depth % 2 == 0)
        nodes = _deeper(nodes, [creator, sequence], depth - 1)
    return write(nodes)


def _deeper(nodes: list[Node], more: list[Node], depth: int) -> list[Node]:
    """Add elements within sequences that stay, as further items of what may be there."""
    if depth == 0:
        return [*nodes, *more]
    found = [node for node in nodes if node.tag == KEPT_SEQUENCES[0]]
    items = found[0].items or [] if found else []
    (new,) = nested(in_order(more), depth, undefined=False)
    joined = Node(KEPT_SEQUENCES[0], b"SQ", items=[*items, *(new.items or [])])
    return [*(node for node in nodes if node not in found), joined]


def _block(planter: Planter, group: int, around: tuple[int, ...]) -> list[Node]:
    base = group << 16
    nodes = [planter.node(base | 0x10, "private", around, vr=b"LO")]
    nodes += [
        planter.node(base | 0x1001 + number, "private", around, vr=vr)
        for number, vr in enumerate(_PRIVATE_VRS)
    ]
    return nodes


_CURVE: Final = (
    (0x0022, b"LO"), (0x0030, b"SH"), (0x0040, b"SH"), (0x200E, b"LT"), (0x2500, b"LO"),
    (0x3000, b"OW"),
)  # fmt: skip
_OVERLAY: Final = ((0x0022, b"LO"), (0x1500, b"LO"), (0x3000, b"OW"), (0x4000, b"LT"))


def _graphics(planter: Planter) -> bytes:
    nodes = image(planter, "top")
    for group in range(0, 0x20, 2):
        for first, category, wanted in ((0x5000, "50xx", _CURVE), (0x6000, "60xx", _OVERLAY)):
            base = (first | group) << 16
            nodes += [planter.node(base | number, category, vr=vr) for number, vr in wanted]
        base = 0x6000 + group << 16
        nodes += [
            Node(base | 0x10, b"US", b"\4\0"),
            Node(base | 0x11, b"US", b"\x14\0"),
            Node(base | 0x40, b"CS", b"G"),
            Node(base | 0x50, b"SS", b"\1\0\1\0"),
            Node(base | 0x100, b"US", b"\1\0"),
            Node(base | 0x102, b"US", b"\0\0"),
        ]
    # What the standard has not in these groups: an odd repetition, a group behind the last.
    nodes += [planter.node(0x50201234, "50xx", vr=b"LO"), planter.node(0x60204000, "60xx")]
    inside = [planter.node(0x60004000, "60xx", KEPT_SEQUENCES[:1])]
    inside += [planter.node(0x50002500, "50xx", KEPT_SEQUENCES[:1], vr=b"LO")]
    return write([*nodes, *nested(in_order(inside), 1, undefined=True)])


def _report(planter: Planter) -> bytes:
    nodes = [
        node
        for node in image(planter, "top", sop_class=_COMPREHENSIVE_SR, modality=b"SR")
        if node.tag >> 16 not in {0x0028, 0x7FE0}
    ]
    nodes += observers(planter)
    nodes += content_tree(planter, (), 5)
    return write(nodes)


def _script(planter: Planter, script: Script) -> bytes:
    category = f"in {script.name}"
    inside = planter.texts(category, script, KEPT_SEQUENCES[:1])
    nodes = [
        *image(planter, "top", script=script),
        Node(0x00080005, b"CS", script.terms),
        *planter.texts(category, script),
        *nested(inside, 1, undefined=False),
    ]
    return write(nodes)


def _outside(planter: Planter) -> bytes:
    note = planter.mint.note
    meta = [
        Node(0x00020013, b"SH", note("file meta")),
        Node(0x00020016, b"AE", note("file meta")),
        Node(0x00020017, b"AE", note("file meta")),
        Node(0x00020018, b"AE", note("file meta")),
        Node(0x00020026, b"UR", note("file meta")),
        Node(0x00020027, b"UR", note("file meta")),
        Node(0x00020100, b"UI", planter.mint.make(b"UI", "file meta", ())),
        Node(0x00020102, b"OB", note("file meta")),
    ]
    nodes = image(planter, "top")
    # Group lengths, elements of directories within a data set; padding.
    for tag, vr in (
        (0x00080000, b"UL"), (0x00100000, b"UL"), (0x00280000, b"UL"), (0x7FE00000, b"UL"),
        (0x00041511, b"UI"), (0x00041130, b"CS"), (0xFFFCFFFC, b"OB"),
    ):  # fmt: skip
        nodes.append(planter.node(tag, "group lengths and padding", vr=vr))
    data = write(nodes, meta=meta)
    preamble = b"II*\0 " + note("preamble") + b" " + note("preamble")
    return preamble.ljust(128, b"\0") + data[128:]


def _unknown(planter: Planter) -> bytes:
    """VRs that nobody knows, UN for what has one, a sequence of VR UN, and command elements."""
    nodes = image(planter, "top")
    for tag, vr in ((0x00000900, b"LO"), (0x00001000, b"UI"), (0x00001001, b"UI")):
        nodes.append(planter.node(tag, "command elements", vr=vr))
    for tag, vr in (
        (0x00081080, b"ZZ"), (0x00104000, b"??"), (0x00081070, b"UN"), (0x00324000, b"UN"),
        (0x00089999, b"UN"), (0x00380010, b"UN"), (0x0010_1040, b"UN"), (0x00201999, b"LO"),
    ):  # fmt: skip
        nodes.append(planter.node(tag, "unknown VR", vr=vr))
    inside = planter.rows("unknown VR", (KEPT_SEQUENCES[0],), without=())
    nodes.append(Node(KEPT_SEQUENCES[0], b"UN", items=[inside], undefined=True))
    return write(nodes)


def _behind(planter: Planter) -> bytes:
    nodes = [*image(planter, "top"), planter.node(0xFFFCFFFC, "padding", vr=b"OB")]
    data = write(nodes)
    text = planter.mint.note("behind the end")
    return data + encoded([Node(0xFFFCFFFC, b"OB", text)]) + text + b"\0" * (len(text) % 2)


def _jpeg(planter: Planter) -> bytes:
    buffer = io.BytesIO()
    Image.linear_gradient("L").resize((16, 16)).save(buffer, "JPEG")
    plain, note = buffer.getvalue(), planter.mint.note
    wide = note("JPEG").decode().encode("utf-16-le")
    attached = b"".join(
        (
            segment(0xE1, b"Exif\0\0II*\0" + note("JPEG")),
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<x>" + note("JPEG")),
            segment(0xED, b"Photoshop 3.0\0" + note("JPEG")),
            segment(0xE4, wide),
            segment(0xE5, zlib.compress(note("JPEG"))),
            segment(0xFE, note("JPEG")),
        )
    )
    frame = plain[:2] + attached + plain[2:] + note("JPEG")
    wanted = {0x00280010: 16, 0x00280011: 16, 0x00280100: 8, 0x00280101: 8, 0x00280102: 7}
    nodes = [
        Node(node.tag, node.vr, struct.pack("<H", wanted.get(node.tag, 0)))
        if node.tag in wanted
        else node
        for node in image(planter, "top")
        if node.tag != 0x7FE00010
    ]
    return write(nodes, JPEG) + encapsulated([frame])[0]
