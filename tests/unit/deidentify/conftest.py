"""A writer of data sets of its own, so that the engine is not tested by its own code."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preread.deidentify import Deidentifier, DeidentifyOptions, Pseudonyms, Secret

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"
JPEG = "1.2.840.10008.1.2.4.50"
LONG = (b"OB", b"OD", b"OF", b"OL", b"OV", b"OW", b"SQ", b"SV", b"UC", b"UN", b"UR", b"UT", b"UV")
CT = b"1.2.840.10008.5.1.4.1.1.2\0"


@dataclass
class Node:
    """An element: a value, or items."""

    tag: int
    vr: bytes
    value: bytes = b""
    items: list[list[Node]] | None = None
    undefined: bool = False
    item_undefined: bool = False


def encoded(nodes: Sequence[Node], *, implicit: bool = False, order: str = "<") -> bytes:
    """Write elements as PS3.5 section 7 says."""
    return b"".join(_one(node, implicit=implicit, order=order) for node in nodes)


def _one(node: Node, *, implicit: bool, order: str) -> bytes:
    value = node.value + b"\0" * (len(node.value) % 2)
    if node.items is not None:
        inner = (True, "<") if node.vr == b"UN" else (implicit, order)
        value = b"".join(_item(node, item, *inner) for item in node.items)
        if node.undefined:
            value += struct.pack(inner[1] + "HHI", 0xFFFE, 0xE0DD, 0)
    length = 0xFFFFFFFF if node.items is not None and node.undefined else len(value)
    tag = struct.pack(order + "HH", node.tag >> 16, node.tag & 0xFFFF)
    if implicit:
        return tag + struct.pack(order + "I", length) + value
    if node.vr in LONG:
        return tag + node.vr + b"\0\0" + struct.pack(order + "I", length) + value
    return tag + node.vr + struct.pack(order + "H", length) + value


def _item(node: Node, item: list[Node], implicit: bool, order: str) -> bytes:
    inside = encoded(item, implicit=implicit, order=order)
    if not node.item_undefined:
        return struct.pack(order + "HHI", 0xFFFE, 0xE000, len(inside)) + inside
    end = struct.pack(order + "HHI", 0xFFFE, 0xE00D, 0)
    return struct.pack(order + "HHI", 0xFFFE, 0xE000, 0xFFFFFFFF) + inside + end


def meta_of(syntax: str, more: Sequence[Node] = ()) -> bytes:
    """Write preamble and file meta information."""
    uid = syntax.encode() + b"\0" * (len(syntax) % 2)
    nodes = [
        Node(0x00020001, b"OB", b"\0\1"),
        Node(0x00020002, b"UI", CT),
        Node(0x00020003, b"UI", b"1.9.76543.3.2.1.77"),
        Node(0x00020010, b"UI", uid),
        Node(0x00020012, b"UI", b"1.9.76543.88"),
        *more,
    ]
    body = encoded(nodes)
    return (
        b"\0" * 128
        + b"DICM"
        + encoded([Node(0x00020000, b"UL", len(body).to_bytes(4, "little"))])
        + body
    )


@dataclass
class Written:
    """A file under construction."""

    nodes: list[Node]
    syntax: str = EXPLICIT
    meta: list[Node] = field(default_factory=list)

    def bytes(self) -> bytes:
        """Return the file."""
        body = encoded(
            self.nodes,
            implicit=self.syntax == IMPLICIT,
            order=">" if self.syntax == BIG_ENDIAN else "<",
        )
        if self.syntax == DEFLATED:
            engine = zlib.compressobj(wbits=-15)
            body = engine.compress(body) + engine.flush()
        return meta_of(self.syntax, self.meta) + body


def identified(*more: Node, pixels: bytes = b"\1\2\3\4") -> list[Node]:
    """Return a small image with what tells objects apart, and more, in order."""
    nodes = [
        Node(0x00080016, b"UI", CT),
        Node(0x00080018, b"UI", b"1.9.76543.1.2.3"),
        Node(0x00080060, b"CS", b"CT"),
        Node(0x00100010, b"PN", b"Doe^Jane"),
        Node(0x00100020, b"LO", b"HOSP-4711"),
        Node(0x00100030, b"DA", b"19610203"),
        Node(0x0020000D, b"UI", b"1.9.76543.1"),
        Node(0x0020000E, b"UI", b"1.9.76543.1.2"),
        Node(0x00280010, b"US", b"\2\0"),
        Node(0x7FE00010, b"OW", pixels),
    ]
    given = {node.tag for node in more}
    kept = [node for node in nodes if node.tag not in given]
    return sorted([*kept, *more], key=lambda node: node.tag)


@pytest.fixture(scope="session")
def secret() -> Secret:
    return Secret(bytes(range(32)))


@pytest.fixture(scope="session")
def pseudonyms(secret: Secret) -> Pseudonyms:
    return Pseudonyms(secret)


@pytest.fixture(scope="session")
def deidentifier(secret: Secret) -> Deidentifier:
    return Deidentifier(secret, DeidentifyOptions())


@pytest.fixture(scope="session")
def node() -> type[Node]:
    return Node


@pytest.fixture(scope="session")
def image() -> Callable[..., bytes]:
    """Write a small image: ``image(*nodes, syntax=..., pixels=...)``."""

    def write(
        *more: Node, syntax: str = EXPLICIT, pixels: bytes = b"\1\2\3\4", meta: Sequence[Node] = ()
    ) -> bytes:
        return Written(identified(*more, pixels=pixels), syntax, list(meta)).bytes()

    return write


@pytest.fixture(scope="session")
def write() -> Callable[..., bytes]:
    """Write just these elements: ``write(nodes, syntax)``."""
    return lambda nodes, syntax=EXPLICIT: Written(list(nodes), syntax).bytes()


@pytest.fixture(scope="session")
def shared_dicom() -> Path:
    """The public files kept beside the project."""
    folder = Path(__file__).parents[4] / "shared" / "data" / "dicom"
    if not folder.is_dir():
        pytest.skip("the shared data sets are not beside the project")
    return folder
