"""What has to be done with an object that arrives, told from its header."""

from __future__ import annotations

from typing import Protocol

from preread.deidentify.vrs import known_modality
from preread.elements import Header, ResourceIds, resource_ids
from preread.ledger.arrival import Arrival
from preread.models.catalogue import Catalogue
from preread.settings import Mode


class Identified(Protocol):
    """What tells objects apart: the original's header, or what de-identification made of it."""

    @property
    def PatientID(self) -> str: ...  # noqa: N802, D102 - the standard's own keywords
    @property
    def StudyInstanceUID(self) -> str: ...  # noqa: N802, D102
    @property
    def SeriesInstanceUID(self) -> str: ...  # noqa: N802, D102
    @property
    def SOPInstanceUID(self) -> str: ...  # noqa: N802, D102


def ids_of(identified: Identified) -> ResourceIds:
    """Return Orthanc's ids of an object and of its parents."""
    return resource_ids(
        identified.PatientID,
        identified.StudyInstanceUID,
        identified.SeriesInstanceUID,
        identified.SOPInstanceUID,
    )


def arrival_of(
    ids: ResourceIds, stored: Identified, header: Header, catalogue: Catalogue, mode: Mode
) -> Arrival:
    """Decide what has to be read of an object, from its original header.

    Parameters
    ----------
    ids
        Orthanc's ids of the object as it will be stored.
    stored
        Its identifiers as they will be stored.
    header
        The header as it came: StudyDescription is gone a moment later.
    """
    choice = catalogue.choose(header)
    return Arrival(
        instance=ids.instance,
        series=ids.series,
        study=ids.study,
        patient=ids.patient,
        SOPInstanceUID=stored.SOPInstanceUID,
        SeriesInstanceUID=stored.SeriesInstanceUID,
        StudyInstanceUID=stored.StudyInstanceUID,
        SOPClassUID=header.SOPClassUID,
        Modality=known_modality(header.Modality),
        models=choice.models,
        fingerprint=catalogue.fingerprint(choice.models),
        reason=choice.reason,
        body_parts=choice.body_parts,
        work=bool(choice.models) or mode is Mode.COPY,
    )
