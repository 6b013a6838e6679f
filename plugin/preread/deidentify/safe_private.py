"""Private elements that the option Retain Safe Private (113111) lets stay.

PS3.15 section E.3.10 keeps the private elements that are known to hold nothing identifying. What is
known here is the standard's own sample list, Table E.3.10-1, and what an installation adds to it.
The vendors vouch for neither: an element is safe as far as the list goes, not by guarantee.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from importlib import resources
from types import MappingProxyType
from typing import Final

from pydicom.datadict import private_dictionary_VR

from preread.elements.encoding import VRS
from preread.errors import PrereadError

_FILE: Final = "safe-private.json"
_NOTHING: Final[Mapping[str, Sequence[str]]] = MappingProxyType({})
_ENTRY: Final = re.compile(
    r"(?P<group>[0-9A-F]{3}[13579BDF]),xx(?P<element>[0-9A-F]{2})(?: (?P<vr>[A-Z]{2}))?",
    re.IGNORECASE,
)
_FORM: Final = "'gggg,xxee' or 'gggg,xxee VR', the group odd, such as '0019,xx0C IS'"
_LONGEST_CREATOR: Final = 64
# Odd, yet no groups of private elements (PS3.5 section 7.1).
_FORBIDDEN: Final = frozenset((0x0001, 0x0003, 0x0005, 0x0007, 0xFFFF))
_UNKNOWN: Final = b"UN"

Key = tuple[str, int, int]
"""Private creator, group and low byte of the element."""


class SafePrivateError(PrereadError):
    """A private element that an installation calls safe cannot be used; the message names it."""


@dataclass(frozen=True, slots=True)
class SafeElement:
    """One private element that may stay.

    Attributes
    ----------
    creator
        The private creator, without padding.
    group
        The group, odd.
    element
        The low byte of the element, 0 to 255; the block decides on the high one.
    vr
        Its VR, never empty: where the table has none, or two, the one that is used.
    meaning
        What it is, in a few words; empty where that is not known.
    in_standard
        True if Table E.3.10-1 lists it.
    """

    creator: str
    group: int
    element: int
    vr: bytes
    meaning: str
    in_standard: bool

    @property
    def data_element(self) -> str:
        """The element as the table writes it.

        >>> SafeElement("ACME 1.0", 0x19, 0x0C, b"IS", "", False).data_element
        '0019,xx0C'
        """
        return f"{self.group:04X},xx{self.element:02X}"


class SafePrivate:
    """The private elements that may stay, by private creator.

    Those of the standard of VR UI are UIDs, to be replaced like any other, and those of VR SQ hold
    items, to be de-identified like any other: safe is what the table says, not what lies in it.

    Parameters
    ----------
    more
        What an installation adds: by private creator, elements as ``'gggg,xxee'`` or
        ``'gggg,xxee VR'``. Without a VR the one of Table E.3.10-1 holds, else that of pydicom's
        private dictionary, else UN.

    Raises
    ------
    SafePrivateError
        If a private creator or an element is malformed; the message names it.

    Examples
    --------
    >>> safe = SafePrivate({"ACME 1.0": ["0019,xx0C DS", "0019,xx0D"]})
    >>> safe.vr("SIEMENS MR HEADER ", 0x0019, 0x0C)
    b'IS'
    >>> safe.vr("ACME 1.0", 0x0019, 0x0C), safe.vr("ACME 1.0", 0x0019, 0x0D)
    (b'DS', b'UN')
    >>> safe.vr("ACME 1.0", 0x0019, 0x0E) is None
    True
    """

    def __init__(self, more: Mapping[str, Sequence[str]] = _NOTHING) -> None:
        self._elements: dict[Key, SafeElement] = {
            (each.creator, each.group, each.element): each for each in safe_private_table()
        }
        for creator, entries in more.items():
            name = _creator(creator)
            if isinstance(entries, str):
                raise SafePrivateError(
                    f"safe private elements of {creator!r}: expected a list of elements, "
                    f"found the text {entries!r}; write it as a list"
                )
            for entry in entries:
                self._add(name, entry)

    def vr(self, creator: str, group: int, element: int) -> bytes | None:
        """Return the VR of a safe element, None if it is not known to be safe.

        Parameters
        ----------
        creator
            The private creator of the block; padding and blanks at its ends do not count.
        group
            The group of the element.
        element
            The low byte of the element, 0 to 255.
        """
        found = self._elements.get((creator.strip("\0 "), group, element))
        return None if found is None else found.vr

    def rows(self) -> Iterator[SafeElement]:
        """Return all elements that may stay: the table's in its order, then what was added."""
        return iter(self._elements.values())

    def _add(self, creator: str, entry: str) -> None:
        match = _ENTRY.fullmatch(entry)
        group = int(match["group"], 16) if match else 0
        given = (match["vr"] or "").upper().encode() if match else b""
        if match is None or group in _FORBIDDEN or (given and given not in VRS):
            raise SafePrivateError(
                f"safe private element {entry!r} of {creator!r}: expected {_FORM}; "
                "correct the entry"
            )
        element = int(match["element"], 16)
        key = (creator, group, element)
        known = self._elements.get(key)
        if known is None:
            vr = given or _dictionary_vr(creator, group, element)
            self._elements[key] = SafeElement(creator, group, element, vr, "", in_standard=False)
        elif given:
            self._elements[key] = SafeElement(
                creator, group, element, given, known.meaning, known.in_standard
            )


@cache
def safe_private_table() -> tuple[SafeElement, ...]:
    """Return Table E.3.10-1, read once.

    >>> safe_private_table()[0].data_element, safe_private_table()[0].creator
    ('7053,xx00', 'Philips PET Private Group')
    """
    content = json.loads(resources.files(__package__).joinpath(_FILE).read_text(encoding="utf-8"))
    return tuple(_from_table(*row) for row in content["Rows"])


def _from_table(data_element: str, creator: str, vr: str, _: str, meaning: str) -> SafeElement:
    group, element = int(data_element[:4], 16), int(data_element[-2:], 16)
    # OW/OB is OW in files without VRs, and those with VRs say which (PS3.5 Annex A).
    first = vr[:2].encode() or _dictionary_vr(creator, group, element)
    return SafeElement(creator, group, element, first, meaning, in_standard=True)


def _dictionary_vr(creator: str, group: int, element: int) -> bytes:
    # The dictionary has elements of any block and, from single devices, elements of block 10xx.
    # The former come first, so that what is said holds for every block.
    for block in (0xFF00, 0x1000):
        try:
            vr = private_dictionary_VR(group << 16 | block | element, creator)
        except KeyError:
            continue
        first = vr[:2].encode()
        return first if first in VRS else _UNKNOWN
    return _UNKNOWN


def _creator(creator: str) -> str:
    name = creator.strip("\0 ")
    if not 0 < len(name) <= _LONGEST_CREATOR or "\\" in name or not name.isprintable():
        raise SafePrivateError(
            f"private creator {creator!r} of safe private elements: expected 1 to "
            f"{_LONGEST_CREATOR} printable characters without backslash, as the device writes it"
        )
    return name
