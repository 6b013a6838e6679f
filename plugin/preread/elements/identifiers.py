"""Orthanc's own identifiers: SHA-1 over the DICOM identifiers of a resource."""

from __future__ import annotations

import hashlib
import re
from typing import Final, NamedTuple

_FORM: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{8}){4}")


class ResourceIds(NamedTuple):
    """Orthanc's ids of an instance and of its parents."""

    instance: str
    series: str
    study: str
    patient: str


def is_orthanc_id(text: str) -> bool:
    """Tell whether a text has the form of Orthanc's identifiers.

    >>> is_orthanc_id("0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d-0a1b2c3d")
    True
    """
    return _FORM.fullmatch(text) is not None


def orthanc_id(*identifiers: str) -> str:
    """Return Orthanc's id of a resource.

    Parameters
    ----------
    identifiers
        PatientID, then StudyInstanceUID, SeriesInstanceUID and SOPInstanceUID as far down as the
        resource lies; they are stripped of padding, as Orthanc does.

    >>> orthanc_id("ozp00SjY2xG")
    '6816cb19-844d5aee-85245eba-28e841e6-2414fae2'
    """
    text = "|".join(identifier.strip(" \0") for identifier in identifiers)
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


def resource_ids(
    PatientID: str,  # noqa: N803 - the standard's own keyword, as the following ones
    StudyInstanceUID: str,  # noqa: N803
    SeriesInstanceUID: str,  # noqa: N803
    SOPInstanceUID: str,  # noqa: N803
) -> ResourceIds:
    """Return Orthanc's ids of an instance and of all its parents."""
    return ResourceIds(
        orthanc_id(PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID),
        orthanc_id(PatientID, StudyInstanceUID, SeriesInstanceUID),
        orthanc_id(PatientID, StudyInstanceUID),
        orthanc_id(PatientID),
    )
