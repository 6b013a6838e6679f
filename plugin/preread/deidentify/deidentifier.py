"""One complete file in, one complete file without its identity out."""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.profile import CODES, Action, basic_profile
from preread.deidentify.pseudonyms import Pseudonyms
from preread.deidentify.rewriting import Part, Replacements, Rewriting
from preread.deidentify.secret import Secret
from preread.elements import (
    Encoding,
    Header,
    MalformedFile,
    encode_element,
    read_header,
)

IMPLEMENTATION_CLASS_UID: Final = "2.25.296081034861093263286352951043614437563"
IMPLEMENTATION_VERSION_NAME: Final = "PREREAD"

_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_ISSUER_OF_PATIENT_ID: Final = 0x00100021
_PATIENT_BIRTH_DATE: Final = 0x00100030
_PATIENT_IDENTITY_REMOVED: Final = 0x00120062
_DEIDENTIFICATION_METHOD: Final = 0x00120063
_DEIDENTIFICATION_METHOD_CODE_SEQUENCE: Final = 0x00120064
_STUDY_INSTANCE_UID: Final = 0x0020000D
_SERIES_INSTANCE_UID: Final = 0x0020000E
_LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: Final = 0x00280303

_WRITTEN: Final = (
    _SOP_INSTANCE_UID,
    _PATIENT_NAME,
    _PATIENT_ID,
    _PATIENT_IDENTITY_REMOVED,
    _DEIDENTIFICATION_METHOD,
    _DEIDENTIFICATION_METHOD_CODE_SEQUENCE,
    _STUDY_INSTANCE_UID,
    _SERIES_INSTANCE_UID,
    _LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED,
)
"""Attributes that are written anew, whatever was there."""

_REFERENCED_STUDY_SEQUENCE: Final = 0x00081110
"""X/Z: optional in the General Study module, where an empty one is invalid, so that it goes; of
type 2 where a request refers to a study, deeper down, so that it is emptied there."""

_EXPLICIT: Final = Encoding(implicit=False, little=True)
_UID: Final = re.compile(r"[0-9]+(\.[0-9]+){1,31}", flags=re.ASCII)
_LONGEST_UID: Final = 64
_NEEDED: Final = {
    _STUDY_INSTANCE_UID: "StudyInstanceUID",
    _SERIES_INSTANCE_UID: "SeriesInstanceUID",
    _SOP_INSTANCE_UID: "SOPInstanceUID",
    _SOP_CLASS_UID: "SOPClassUID",
}


@dataclass(frozen=True, slots=True)
class DeidentifyOptions:
    """What may be chosen.

    Attributes
    ----------
    dummy_text
        What stands for a text where the table wants a dummy: 1 to 16 printable ASCII characters,
        no backslash, which separates values.

    Raises
    ------
    DeidentificationError
        If the text is none of that.
    """

    dummy_text: str = "**.**"

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[\x20-\x5b\x5d-\x7e]{1,16}", self.dummy_text):
            raise DeidentificationError(
                None, "the dummy text: expected 1 to 16 printable ASCII characters, no backslash"
            )


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What came of an object.

    Attributes
    ----------
    data
        The whole file.
    header
        The header as it came, with all that identifies the patient.
    PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, SOPClassUID
        As they are now.
    counts
        How many elements there were for each action, in the table's codes: X, Z, D, U; ``set`` for
        what is written anew.
    """

    data: bytes
    header: Header
    PatientID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    counts: Mapping[str, int]


class Deidentifier:
    """PS3.15 Annex E, Basic Application Level Confidentiality Profile.

    Thread safe. De-identifying again what this de-identified gives the same bytes.

    Parameters
    ----------
    secret
        What pseudonyms are made from.
    options
        What may be chosen.
    """

    def __init__(self, secret: Secret, options: DeidentifyOptions | None = None) -> None:
        self.pseudonyms = Pseudonyms(secret)
        self._options = options or DeidentifyOptions()
        self._profile = basic_profile()
        self._top = {**self._profile.actions, **dict.fromkeys(_WRITTEN, Action.SET)}
        del self._top[_REFERENCED_STUDY_SEQUENCE]
        self._replacements: dict[Encoding, Replacements] = {}
        self._marks: dict[Encoding, dict[int, bytes]] = {}

    def deidentify(self, data: bytes) -> Deidentified:
        """Return a file without its identity; pixel data is passed on as it is.

        Parameters
        ----------
        data
            A file of any transfer syntax.

        Raises
        ------
        DeidentificationError
            If it is malformed, or lacks what tells objects apart: such a file must not be stored.
        """
        try:
            return self._deidentified(read_header(data))
        except MalformedFile as error:
            reason = f"at byte {error.offset}: {error.reason}"
            raise DeidentificationError(error.tag, reason) from None

    def _deidentified(self, header: Header) -> Deidentified:
        uids = {tag: header.text(tag) for tag in _NEEDED}
        _check(uids, header.TransferSyntaxUID)
        patient = self.pseudonyms.patient(
            header.PatientID,
            header.text(_ISSUER_OF_PATIENT_ID),
            header.text(_PATIENT_NAME),
            header.text(_PATIENT_BIRTH_DATE),
            uids[_STUDY_INSTANCE_UID],
        )
        study = self.pseudonyms.uid(uids[_STUDY_INSTANCE_UID])
        series = self.pseudonyms.uid(uids[_SERIES_INSTANCE_UID])
        instance = self.pseudonyms.uid(uids[_SOP_INSTANCE_UID])

        encoding = header.encoding
        written = self._marks_of(encoding)
        for tag, vr, text in (
            (_PATIENT_NAME, b"PN", patient),
            (_PATIENT_ID, b"LO", patient),
            (_STUDY_INSTANCE_UID, b"UI", study),
            (_SERIES_INSTANCE_UID, b"UI", series),
            (_SOP_INSTANCE_UID, b"UI", instance),
        ):
            written[tag] = encode_element(tag, vr, text.encode("ascii"), encoding)
        rewriting = Rewriting(
            header.data, self._profile, self._replacements_of(encoding), self.pseudonyms
        )
        body = rewriting.data_set(header.all_elements, self._top, written)
        parts: list[Part] = [
            _beginning(uids[_SOP_CLASS_UID], instance, header.TransferSyntaxUID),
            *(_deflated(body) if encoding.deflated else body),
        ]
        return Deidentified(
            data=b"".join(parts),
            header=header,
            PatientID=patient,
            StudyInstanceUID=study,
            SeriesInstanceUID=series,
            SOPInstanceUID=instance,
            SOPClassUID=uids[_SOP_CLASS_UID],
            counts={code: rewriting.counts[action] for action, code in CODES.items()},
        )

    def _replacements_of(self, encoding: Encoding) -> Replacements:
        found = self._replacements.get(encoding)
        if found is None:
            found = Replacements(encoding, self._options.dummy_text)
            self._replacements[encoding] = found
        return found

    def _marks_of(self, encoding: Encoding) -> dict[int, bytes]:
        """Return what says that and how an object was de-identified (PS3.15 E.1.1, item 6)."""
        found = self._marks.get(encoding)
        if found is None:
            method = f"Preread, Basic Profile, PS3.15 E {self._profile.edition.split(',')[0]}"
            marks = {
                _PATIENT_IDENTITY_REMOVED: (b"CS", b"YES"),
                _DEIDENTIFICATION_METHOD: (b"LO", method.encode("ascii")),
                _DEIDENTIFICATION_METHOD_CODE_SEQUENCE: (b"SQ", _method_code(encoding)),
                _LONGITUDINAL_TEMPORAL_INFORMATION_MODIFIED: (b"CS", b"REMOVED"),
            }
            found = {
                tag: encode_element(tag, vr, value, encoding) for tag, (vr, value) in marks.items()
            }
            self._marks[encoding] = found
        return dict(found)


def _check(uids: Mapping[int, str], transfer_syntax: str) -> None:
    """Refuse what Orthanc could not file, or what would be passed on without being a UID.

    The instance's own UIDs are replaced whatever they are.
    """
    for tag, keyword in _NEEDED.items():
        if not uids[tag]:
            raise DeidentificationError(tag, f"{keyword} is missing")
    for tag, uid in ((_SOP_CLASS_UID, uids[_SOP_CLASS_UID]), (0x00020010, transfer_syntax)):
        if len(uid) > _LONGEST_UID or not _UID.fullmatch(uid):
            raise DeidentificationError(tag, "expected a UID (PS3.5 section 9)")
    if uids[_SOP_CLASS_UID] == uids[_SOP_INSTANCE_UID]:
        raise DeidentificationError(_SOP_CLASS_UID, "it repeats the SOPInstanceUID")


def _method_code(encoding: Encoding) -> bytes:
    """Return the item of DeidentificationMethodCodeSequence (PS3.16 CID 7050)."""
    code = b"".join(
        encode_element(tag, vr, value, encoding)
        for tag, vr, value in (
            (0x00080100, b"SH", b"113100"),
            (0x00080102, b"SH", b"DCM"),
            (0x00080104, b"LO", b"Basic Application Confidentiality Profile"),
        )
    )
    return struct.pack(encoding.order + "HHI", 0xFFFE, 0xE000, len(code)) + code


def _beginning(sop_class: str, sop_instance: str, transfer_syntax: str) -> bytes:
    """Return preamble and file meta information, which keep nothing of what was there."""
    body = b"".join(
        encode_element(tag, vr, value, _EXPLICIT)
        for tag, vr, value in (
            (0x00020001, b"OB", b"\0\1"),
            (0x00020002, b"UI", sop_class.encode("ascii")),
            (0x00020003, b"UI", sop_instance.encode("ascii")),
            (0x00020010, b"UI", transfer_syntax.encode("ascii")),
            (0x00020012, b"UI", IMPLEMENTATION_CLASS_UID.encode("ascii")),
            (0x00020013, b"SH", IMPLEMENTATION_VERSION_NAME.encode("ascii")),
        )
    )
    length = encode_element(0x00020000, b"UL", struct.pack("<I", len(body)), _EXPLICIT)
    return b"".join((bytes(128), b"DICM", length, body))


def _deflated(parts: list[Part]) -> list[Part]:
    engine = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    deflated: list[Part] = [engine.compress(part) for part in parts]
    deflated.append(engine.flush())
    if sum(map(len, deflated)) & 1:
        deflated.append(b"\0")  # PS3.5 A.5
    return deflated
