"""Changing a few elements of a file without touching the rest.

A file is laid out once, as the places of its top-level elements. What a change does not name is
passed on as slices of the original bytes, pixel data among it, and all is joined once.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Final

from preread import elements
from preread.errors import PrereadError
from preread.results.encoding import Characters, element

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

_EXPLICIT: Final = elements.Encoding(implicit=False, little=True)
_EXPLICIT_VR_LITTLE_ENDIAN: Final = "1.2.840.10008.1.2.1"
_GROUP_LENGTH: Final = 0x00020000
_META_VERSION: Final = 0x00020001
_MEDIA_STORAGE_SOP_CLASS_UID: Final = 0x00020002
_MEDIA_STORAGE_SOP_INSTANCE_UID: Final = 0x00020003
_TRANSFER_SYNTAX_UID: Final = 0x00020010
_IMPLEMENTATION_CLASS_UID: Final = 0x00020012
_SPECIFIC_CHARACTER_SET: Final = 0x00080005
_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
# Of a file that does not say what wrote it; from a random UUID (PS3.5 Annex B.2).
_IMPLEMENTATION: Final = "2.25.271507501260915820287271442973108361244"


class UnwritableInstanceError(PrereadError):
    """An object that no result can be written into; the message names the tag."""


def find(source: memoryview, start: int, end: int, tag: int) -> elements.Element | None:
    """Find an element of the level that lies between two offsets; None if there is none."""
    places = elements.scan(source, start, end, _EXPLICIT)
    return next((place for place in places if place.tag == tag), None)


def items(source: memoryview, place: elements.Element) -> Iterator[tuple[int, int, int]]:
    """Give the offsets of a sequence's items: of the item, of its content, behind its content.

    There are none if the element is not a sequence.

    Raises
    ------
    preread.elements.MalformedFile
        If they cannot be walked through.
    """
    if place.vr == b"SQ":
        yield from elements.items(source, place.value, place.value_end, _EXPLICIT)


def _is_like_a_uid(text: str) -> bool:
    return 0 < len(text) <= 64 and text.isascii() and text.isprintable()


@dataclass(frozen=True)
class Layout:
    """A file in Explicit VR Little Endian (or encapsulated) and where its elements lie.

    Attributes
    ----------
    source
        The bytes of the file.
    meta
        Its file meta information.
    places
        The places of the elements of the data set's top level, in the file's order.
    """

    source: memoryview
    meta: elements.FileMeta
    places: tuple[elements.Element, ...]

    @classmethod
    def of(cls, data: bytes) -> Layout:
        """Lay out a file, which is converted to Explicit VR Little Endian where it must be.

        Raises
        ------
        preread.elements.MalformedFile
            If the file cannot be walked through.
        """
        source = memoryview(elements.explicit_little_endian(data))
        meta = elements.read_file_meta(source)
        places = elements.scan(source, meta.dataset_start, len(source), _EXPLICIT)
        return cls(source, meta, tuple(places))

    def pieces(
        self,
        edits: Mapping[int, bytes | None],
        *,
        SOPInstanceUID: str = "",  # noqa: N803 - DICOM's
    ) -> Iterator[bytes | memoryview]:
        """Give the changed file in pieces, which are slices of the source where nothing changes.

        Parameters
        ----------
        edits
            For each tag the encoded element that replaces what is there, or is put in where it
            belongs; None takes it out. A tag that is there more than once is replaced once.
        SOPInstanceUID
            What the file meta information says of it; the source's if empty.
        """
        yield from self._meta(SOPInstanceUID or self.uid(_SOP_INSTANCE_UID))
        pending = sorted(tag for tag, encoded in edits.items() if encoded is not None)
        pending.reverse()
        kept = self.meta.dataset_start  # start of what is passed on next
        end = kept
        for place in self.places:
            if place.tag in edits or (pending and pending[-1] < place.tag):
                yield self.source[kept : place.start]
                kept = place.start
                while pending and pending[-1] <= place.tag:
                    yield edits[pending.pop()] or b""
                if place.tag in edits:
                    kept = place.end
            end = place.end
        yield self.source[kept:end]
        while pending:
            yield edits[pending.pop()] or b""
        yield self.source[end:]

    def join(
        self,
        edits: Mapping[int, bytes | None],
        *,
        SOPInstanceUID: str = "",  # noqa: N803 - DICOM's
    ) -> bytes:
        """Put the changed file together; the arguments are those of `pieces`."""
        return b"".join(self.pieces(edits, SOPInstanceUID=SOPInstanceUID))

    def _meta(self, sop_instance_uid: str) -> Iterator[bytes]:
        """Write preamble and file meta information (PS3.10 section 7.1) anew, as far as it must be.

        What is there stays, but for the instance's UID and the group's length; what is required
        and missing is added.
        """
        uids = {
            _MEDIA_STORAGE_SOP_CLASS_UID: self.text(_SOP_CLASS_UID),
            _MEDIA_STORAGE_SOP_INSTANCE_UID: sop_instance_uid,
            _TRANSFER_SYNTAX_UID: self.meta.TransferSyntaxUID or _EXPLICIT_VR_LITTLE_ENDIAN,
            _IMPLEMENTATION_CLASS_UID: _IMPLEMENTATION,
        }
        group = {
            tag: element(tag, "UI", uid.encode())
            for tag, uid in uids.items()
            if _is_like_a_uid(uid)
        }
        group[_META_VERSION] = element(_META_VERSION, "OB", b"\0\1")
        preamble = bytes(128)
        if self.meta.has_preamble:
            preamble = bytes(self.source[:128])
            places = elements.scan(self.source, 132, self.meta.dataset_start, _EXPLICIT)
            present = {place.tag: bytes(self.source[place.start : place.end]) for place in places}
            present.pop(_GROUP_LENGTH, None)
            present.pop(_MEDIA_STORAGE_SOP_INSTANCE_UID, None)
            group |= present
        content = b"".join(group[tag] for tag in sorted(group))
        yield preamble + b"DICM"
        yield element(_GROUP_LENGTH, "UL", struct.pack("<I", len(content)))
        yield content

    @cached_property
    def _first(self) -> dict[int, elements.Element]:
        return {place.tag: place for place in reversed(self.places)}

    @cached_property
    def characters(self) -> Characters:
        """What the data set can hold."""
        terms = self.value(_SPECIFIC_CHARACTER_SET).decode("ascii", "replace")
        return Characters(tuple(term.strip(" \0") for term in terms.split("\\")) if terms else ())

    def __contains__(self, tag: int) -> bool:
        return tag in self._first

    def value(self, tag: int) -> bytes:
        """Give the value of an element as it lies in the file; empty if there is none."""
        place = self._first.get(tag)
        return b"" if place is None else bytes(self.source[place.value : place.value_end])

    def text(self, tag: int) -> str:
        """Give the value of an element as text without padding; empty if there is none."""
        return self.characters.decode(self.value(tag)).strip(" \0")

    def items(self, tag: int) -> Iterator[memoryview]:
        """Give the content of each item of a sequence; nothing if it is absent or no sequence.

        Raises
        ------
        preread.elements.MalformedFile
            If its items cannot be walked through.
        """
        place = self._first.get(tag)
        if place is not None:
            for _, start, end in items(self.source, place):
                yield self.source[start:end]

    def uid(self, tag: int) -> str:
        """Give a UID that must be there.

        Raises
        ------
        UnwritableInstanceError
            If it is absent, or cannot be one: longer than 64 characters, or not ASCII.
        """
        text = self.text(tag)
        if not _is_like_a_uid(text):
            raise UnwritableInstanceError(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}): expected a UID of 1 to 64 characters; an "
                "object without one cannot carry results"
            )
        return text
