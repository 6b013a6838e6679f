"""Where a file keeps a network: our layout and the two published ones.

All use group 0017. Ours reserves elements of it as the standard demands, with the private creator
``IODEEP``; the others have no creator, and their elements lie where creators belong, so that
readers may call them LO. Values are therefore taken as bytes, whatever their VR.

====================  ================  ==============  ===============
Element               ours              the prototype   article's table
====================  ================  ==============  ===============
DnnArchitecture       (0017,xx10) UT    (0017,0016)     (0017,00X0)
DnnWeights            (0017,xx11) UT    (0017,0018)     (0017,00X1)
DnnName               (0017,xx12) LO    (0017,0020)     (0017,00X2)
DnnUID                (0017,xx13) UI    (0017,0022)     (0017,00X3)
Signature             (0017,xx14) UT    none            none
====================  ================  ==============  ===============
"""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from preread.elements import Header

PRIVATE_CREATOR: Final = "IODEEP"
GROUP: Final = 0x0017
FIRST_BLOCK: Final = 0x10

_LAST_BLOCK: Final = 0xFF
_LAST_X: Final = 0xF


class Layout(StrEnum):
    """How a network's elements are laid out."""

    IODEEP = "iodeep"
    PROTOTYPE = "prototype"
    ARTICLE = "article"


class Places(NamedTuple):
    """The tags of a network's elements, ``0xGGGGEEEE``."""

    layout: Layout
    DnnArchitecture: int
    DnnWeights: int
    DnnName: int
    DnnUID: int


def find_places(header: Header) -> Places | None:
    """Find out how a file keeps a network.

    Nothing of the values is checked but the private creator; it takes microseconds.

    Parameters
    ----------
    header
        Of any file.

    Returns
    -------
    Places or None
        None if it keeps none: architecture and weights are not both there.
    """
    return next((places for places in _layouts(header) if _is_there(header, places)), None)


def block_places(block: int = FIRST_BLOCK) -> Places:
    """Give the tags of our layout in a block of the group."""
    first = (GROUP << 16) | (block << 8) | 0x10
    return Places(Layout.IODEEP, first, first + 1, first + 2, first + 3)


def signature_place(places: Places) -> int | None:
    """Give the tag of the signature; None in a layout that has none."""
    return places.DnnUID + 1 if places.layout is Layout.IODEEP else None


def _layouts(header: Header) -> list[Places]:
    found = [
        block_places(block)
        for block in range(FIRST_BLOCK, _LAST_BLOCK + 1)
        if header.raw(GROUP << 16 | block).strip(b" \0") == PRIVATE_CREATOR.encode()
    ]
    group = GROUP << 16
    found.append(Places(Layout.PROTOTYPE, group | 0x16, group | 0x18, group | 0x20, group | 0x22))
    for x in range(1, _LAST_X + 1):
        first = group | x << 4
        found.append(Places(Layout.ARTICLE, first, first + 1, first + 2, first + 3))
    return found


def _is_there(header: Header, places: Places) -> bool:
    return places.DnnArchitecture in header and places.DnnWeights in header
