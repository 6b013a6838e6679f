"""Telling a network from all else that arrives, and what of its object is let in. For the hook.

Whether the contents can be used is not looked at here: that takes longer than a store may, and is
the runner's business.
"""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final, NamedTuple

from preread.elements import (
    Header,
    MalformedFile,
    check_nesting,
    encode_element,
    read_file_meta,
    read_header,
)
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.layouts import GROUP, Layout, Places, find_places, signature_place
from preread.iodeep.reading import LARGEST_FILE, description_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from preread.elements import Element

_META_LIES_WITHIN: Final = 2048  # bytes; where it is longer the file is taken for a stranger's
_RAW_DATA: Final = RAW_DATA_STORAGE.encode()
_CONTRIBUTING_EQUIPMENT: Final = 0x0018A001

_TEXTS: Final = (
    0x00080005,  # SpecificCharacterSet
    0x00080012,  # InstanceCreationDate
    0x00080013,  # InstanceCreationTime
    0x00080018,  # SOPInstanceUID
    0x00080020,  # StudyDate
    0x00080021,  # SeriesDate
    0x00080023,  # ContentDate
    0x00080030,  # StudyTime
    0x00080031,  # SeriesTime
    0x00080033,  # ContentTime
    0x00080060,  # Modality
    0x00080070,  # Manufacturer
    0x00081030,  # StudyDescription
    0x0008103E,  # SeriesDescription
    0x00089123,  # CreatorVersionUID
    0x00180015,  # BodyPartExamined
    0x00181020,  # SoftwareVersions
    0x0020000D,  # StudyInstanceUID
    0x0020000E,  # SeriesInstanceUID
    0x00200011,  # SeriesNumber
    0x00200013,  # InstanceNumber
    0x00280004,  # PhotometricInterpretation
    0x00281050,  # WindowCenter
    0x00281051,  # WindowWidth
)
_NUMBERS: Final = (0x00280002, 0x00280010, 0x00280011)
"""SamplesPerPixel, Rows, Columns."""
_STAYS: Final = frozenset((*_TEXTS, *_NUMBERS, 0x00080016, _CONTRIBUTING_EQUIPMENT))
_EMPTIED: Final = {
    0x00080050: b"SH",  # AccessionNumber
    0x00080090: b"PN",  # ReferringPhysicianName
    0x00100010: b"PN",  # PatientName
    0x00100020: b"LO",  # PatientID
    0x00100030: b"DA",  # PatientBirthDate
    0x00100040: b"CS",  # PatientSex
    0x00200010: b"SH",  # StudyID
    0x00400555: b"SQ",  # AcquisitionContextSequence
}
"""Attributes that the IOD has without a value."""


class Recognised(NamedTuple):
    """An object that keeps a network, whoever sent it.

    Attributes
    ----------
    header
        Of the file.
    places
        Where it keeps what.
    """

    header: Header
    places: Places


def recognise(data: bytes | memoryview) -> Recognised | None:
    """Tell whether a file keeps a network; for what does not it takes a microsecond.

    Parameters
    ----------
    data
        The file.

    Returns
    -------
    Recognised or None
        None for what is not Raw Data by its file meta information and by its SOPClassUID (in the
        published layouts that may repeat the UID of the instance, which is the prototype's fault),
        has pixel data, is larger than `preread.iodeep.reading.LARGEST_FILE`, deflated or malformed.
    """
    if _RAW_DATA not in bytes(data[:_META_LIES_WITHIN]) or len(data) > LARGEST_FILE:
        return None
    try:
        meta = read_file_meta(data)
        is_raw_data = meta.has_preamble and meta.MediaStorageSOPClassUID == RAW_DATA_STORAGE
        if not is_raw_data or meta.encoding.deflated:
            return None
        header = read_header(data)
        if header.has_pixel_data:
            return None
        places = find_places(header)
        if places is None or not _is_raw_data(header, places):
            return None
        check_nesting(header)
    except MalformedFile:
        return None
    return Recognised(header, places)


def admitted(found: Recognised, beginning: bytes) -> bytes:
    """Give the file that is stored of a trusted network.

    Parameters
    ----------
    found
        The network.
    beginning
        Preamble and file meta information.

    Returns
    -------
    bytes
        Of the data set only what the IOD has, as it came; the Patient module and what else the IOD
        has without a value, empty. What was large is copied once.
    """
    header = found.header
    parts: dict[int, bytes | memoryview] = {
        tag: encode_element(tag, vr, b"", header.encoding) for tag, vr in _EMPTIED.items()
    }
    view = memoryview(header.data)
    stays = _STAYS | _private(found)
    for element in _first_ones(header):
        if element.tag in stays:
            parts[element.tag] = view[element.start : element.end]
    return b"".join((beginning, *(parts[tag] for tag in sorted(parts))))


def digest_of(found: Recognised) -> str:
    """Give the SHA-256 of what is let in of a network, in hexadecimal digits.

    It is of the values, not of the file: C-STORE writes a file anew. A signature is of it, and is
    left out.
    """
    header, places = found.header, found.places
    digest = hashlib.sha256(b"preread iodeep 1\n")
    named: list[tuple[str, bytes | memoryview]] = [
        *((f"{tag:08X}", _trimmed(header.view(tag))) for tag in _TEXTS),
        *((f"{tag:08X}", str(header.number(tag)).encode()) for tag in _NUMBERS),
        ("Description", description_of(header).encode()),
        ("DnnArchitecture", _trimmed(header.view(places.DnnArchitecture))),
        ("DnnWeights", _trimmed(header.view(places.DnnWeights))),
        ("DnnName", _trimmed(header.view(places.DnnName))),
        ("DnnUID", _trimmed(header.view(places.DnnUID))),
    ]
    for name, value in named:
        digest.update(f"{name} {len(value)}\n".encode())
        digest.update(value)
    return digest.hexdigest()


def _is_raw_data(header: Header, places: Places) -> bool:
    if header.SOPClassUID == RAW_DATA_STORAGE:
        return True
    return places.layout is not Layout.IODEEP and header.SOPClassUID == header.SOPInstanceUID != ""


def _private(found: Recognised) -> frozenset[int]:
    """Give the tags of the network's own elements, with their creator and their signature."""
    places = found.places
    tags = {places.DnnArchitecture, places.DnnWeights, places.DnnName, places.DnnUID}
    signature = signature_place(places)
    if signature is not None:
        tags |= {signature, GROUP << 16 | (signature >> 8 & 0xFF)}
    return frozenset(tags)


def _first_ones(header: Header) -> Iterator[Element]:
    """Give each element once: of those that stand there twice the first one counts."""
    seen: set[int] = set()
    for element in header.all_elements:
        if element.tag not in seen:
            seen.add(element.tag)
            yield element


def _trimmed(value: memoryview) -> memoryview:
    end = len(value)
    while end and value[end - 1] in b" \0":
        end -= 1
    return value[:end]
