"""The header of a file: one pass over the top level, values decoded only when asked for."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator, Sequence
from functools import cached_property
from itertools import islice
from typing import Final

from preread.elements.budget import Budget
from preread.elements.characters import decode_text, plain_text
from preread.elements.dictionary import dictionary_vr
from preread.elements.encoding import Encoding, FileMeta, inflated, read_file_meta
from preread.elements.errors import MalformedFile
from preread.elements.scan import MOST_ELEMENTS, Element, Ends, items, scan

_CHARSET: Final = 0x00080005
_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_MODALITY: Final = 0x00080060
_CODE_VALUE: Final = 0x00080100
_ANATOMIC_REGION: Final = 0x00082218
_PATIENT_ID: Final = 0x00100020
_BODY_PART: Final = 0x00180015
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
PIXEL_DATA: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
"""Float, Double Float and Pixel Data, of which an image has one."""
_BINARY: Final = {
    is_little: {
        vr: struct.Struct(order + code)
        for vr, code in ((b"US", "H"), (b"SS", "h"), (b"UL", "I"), (b"SL", "i"))
    }
    for is_little, order in ((True, "<"), (False, ">"))
}
"""What reads the first number, by byte order and VR."""
_MOST_REGIONS: Final = 16
_PRIVATE: Final = 0x10000
_LONGEST_TEXT: Final = 2**16
"""Bytes beyond which a text or number is none: what is told from it may look at each of them."""


class Header:
    """The attributes of a file's top level.

    Parameters
    ----------
    data
        The file, or the inflated data set.
    meta
        Its file meta information.
    elements
        The elements of the top level in the order of the file, up to and with the pixel data. Of
        those that stand there twice the first one counts.
    ends
        What is known of undefined lengths, and what may be spent on the file; see `Ends`.

    Attributes
    ----------
    encoding
        How the data set is written.
    """

    def __init__(
        self,
        data: bytes | memoryview,
        meta: FileMeta,
        elements: Sequence[Element],
        ends: Ends | None = None,
    ) -> None:
        self._data = data
        self._elements = {element.tag: element for element in reversed(elements)}
        # The same few are asked for again and again.
        self._texts: dict[int, str] = {}
        self._numbers: dict[int, int | None] = {}
        self.meta = meta
        self.encoding: Encoding = meta.encoding
        self.all_elements = elements
        self.ends = Ends() if ends is None else ends

    @property
    def data(self) -> bytes | memoryview:
        """What the elements' offsets point into: the file, or the inflated data set."""
        return self._data

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def vr(self, tag: int) -> bytes:
        """Return the VR as it is written; empty in implicit VR, or if the element is absent."""
        element = self._elements.get(tag)
        return b"" if element is None else element.vr

    def size(self, tag: int) -> int:
        """Return how many bytes a value has, 0 if the element is absent."""
        element = self._elements.get(tag)
        return 0 if element is None else element.value_end - element.value

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a value, empty if the element is absent."""
        element = self._elements.get(tag)
        return b"" if element is None else bytes(self._data[element.value : element.value_end])

    def view(self, tag: int) -> memoryview:
        """Return the bytes of a value where they lie, empty if the element is absent."""
        element = self._elements.get(tag)
        data = memoryview(self._data)
        return data[:0] if element is None else data[element.value : element.value_end]

    def whole(self, tag: int) -> bytes:
        """Return an element with its header, as it lies there; empty if it is absent."""
        element = self._elements.get(tag)
        return b"" if element is None else bytes(self._data[element.start : element.end])

    def text(self, tag: int, /) -> str:
        """Return a value as text without padding, empty if the element is absent.

        Raises
        ------
        MalformedFile
            If it is longer than any text of the standard that something is told from.
        """
        element = self._elements.get(tag)
        if element is None:
            return ""
        found = self._texts.get(tag)
        if found is None:
            found = self._texts[tag] = self._decoded(element)
        return found

    def _decoded(self, element: Element) -> str:
        tag, size = element.tag, element.value_end - element.value
        if size > _LONGEST_TEXT and not tag & _PRIVATE:
            reason = f"more than {_LONGEST_TEXT} bytes; expected a short text"
            raise MalformedFile(element.start, tag, reason)
        raw = self.raw(tag)
        plain = plain_text(raw)
        if plain is None:
            is_name = dictionary_vr(tag) == b"PN"
            plain = decode_text(raw, self._character_sets, is_name=is_name)
        return plain.strip(" \0")

    def number(self, tag: int, /) -> int | None:
        """Return the first value as a whole number; None if it is absent or is none."""
        element = self._elements.get(tag)
        if element is None or element.value_end - element.value > _LONGEST_TEXT:
            return None
        if tag not in self._numbers:
            self._numbers[tag] = self._counted(element)
        return self._numbers[tag]

    def _counted(self, element: Element) -> int | None:
        raw = self.raw(element.tag)
        vr = element.vr or dictionary_vr(element.tag)[:2]  # "US or SS": as US
        binary = _BINARY[self.encoding.little].get(vr)
        if binary is not None:
            return int(binary.unpack_from(raw)[0]) if len(raw) >= binary.size else None
        found = re.match(rb"\s*([+-]?\d{1,12})\s*(?:\\|$)", raw.rstrip(b"\0 "))
        return int(found[1]) if found else None

    @cached_property
    def _character_sets(self) -> list[str]:
        declared = self.raw(_CHARSET).decode("ascii", "replace")
        return [term.strip(" \0") for term in declared.split("\\")]

    @property
    def TransferSyntaxUID(self) -> str:  # noqa: N802 - the standard's own keywords
        """How the file is encoded."""
        return self.meta.TransferSyntaxUID

    @property
    def PatientID(self) -> str:  # noqa: N802
        """Identifier of the patient."""
        return self.text(_PATIENT_ID)

    @property
    def StudyInstanceUID(self) -> str:  # noqa: N802
        """Identifier of the study."""
        return self.text(_STUDY)

    @property
    def SeriesInstanceUID(self) -> str:  # noqa: N802
        """Identifier of the series."""
        return self.text(_SERIES)

    @property
    def SOPInstanceUID(self) -> str:  # noqa: N802
        """Identifier of the object."""
        return self.text(_SOP_INSTANCE)

    @property
    def SOPClassUID(self) -> str:  # noqa: N802
        """Kind of the object."""
        return self.text(_SOP_CLASS)

    @property
    def Modality(self) -> str:  # noqa: N802
        """Kind of the equipment."""
        return self.text(_MODALITY)

    @property
    def BodyPartExamined(self) -> str:  # noqa: N802
        """Body part, as the device named it."""
        return self.text(_BODY_PART)

    @property
    def has_pixel_data(self) -> bool:
        """Whether there is pixel data of any kind."""
        return not self._elements.keys().isdisjoint(PIXEL_DATA)

    @property
    def pixel_data_length(self) -> int:
        """Bytes of the pixel data, items and all; 0 without any."""
        for tag in PIXEL_DATA:
            if tag in self._elements:
                return self.size(tag)
        return 0

    @property
    def anatomic_region_codes(self) -> tuple[str, ...]:
        """Code Values of the items of AnatomicRegionSequence (0008,2218), the first 16 of them."""
        sequence = self._elements.get(_ANATOMIC_REGION)
        if sequence is None:
            return ()
        try:
            return tuple(islice(self._codes(sequence), _MOST_REGIONS))
        except MalformedFile:
            return ()

    def _codes(self, sequence: Element) -> Iterator[str]:
        encoding = sequence.inner_encoding(self.encoding)
        for _, start, end in items(
            self._data, sequence.value, sequence.value_end, encoding, ends=self.ends
        ):
            inside = scan(self._data, start, end, encoding, depth=2, ends=self.ends)
            for element in self.ends.budget.over(inside, 1):
                if element.tag == _CODE_VALUE:
                    raw = bytes(self._data[element.value : element.value_end])
                    yield raw.decode("ascii", "replace").strip(" \0")


def read_header(data: bytes | memoryview, budget: Budget | None = None) -> Header:
    """Read the header of a file, up to its pixel data; what comes later nobody reads.

    Parameters
    ----------
    data
        The file.
    budget
        What it may cost, this and what is done with the header later; None for no bound.

    Raises
    ------
    MalformedFile
        If it cannot be walked over.
    OverBudget
        If it takes longer than it may.
    """
    meta = read_file_meta(data)
    start = meta.dataset_start
    ends = Ends(budget)
    if meta.encoding.deflated:
        data, start = inflated(data, start, budget=budget), 0
    scanned = scan(data, start, len(data), meta.encoding, stop_behind=PIXEL_DATA[2], ends=ends)
    elements = list(islice(scanned, MOST_ELEMENTS + 1))
    if not elements:
        raise MalformedFile(start, None, "the data set is empty")
    last = elements[-1]
    if len(elements) > MOST_ELEMENTS and last.tag != PIXEL_DATA[2]:
        raise MalformedFile(last.start, None, f"more than {MOST_ELEMENTS} elements")
    return Header(data, meta, elements, ends)
