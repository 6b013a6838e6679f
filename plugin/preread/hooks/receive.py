"""The receive hook: what arrives is de-identified before Orthanc stores it, or is refused.

Orthanc stores the original and answers Success when this callback raises, so nothing may escape
from it. What cannot be made safe is replaced by bytes that are not DICOM: Orthanc then answers
0xA700 to a C-STORE and 400 to a REST upload, and the sender keeps its image.
"""

from __future__ import annotations

import orthanc

from preread.deidentify import Deidentifier
from preread.elements import Header, ResourceIds, read_header, resource_ids
from preread.hooks.announcements import Announcement, Announcements
from preread.hooks.deletions import Deletions
from preread.hooks.failures import Failures
from preread.hooks.inflight import InFlight
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal
from preread.models.catalogue import Catalogue
from preread.settings import Mode

Verdict = tuple[orthanc.ReceivedInstanceAction, bytes | None]

_KEEP: Verdict = (orthanc.ReceivedInstanceAction.KEEP_AS_IS, None)
_DISCARD: Verdict = (orthanc.ReceivedInstanceAction.DISCARD, None)
# Made before it is needed: a refusal must work when there is no memory left.
_REFUSE: Verdict = (
    orthanc.ReceivedInstanceAction.MODIFY,
    b"Preread refused this object; see /preread/failures and Orthanc's log.",
)
_WAIT_FOR_OWN_WRITE = 1.0  # seconds; this hook is serialised, so a wait holds up every sender

_ORIGINS = {
    orthanc.InstanceOrigin.DICOM_PROTOCOL: "C-STORE",
    orthanc.InstanceOrigin.REST_API: "REST",
    orthanc.InstanceOrigin.PLUGIN: "a plugin (STOW-RS)",
    orthanc.InstanceOrigin.LUA: "Lua",
    orthanc.InstanceOrigin.WEB_DAV: "WebDAV",
}


def arrival_of(
    ids: ResourceIds, uids: Header, header: Header, catalogue: Catalogue, mode: Mode
) -> Arrival:
    """Decide what has to be read of an object, from its original header.

    Parameters
    ----------
    ids
        Orthanc's ids of the object as it will be stored.
    uids
        The header as it will be stored, for its UIDs.
    header
        The header as it came: StudyDescription is gone a moment later.
    """
    choice = catalogue.choose(header)
    return Arrival(
        instance=ids.instance,
        series=ids.series,
        study=ids.study,
        patient=ids.patient,
        SOPInstanceUID=uids.SOPInstanceUID,
        SeriesInstanceUID=uids.SeriesInstanceUID,
        StudyInstanceUID=uids.StudyInstanceUID,
        SOPClassUID=header.SOPClassUID,
        Modality=header.Modality,
        models=choice.models,
        fingerprint=catalogue.fingerprint(choice.models),
        reason=choice.reason,
        body_parts=choice.body_parts,
        work=bool(choice.models) or mode is Mode.COPY,
    )
