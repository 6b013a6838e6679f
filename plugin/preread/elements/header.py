"""The header of a file: one pass over the top level, values decoded only when asked for."""

from __future__ import annotations

import re
import struct
from collections.abc import Sequence
from typing import Final

from preread.elements.encoding import Encoding, FileMeta, inflated, read_file_meta
from preread.elements.errors import MalformedFile
from preread.elements.scan import Element, items, scan

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
_PIXEL_DATA: Final = (0x7FE00008, 0x7FE00009, 0x7FE00010)
_BINARY: Final = {b"US": "H", b"SS": "h", b"UL": "I", b"SL": "i"}
_MOST_REGIONS: Final = 16

# PS3.3 C.12.1.1.2: the single-byte character sets, and UTF-8.
_CODECS: Final = {
    "ISO_IR 192": "utf-8",
    "ISO_IR 100": "latin-1",
    "ISO_IR 101": "iso8859-2",
    "ISO_IR 109": "iso8859-3",
    "ISO_IR 110": "iso8859-4",
    "ISO_IR 144": "iso8859-5",
    "ISO_IR 127": "iso8859-6",
    "ISO_IR 126": "iso8859-7",
    "ISO_IR 138": "iso8859-8",
    "ISO_IR 148": "iso8859-9",
    "ISO_IR 13": "shift_jis",
    "ISO_IR 166": "iso8859-11",
    "GB18030": "gb18030",
    "GBK": "gbk",
}


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
    """

    def __init__(
        self, data: bytes | memoryview, meta: FileMeta, elements: Sequence[Element]
    ) -> None:
        self._data = data
        self._elements = {element.tag: element for element in reversed(elements)}
        self.meta = meta
        self.all_elements = elements

    @property
    def data(self) -> bytes | memoryview:
        """What the elements' offsets point into: the file, or the inflated data set."""
        return self._data

    @property
    def encoding(self) -> Encoding:
        """How the data set is written."""
        return self.meta.encoding

    def __contains__(self, tag: int) -> bool:
        return tag in self._elements

    def raw(self, tag: int) -> bytes:
        """Return the bytes of a value, empty if the element is absent."""
        element = self._elements.get(tag)
        return b"" if element is None else bytes(self._data[element.value : element.value_end])

    def text(self, tag: int, /) -> str:
        """Return a value as text without padding, empty if the element is absent."""
        return self.raw(tag).decode(self._codec, "replace").strip(" \0")

    def number(self, tag: int, /) -> int | None:
        """Return the first value as a whole number; None if it is absent or is none."""
        element = self._elements.get(tag)
        if element is None:
            return None
        raw = self.raw(tag)
        # Implicit VR does not tell US from IS; the numbers asked for are US but for a few texts.
        code = _BINARY.get(element.vr) or ("H" if element.vr == b"" and len(raw) == 2 else "")
        if code:
            size = struct.calcsize(code)
            if len(raw) < size:
                return None
            return int(struct.unpack_from(self.encoding.order + code, raw)[0])
        found = re.match(rb"\s*([+-]?\d{1,12})\s*(?:\\|$)", raw.rstrip(b"\0 "))
        return int(found[1]) if found else None

    @property
    def _codec(self) -> str:
        declared = self.raw(_CHARSET).decode("ascii", "replace").split("\\")[0].strip(" \0")
        return _CODECS.get(declared.replace("ISO 2022 IR", "ISO_IR"), "latin-1")

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
        return any(tag in self._elements for tag in _PIXEL_DATA)

    @property
    def pixel_data_length(self) -> int:
        """Bytes of the pixel data, items and all; 0 without any."""
        for tag in _PIXEL_DATA:
            if tag in self._elements:
                return self._elements[tag].value_end - self._elements[tag].value
        return 0

    @property
    def anatomic_region_codes(self) -> tuple[str, ...]:
        """Code Values of the items of AnatomicRegionSequence (0008,2218)."""
        sequence = self._elements.get(_ANATOMIC_REGION)
        if sequence is None:
            return ()
        codes: list[str] = []
        for _, start, end in items(self._data, sequence.value, sequence.value_end, self.encoding):
            for element in scan(self._data, start, end, self.encoding, depth=2):
                if element.tag == _CODE_VALUE:
                    raw = bytes(self._data[element.value : element.value_end])
                    codes.append(raw.decode("ascii", "replace").strip(" \0"))
            if len(codes) >= _MOST_REGIONS:
                break
        return tuple(codes)


def read_header(data: bytes | memoryview) -> Header:
    """Read the header of a file.

    Raises
    ------
    MalformedFile
        If it cannot be walked over.
    """
    meta = read_file_meta(data)
    start = meta.dataset_start
    if meta.encoding.deflated:
        data, start = inflated(data, start), 0
    elements: list[Element] = []
    for element in scan(data, start, len(data), meta.encoding):
        elements.append(element)
        if element.tag == _PIXEL_DATA[2]:
            break
    if not elements:
        raise MalformedFile(start, None, "the data set is empty")
    return Header(data, meta, elements)
