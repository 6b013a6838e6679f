"""Whose a new object is: patient and study of the image beside which it will lie."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

_OF_PATIENT_AND_STUDY: Final = (
    "PatientName",
    "PatientID",
    "IssuerOfPatientID",
    "PatientBirthDate",
    "PatientSex",
    "PatientAge",
    "PatientIdentityRemoved",
    "DeidentificationMethodCodeSequence",
    "LongitudinalTemporalInformationModified",
    "SyntheticData",
    "StudyDate",
    "StudyTime",
    "StudyID",
    "StudyDescription",
    "AccessionNumber",
    "ReferringPhysicianName",
)


def copy_patient_and_study(target: Dataset, source: Dataset) -> None:
    """Take over what objects of one study share, with what is on record of de-identification."""
    for keyword in _OF_PATIENT_AND_STUDY:
        if keyword in source:
            target[keyword] = source[keyword]
    # Its texts may hold a seal over other pixels; the codes are enough where they are.
    if "DeidentificationMethod" in source and "DeidentificationMethodCodeSequence" not in source:
        target["DeidentificationMethod"] = source["DeidentificationMethod"]
