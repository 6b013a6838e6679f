"""The tree of a structured report, each kind of content with canaries (PS3.3 C.17.3)."""

from __future__ import annotations

from typing import Final

from tests.unit.deidentify.conftest import Node
from tests.unit.deidentify.torture.planting import Planter, in_order

_CONTENT: Final = 0x0040A730
_CONCEPT: Final = 0x0040A043
_CODE: Final = 0x0040A168
_MEASURED: Final = 0x0040A300
_UNITS: Final = 0x004008EA
_REFERENCED: Final = 0x00081199
_CATEGORY: Final = "report"
_WITH_VALUE: Final = (
    (b"TEXT", 0x0040A160),
    (b"PNAME", 0x0040A123),
    (b"DATE", 0x0040A121),
    (b"TIME", 0x0040A122),
    (b"DATETIME", 0x0040A120),
    (b"UIDREF", 0x0040A124),
)


def content_tree(planter: Planter, around: tuple[int, ...], depth: int) -> list[Node]:
    """Return a Content Sequence with each kind of item, so many levels deep."""
    path = (*around, _CONTENT)
    items = [
        [
            Node(0x0040A010, b"CS", b"CONTAINS"),
            Node(0x0040A040, b"CS", kind),
            *_concept(planter, path, private=True),
            planter.node(tag, _CATEGORY, path),
        ]
        for kind, tag in _WITH_VALUE
    ]
    items.append(
        [
            Node(0x0040A040, b"CS", b"CODE"),
            *_concept(planter, path, private=False),
            Node(_CODE, b"SQ", items=[_code(planter, (*path, _CODE), private=True)]),
        ]
    )
    items.append([Node(0x0040A040, b"CS", b"NUM"), *_number(planter, path)])
    reference = [
        Node(0x00081150, b"UI", b"1.2.840.10008.5.1.4.1.1.2\0"),
        planter.node(0x00081155, _CATEGORY, (*path, _REFERENCED)),
    ]
    items.append([Node(0x0040A040, b"CS", b"IMAGE"), Node(_REFERENCED, b"SQ", items=[reference])])
    container = [
        Node(0x0040A040, b"CS", b"CONTAINER"),
        planter.node(0x0040A032, _CATEGORY, path),
        *observers(planter, path),
    ]
    if depth > 1:
        container += content_tree(planter, path, depth - 1)
    items.append(container)
    return [Node(_CONTENT, b"SQ", items=[in_order(item) for item in items])]


def observers(planter: Planter, around: tuple[int, ...] = ()) -> list[Node]:
    """Return who verified and who observed."""
    sequence, who = 0x0040A073, 0x0040A088
    path = (*around, sequence)
    inside = [planter.node(tag, _CATEGORY, path) for tag in (0x0040A027, 0x0040A030, 0x0040A075)]
    inside.append(Node(who, b"SQ", items=[_code(planter, (*path, who), private=True)]))
    return [Node(sequence, b"SQ", items=[in_order(inside)])]


def _concept(planter: Planter, path: tuple[int, ...], *, private: bool) -> list[Node]:
    code = _code(planter, (*path, _CONCEPT), private=private)
    return [Node(_CONCEPT, b"SQ", items=[code])]


def _code(planter: Planter, path: tuple[int, ...], *, private: bool) -> list[Node]:
    if not private:
        values = ((0x00080100, b"121071"), (0x00080102, b"DCM"), (0x00080104, b"Finding"))
        return [Node(tag, b"LO" if tag == 0x00080104 else b"SH", raw) for tag, raw in values]
    return [
        Node(0x00080100, b"SH", b"A1"),
        Node(0x00080102, b"SH", b"99SITE"),
        planter.node(0x00080104, _CATEGORY, path),
    ]


def _number(planter: Planter, path: tuple[int, ...]) -> list[Node]:
    inside = (*path, _MEASURED)
    units = Node(_UNITS, b"SQ", items=[_code(planter, (*inside, _UNITS), private=True)])
    value = planter.node(0x0040A30A, _CATEGORY, inside)
    return [
        *_concept(planter, path, private=True),
        Node(_MEASURED, b"SQ", items=[in_order([units, value])]),
    ]
