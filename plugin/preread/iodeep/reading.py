"""An IODeep instance from a file, in any of the layouts.

Nothing is unpickled, and torch is not needed: what torch.save wrote stays bytes. Of the published
layouts their faults are known: SOPClassUID may repeat the instance's UID, numbers may be texts, and
Rows and Columns may not be those of the input, which the architecture states better.
"""

from __future__ import annotations

import datetime as dt
import re
import struct
from typing import TYPE_CHECKING, Final, NoReturn

from preread.elements import (
    MOST_ELEMENTS,
    Header,
    MalformedFile,
    inflated,
    items,
    read_file_meta,
    scan,
)
from preread.iodeep.document import (
    LARGEST_ARCHITECTURE,
    document_text,
    parse_document,
    rows_and_columns,
)
from preread.iodeep.errors import InvalidIODeepError
from preread.iodeep.iod import RAW_DATA_STORAGE, IODeep
from preread.iodeep.layouts import Layout, find_places
from preread.iodeep.torch_saved import is_torch_saved
from preread.iodeep.weights import (
    LARGEST_INSIDE,
    TorchSaved,
    bytes_in_base64,
    parse_weights_value,
)

if TYPE_CHECKING:
    from preread.elements import Element
    from preread.iodeep.layouts import Places

LARGEST_FILE: Final = LARGEST_INSIDE // 3 * 4 + 8 * 1000**2
"""Bytes: the base64 of the largest weights, and all else."""

_SOP_CLASS: Final = 0x00080016
_SOP_INSTANCE: Final = 0x00080018
_MODALITY: Final = 0x00080060
_BODY_PART: Final = 0x00180015
_CONTRIBUTING_EQUIPMENT: Final = 0x0018A001
_DESCRIPTION: Final = 0x0018A003
_STUDY: Final = 0x0020000D
_SERIES: Final = 0x0020000E
_SAMPLES: Final = 0x00280002
_PHOTOMETRIC: Final = 0x00280004
_ROWS: Final = 0x00280010
_COLUMNS: Final = 0x00280011
_WINDOW_CENTER: Final = 0x00281050
_WINDOW_WIDTH: Final = 0x00281051
_PATIENT: Final = {
    0x00100010: "PatientName",
    0x00100020: "PatientID",
    0x00100030: "PatientBirthDate",
    0x00100040: "PatientSex",
}
_MADE: Final = ((0x00080023, 0x00080033), (0x00080012, 0x00080013))
"""ContentDate and ContentTime, InstanceCreationDate and InstanceCreationTime."""


def decode(data: bytes | memoryview) -> IODeep:
    """Read a network from a DICOM file.

    Parameters
    ----------
    data
        The file, up to `LARGEST_FILE` bytes.

    Raises
    ------
    InvalidIODeepError
        If it is none, naming the attribute.
    preread.elements.MalformedFile
        If it is no DICOM file.
    """
    if len(data) > LARGEST_FILE:
        _refuse("DnnWeights", f"the file is larger than {LARGEST_FILE} bytes; refer to the weights")
    header = _header(data)
    places = find_places(header)
    if places is None:
        _refuse("DnnArchitecture", "the file holds no network in group 0017")
    _check_object(header, places)
    architecture = _architecture(header, places)
    rows, columns = _size(header, places, architecture)
    return IODeep(
        DnnUID=_uid(header, places.DnnUID) or header.SOPInstanceUID,
        DnnName=" ".join(header.text(places.DnnName).split()),
        DnnArchitecture=architecture,
        DnnWeights=parse_weights_value(header.raw(places.DnnWeights)),
        Modality=_modality(header),
        BodyPartExamined=" ".join(header.text(_BODY_PART).upper().split()),
        SamplesPerPixel=_number(header, places, _SAMPLES, "SamplesPerPixel"),
        PhotometricInterpretation=header.text(_PHOTOMETRIC).upper(),
        Rows=rows,
        Columns=columns,
        WindowCenter=_decimal(header, _WINDOW_CENTER, "WindowCenter"),
        WindowWidth=_decimal(header, _WINDOW_WIDTH, "WindowWidth"),
        Description=description_of(header),
        created=_created(header),
        SOPInstanceUID=header.SOPInstanceUID,
        layout=places.layout,
    )


def _header(data: bytes | memoryview) -> Header:
    """Walk over the file, as `preread.elements.read_header` does, in less memory if deflated."""
    meta = read_file_meta(data)
    start = meta.dataset_start
    if meta.encoding.deflated:
        data, start = inflated(data, start, LARGEST_FILE), 0
    elements: list[Element] = []
    for element in scan(data, start, len(data), meta.encoding):
        elements.append(element)
        if len(elements) > MOST_ELEMENTS:
            raise MalformedFile(element.start, None, f"more than {MOST_ELEMENTS} elements")
    return Header(data, meta, elements)


def _check_object(header: Header, places: Places) -> None:
    ours = places.layout is Layout.IODEEP
    repeated = not ours and header.SOPClassUID == header.SOPInstanceUID
    if header.SOPClassUID != RAW_DATA_STORAGE and not repeated:
        _refuse("SOPClassUID", f"expected {RAW_DATA_STORAGE}, Raw Data Storage")
    if header.has_pixel_data:
        _refuse("PixelData", "expected none: a network is no image")
    for tag, keyword in _PATIENT.items():
        if header.text(tag):
            _refuse(keyword, "expected it empty: a network is nobody's")
    if ours:
        for tag, keyword in ((_STUDY, "StudyInstanceUID"), (_SERIES, "SeriesInstanceUID")):
            if _uid(header, tag) != _uid(header, places.DnnUID):
                _refuse(keyword, "expected the same as DnnUID")


def _architecture(header: Header, places: Places) -> str | TorchSaved:
    raw = header.raw(places.DnnArchitecture).strip(b" \0\r\n\t")
    if len(raw) > 2 * LARGEST_ARCHITECTURE:
        _refuse("DnnArchitecture", f"larger than the {LARGEST_ARCHITECTURE} bytes it may have")
    if not raw.startswith((b"{", b"\xef\xbb\xbf{")) and places.layout is not Layout.IODEEP:
        saved = bytes_in_base64(raw, "DnnArchitecture", 2 * LARGEST_ARCHITECTURE)
        if not is_torch_saved(saved):
            _refuse("DnnArchitecture", "base64 of something else than torch.save writes")
        return TorchSaved(saved)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError:
        text = header.text(places.DnnArchitecture)
    return document_text(parse_document(text))


def _size(header: Header, places: Places, architecture: str | TorchSaved) -> tuple[int, int]:
    stated = None
    if places.layout is not Layout.IODEEP and isinstance(architecture, str):
        stated = rows_and_columns(parse_document(architecture))
    if stated is not None:
        return stated
    return (
        _number(header, places, _ROWS, "Rows"),
        _number(header, places, _COLUMNS, "Columns"),
    )


def _number(header: Header, places: Places, tag: int, keyword: str) -> int:
    """Read a number that is binary, as it should be, or in a published layout perhaps a text.

    Two bytes that are digits could there be either; as a binary number they are above twelve
    thousand, which no network takes.
    """
    raw = header.raw(tag)
    text = re.fullmatch(rb"\s*(\d{1,5})[\s\0]*", raw)
    if text and (len(raw) != 2 or places.layout is not Layout.IODEEP):
        return int(text[1])
    if len(raw) != 2:
        _refuse(keyword, "expected one whole number" if raw else "missing")
    return int(struct.unpack(header.encoding.order + "H", raw)[0])


def _decimal(header: Header, tag: int, keyword: str) -> float | None:
    text = header.text(tag).partition("\\")[0].strip()
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        _refuse(keyword, "expected a number")


def _modality(header: Header) -> str:
    modality = header.text(_MODALITY).upper()
    return "MR" if modality == "MRI" else modality  # as the prototype's own list has it


def _uid(header: Header, tag: int) -> str:
    return header.raw(tag).decode("ascii", "replace").strip(" \0")


def description_of(header: Header) -> str:
    """Read the text of the first entry of what had a part in it."""
    sequence = next((e for e in header.all_elements if e.tag == _CONTRIBUTING_EQUIPMENT), None)
    if sequence is None:
        return ""
    encoding = sequence.inner_encoding(header.encoding)
    try:
        for _, start, end in items(header.data, sequence.value, sequence.value_end, encoding):
            entry = Header(header.data, header.meta, list(scan(header.data, start, end, encoding)))
            raw = entry.raw(_DESCRIPTION)
            if raw:
                return " ".join(raw.decode("utf-8", "replace").replace("\\", "/").split())[:1024]
    except MalformedFile:
        pass
    return ""


def _created(header: Header) -> dt.datetime | None:
    for date, time in _MADE:
        digits = header.text(date).replace(".", "")
        clock = re.fullmatch(r"(\d{2})(\d{2})?(\d{2})?(?:\.(\d{1,6}))?", header.text(time))
        if not re.fullmatch(r"\d{8}", digits, flags=re.ASCII):
            continue
        hour, minute, second = (
            (int(part or 0) for part in clock.groups()[:3]) if clock else (0,) * 3
        )
        micro = int((clock[4] or "").ljust(6, "0")) if clock else 0
        try:
            return dt.datetime(  # noqa: DTZ001 - a DA and a TM have no time zone
                int(digits[:4]), int(digits[4:6]), int(digits[6:]), hour, minute, second, micro
            )
        except ValueError:
            continue
    return None


def _refuse(attribute: str, reason: str) -> NoReturn:
    raise InvalidIODeepError(attribute, reason)
