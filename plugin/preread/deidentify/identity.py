"""Who and what an object is after de-identification, told from its header as it came."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import lru_cache
from typing import Final, NamedTuple

from preread.deidentify.dates import DateShift, shift_of
from preread.deidentify.errors import DeidentificationError
from preread.deidentify.options import Option
from preread.deidentify.pseudonyms import Pseudonyms
from preread.deidentify.secret import Secret
from preread.deidentify.study_patients import StudyPatients
from preread.deidentify.values import valid_uid
from preread.elements import Encoding, Header, encode_element

_TRANSFER_SYNTAX_UID: Final = 0x00020010
_SOP_CLASS_UID: Final = 0x00080016
_SOP_INSTANCE_UID: Final = 0x00080018
_PATIENT_NAME: Final = 0x00100010
_PATIENT_ID: Final = 0x00100020
_ISSUER_OF_PATIENT_ID: Final = 0x00100021
_PATIENT_BIRTH_DATE: Final = 0x00100030
_STUDY_INSTANCE_UID: Final = 0x0020000D
_SERIES_INSTANCE_UID: Final = 0x0020000E

IDENTITY: Final = (
    _SOP_CLASS_UID,
    _SOP_INSTANCE_UID,
    _PATIENT_NAME,
    _PATIENT_ID,
    _STUDY_INSTANCE_UID,
    _SERIES_INSTANCE_UID,
)
"""What `Identity.encoded` gives, whatever was there."""

_MOST_SHARED: Final = 256  # that are remembered, for as long as this process runs

_NEEDED: Final = {
    _STUDY_INSTANCE_UID: "StudyInstanceUID",
    _SERIES_INSTANCE_UID: "SeriesInstanceUID",
    _SOP_INSTANCE_UID: "SOPInstanceUID",
    _SOP_CLASS_UID: "SOPClassUID",
}


class Identity(NamedTuple):
    """Who and what an object is from now on.

    Attributes
    ----------
    patient
        PatientID, and PatientName.
    study, series, instance, sop_class
        The UIDs.
    was_ours
        Whether this key had de-identified it before.
    shift
        How far its dates move.
    """

    patient: str
    study: str
    series: str
    instance: str
    sop_class: str
    was_ours: bool
    shift: DateShift

    def encoded(self, encoding: Encoding) -> Iterator[tuple[int, bytes]]:
        """Give the attributes that say so, each as a tag and the whole element."""
        for tag, vr, text in (
            (_SOP_CLASS_UID, b"UI", self.sop_class),
            (_PATIENT_NAME, b"PN", self.patient),
            (_PATIENT_ID, b"LO", self.patient),
            (_STUDY_INSTANCE_UID, b"UI", self.study),
            (_SERIES_INSTANCE_UID, b"UI", self.series),
            (_SOP_INSTANCE_UID, b"UI", self.instance),
        ):
            yield tag, encode_element(tag, vr, text.encode("ascii"), encoding)


class Identities:
    """Gives objects their identity.

    Parameters
    ----------
    secret
        What pseudonyms are made from.
    options
        Whether UIDs stay, and whether dates move.
    patients
        As for `Deidentifier`.
    """

    def __init__(
        self, secret: Secret, options: frozenset[Option], patients: StudyPatients | None
    ) -> None:
        self.pseudonyms = Pseudonyms(secret)
        # The slices of a series have them in common, one after the other.
        self._shared_uid = lru_cache(_MOST_SHARED)(self.pseudonyms.uid)
        self._patient = lru_cache(_MOST_SHARED)(self.pseudonyms.patient)
        self._dates = secret.derive("dates")
        self._patients = patients
        self._retains_uids = Option.RETAIN_UIDS in options
        self._moves_dates = Option.RETAIN_LONGITUDINAL_MODIFIED_DATES in options

    def of(self, header: Header) -> Identity:
        """Return the identity of an object.

        Raises
        ------
        DeidentificationError
            If it lacks what tells objects apart, or would have a UID that is none.
        """
        uids = {tag: header.text(tag) for tag in _NEEDED}
        _check(uids, header.TransferSyntaxUID)
        patient = self._patient(
            header.PatientID,
            header.text(_ISSUER_OF_PATIENT_ID),
            header.text(_PATIENT_NAME),
            header.text(_PATIENT_BIRTH_DATE),
            uids[_STUDY_INSTANCE_UID],
        )
        identifier = header.PatientID.strip()
        known = patient in (identifier, header.text(_PATIENT_NAME).strip())
        if self._patients is not None and identifier and not known:
            study = self._shared_uid(uids[_STUDY_INSTANCE_UID])
            patient = self._patients.patient(study, identifier, patient)
        moves = self._moves_dates and not known
        return Identity(
            patient=patient,
            study=self._uid(uids[_STUDY_INSTANCE_UID], self._shared_uid),
            series=self._uid(uids[_SERIES_INSTANCE_UID], self._shared_uid),
            instance=self._uid(uids[_SOP_INSTANCE_UID], self.pseudonyms.uid),
            sop_class=uids[_SOP_CLASS_UID],
            was_ours=known,
            shift=shift_of(self._dates, patient) if moves else DateShift(0),
        )

    def are_ours(self, header: Header) -> bool:
        """Tell whether patient and instance bear names of this key.

        The PatientID says so, which nobody without the key can make, and the SOPInstanceUID where
        UIDs are not retained.
        """
        return self.pseudonyms.is_ours_patient(header.PatientID) and (
            self._retains_uids or self.pseudonyms.is_ours_uid(header.SOPInstanceUID)
        )

    def _uid(self, original: str, pseudonym: Callable[[str], str]) -> str:
        if self._retains_uids and valid_uid(original):
            return original
        return pseudonym(original)


def _check(uids: Mapping[int, str], transfer_syntax: str) -> None:
    """Refuse what Orthanc could not file, or what would be passed on without being a UID.

    The instance's own UIDs are replaced whatever they are.
    """
    for tag, keyword in _NEEDED.items():
        if not uids[tag]:
            raise DeidentificationError(tag, f"{keyword} is missing")
    sop_class = uids[_SOP_CLASS_UID]
    for tag, uid in ((_SOP_CLASS_UID, sop_class), (_TRANSFER_SYNTAX_UID, transfer_syntax)):
        if not valid_uid(uid):
            raise DeidentificationError(tag, "expected a UID (PS3.5 section 9)")
    if sop_class == uids[_SOP_INSTANCE_UID]:
        raise DeidentificationError(_SOP_CLASS_UID, "it repeats the SOPInstanceUID")
