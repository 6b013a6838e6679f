"""Telling a network from all else that arrives, and what of its object is let in. For the hook.

No more is let in than what the digest covers: the file is made anew from the values that are
hashed. What an object holds besides is left out, though its signature is good.

Whether the contents can be used is not looked at here: that takes longer than a store may, and is
the runner's business.
"""

from __future__ import annotations

import hashlib
import re
import struct
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from preread.elements import (
    BIG_ENDIAN,
    EXPLICIT,
    IMPLICIT,
    LONG_VRS,
    Budget,
    Header,
    MalformedFile,
    check_nesting,
    dictionary_vr,
    encode_element,
    encode_header,
    encode_item,
    read_file_meta,
    read_header,
)
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.layouts import (
    GROUP,
    PRIVATE_CREATOR,
    Layout,
    Places,
    find_places,
    signature_place,
)
from preread.iodeep.reading import LARGEST_FILE, description_of

_META_LIES_WITHIN: Final = 2048  # bytes; where it is longer the file is taken for a stranger's
_RAW_DATA: Final = RAW_DATA_STORAGE.encode()

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
_SOP_CLASS: Final = 0x00080016
_MANUFACTURER: Final = 0x00080070
_CONTRIBUTING_EQUIPMENT: Final = 0x0018A001
_DESCRIPTION: Final = 0x0018A003
_PURPOSE_OF_REFERENCE: Final = 0x0040A170
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
_LONGEST_SHORT: Final = 0xFFFE  # bytes of a value whose VR has a length of two bytes
_LARGEST_NUMBER: Final = 0xFFFF
_DIGITS: Final = re.compile(rb"(\d{1,5})[\s\0]*")
_NUMBERS_AS_TEXT: Final = (b"DS", b"IS")
_OF_NETWORKS: Final = frozenset((b"LO", b"OB", b"ST", b"UI", b"UN", b"UT"))
"""VRs that an element of a published layout keeps."""
_PURPOSE: Final = (
    (0x00080100, b"SH", b"109102"),
    (0x00080102, b"SH", b"DCM"),
    (0x00080104, b"LO", b"Processing Equipment"),
)

_Parts = tuple[bytes | memoryview, ...]


@dataclass(frozen=True, eq=False)
class Recognised:
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

    @cached_property
    def digest(self) -> str:
        """What `digest_of` gives; the time for it grows with the size, so it is kept."""
        return _digest(self.header, self.places)


def recognise(data: bytes | memoryview, budget: Budget | None = None) -> Recognised | None:
    """Tell whether a file keeps a network; for what does not it takes a microsecond.

    Parameters
    ----------
    data
        The file.
    budget
        What it may cost; None for no bound.

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
        header = read_header(data, budget)
        if header.has_pixel_data:
            return None
        places = find_places(header)
        if places is None or not _is_raw_data(header, places):
            return None
        check_nesting(header)
    except MalformedFile:
        return None
    return Recognised(header, places)


def digest_of(found: Recognised) -> str:
    """Give the SHA-256 of what is let in of a network, in hexadecimal digits.

    It is of the values, not of the file: C-STORE writes a file anew. A signature is of it, and is
    left out.
    """
    return found.digest


def _digest(header: Header, places: Places) -> str:
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


def syntax_of(found: Recognised) -> str:
    """Give the transfer syntax in which a network is let in.

    One that is unknown is read as Explicit VR Little Endian, so that it becomes that.
    """
    encoding = found.header.encoding
    if encoding.implicit:
        return IMPLICIT
    return EXPLICIT if encoding.little else BIG_ENDIAN


def admitted(found: Recognised, beginning: bytes, signature: bytes = b"") -> bytes:
    """Give the file that is stored of a trusted network.

    Parameters
    ----------
    found
        The network.
    beginning
        Preamble and file meta information, with `syntax_of` the network.
    signature
        What it is signed with, as `preread.iodeep.trust.Trust.signature_of` gives it once it has
        been checked; empty for none.

    Returns
    -------
    bytes
        What the digest covers, encoded anew; the Patient module and what else the IOD has without a
        value, empty. What was large is copied once.
    """
    header = found.header
    parts: dict[int, _Parts] = {
        tag: (encode_element(tag, vr, b"", header.encoding),) for tag, vr in _EMPTIED.items()
    }
    for tag in _TEXTS:
        if tag in header:
            parts[tag] = _element(header, tag, dictionary_vr(tag), _trimmed(header.view(tag)))
    for tag in _NUMBERS:
        number = _number(found, tag)
        if number:
            parts[tag] = (number,)
    # Either of the two that `recognise` lets pass.
    parts[_SOP_CLASS] = _element(header, _SOP_CLASS, b"UI", header.SOPClassUID.encode("ascii"))
    description = description_of(header)
    if description:
        parts[_CONTRIBUTING_EQUIPMENT] = (_entry(header, description),)
    parts |= _network(found, signature)
    return b"".join((beginning, *(piece for tag in sorted(parts) for piece in parts[tag])))


def _element(header: Header, tag: int, vr: bytes, value: bytes | memoryview) -> _Parts:
    """Write an element around a value that stays where it lies."""
    if len(value) > _LONGEST_SHORT and vr not in LONG_VRS:
        vr = b"UN"  # PS3.5 section 6.2.2
    odd = len(value) % 2
    padding = (b"\0" if vr in (b"UI", b"OB", b"UN") else b" ") * odd
    return encode_header(tag, vr, len(value) + odd, header.encoding), value, padding


def _number(found: Recognised, tag: int) -> bytes:
    """Write a number anew, with its first value alone; nothing if it is none that the IOD has.

    In the published layouts it may be a text, also where the VR is not written.
    """
    header, encoding = found.header, found.header.encoding
    raw, value = header.raw(tag), header.number(tag)
    digits = _DIGITS.fullmatch(raw)
    if encoding.implicit and digits and found.places.layout is not Layout.IODEEP:
        return encode_element(tag, b"IS", digits[1], encoding)
    if value is None or not 0 <= value <= _LARGEST_NUMBER:
        return b""
    if header.whole(tag)[4:6] in _NUMBERS_AS_TEXT and not encoding.implicit:
        return encode_element(tag, b"IS", str(value).encode("ascii"), encoding)
    return encode_element(tag, b"US", struct.pack(f"{encoding.order}H", value), encoding)


def _entry(header: Header, description: str) -> bytes:
    """Write the entry that holds the description, with what PS3.3 C.12.1.1.1 demands of one."""
    encoding = header.encoding
    purpose = encode_item(
        b"".join(encode_element(tag, vr, text, encoding) for tag, vr, text in _PURPOSE), encoding
    )
    maker = _element(header, _MANUFACTURER, b"LO", _trimmed(header.view(_MANUFACTURER)))
    return encode_element(
        _CONTRIBUTING_EQUIPMENT,
        b"SQ",
        encode_item(
            b"".join(
                (
                    *maker,
                    encode_element(_DESCRIPTION, b"ST", description.encode(), encoding),
                    encode_element(_PURPOSE_OF_REFERENCE, b"SQ", purpose, encoding),
                )
            ),
            encoding,
        ),
        encoding,
    )


def _network(found: Recognised, signature: bytes) -> dict[int, _Parts]:
    """Write the network's own elements, with their creator and their signature."""
    header, places = found.header, found.places
    tags = (places.DnnArchitecture, places.DnnWeights, places.DnnName, places.DnnUID)
    signed_at = signature_place(places)
    if signed_at is None:
        vrs = [_published_vr(header, tag) for tag in tags]
    else:
        vrs = [b"UT", b"UT", b"LO", b"UI"]
    parts = {
        tag: _element(header, tag, vr, _trimmed(header.view(tag)))
        for tag, vr in zip(tags, vrs, strict=True)
        if tag in header
    }
    if signed_at is not None:
        creator = GROUP << 16 | (signed_at >> 8 & 0xFF)
        parts[creator] = _element(header, creator, b"LO", PRIVATE_CREATOR.encode())
        if signature:
            parts[signed_at] = _element(header, signed_at, b"UT", signature)
    return parts


def _published_vr(header: Header, tag: int) -> bytes:
    vr = header.whole(tag)[4:6]
    return vr if vr in _OF_NETWORKS else b"UN"


def _trimmed(value: memoryview) -> memoryview:
    """Give a value without its padding, where it lies."""
    end = len(value)
    while end and value[end - 1] in b" \0":
        end -= 1
    return value[:end]
