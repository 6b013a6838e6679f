"""Elements with canaries in them, and what they are nested in."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Final

from tests.unit.deidentify.conftest import CT, Node
from tests.unit.deidentify.torture.canaries import TEXTS, Mint, Script
from tests.unit.deidentify.torture.rows import ROWS, row_of, vr_of

KEPT_SEQUENCES: Final = (0x00081115, 0x52009230, 0x00189346, 0x00209116, 0x0054_0016)
"""Sequences that the table does not list, so that they stay: for five levels of nesting."""

IDENTITY: Final = frozenset((0x00080018, 0x00100020, 0x0020000D, 0x0020000E))
_WORDLESS: Final = frozenset((b"US", b"SS"))  # too short to be told from chance
# What the table lists, and what it does not: that stays where the sequence around it does.
_LISTED_IN_ITEMS: Final = (0x00080020, 0x00081155, 0x00100010)
_IN_ITEMS: Final = (*_LISTED_IN_ITEMS, 0x00080104, 0x0018_0050, 0x0020_0013, 0x0040A160)


class Planter:
    """Makes the elements of one file.

    Parameters
    ----------
    mint
        Where values come from.
    """

    def __init__(self, mint: Mint) -> None:
        self.mint = mint

    def node(
        self,
        tag: int,
        category: str,
        around: Sequence[int] = (),
        *,
        vr: bytes = b"",
        script: Script | None = None,
    ) -> Node:
        """Return an element with a value of its own."""
        vr = vr or vr_of(tag)
        return Node(tag, vr, self.mint.make(vr, category, (*around, tag), script))

    def rows(
        self, category: str, around: Sequence[int] = (), *, without: Collection[int] = IDENTITY
    ) -> list[Node]:
        """Return every attribute of the table, its sequences with an item of planted values."""
        nodes = []
        for tag, row in ROWS:
            vr = vr_of(tag)
            if tag in without:
                continue
            if vr == b"SQ":
                wanted = _LISTED_IN_ITEMS if "U" in row.action else sorted(_IN_ITEMS)
                inside = [self.node(each, category, (*around, tag)) for each in wanted]
                nodes.append(Node(tag, b"SQ", items=[inside], undefined=tag % 4 == 0))
            elif vr in _WORDLESS:
                nodes.append(Node(tag, vr, b"\x39\x30"))
            else:
                nodes.append(self.node(tag, category, around))
        return nodes

    def texts(self, category: str, script: Script, around: Sequence[int] = ()) -> list[Node]:
        """Return every attribute of the table that holds a text, in a script."""
        return [
            self.node(tag, category, around, script=script)
            for tag, _ in ROWS
            if vr_of(tag) in TEXTS and tag not in IDENTITY
        ]


def nested(nodes: list[Node], depth: int, *, undefined: bool) -> list[Node]:
    """Return elements within so many sequences that stay."""
    for tag in reversed(KEPT_SEQUENCES[:depth]):
        nodes = [Node(tag, b"SQ", items=[nodes], undefined=undefined, item_undefined=undefined)]
    return nodes


def in_order(nodes: Sequence[Node]) -> list[Node]:
    """Return elements by tag; of two the first counts."""
    found = {node.tag: node for node in reversed(nodes)}
    return [found[tag] for tag in sorted(found)]


def image(
    planter: Planter,
    category: str,
    *,
    sop_class: bytes = CT,
    modality: bytes = b"CT",
    script: Script | None = None,
) -> list[Node]:
    """Return what makes a data set a small image that Orthanc and others take."""
    return [
        Node(0x00080016, b"UI", sop_class),
        *(planter.node(tag, category, script=script) for tag in sorted(IDENTITY)),
        Node(0x00080060, b"CS", modality),
        Node(0x00280002, b"US", b"\1\0"),
        Node(0x00280004, b"CS", b"MONOCHROME2"),
        Node(0x00280010, b"US", b"\4\0"),
        Node(0x00280011, b"US", b"\4\0"),
        Node(0x00280100, b"US", b"\x10\0"),
        Node(0x00280101, b"US", b"\x10\0"),
        Node(0x00280102, b"US", b"\x0f\0"),
        Node(0x00280103, b"US", b"\0\0"),
        Node(0x7FE00010, b"OW", bytes(range(32))),
    ]


def swapped(node: Node) -> Node:
    """Return a binary value for big endian; only those that are never planted are concerned."""
    if node.vr in _WORDLESS and node.items is None:
        return Node(node.tag, node.vr, node.value[::-1])
    return node


assert not any(map(row_of, KEPT_SEQUENCES)), "the table lists a sequence that is meant to stay"
