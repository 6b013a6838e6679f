"""Storage commitment (PS3.4 Annex J) where objects are stored under other UIDs than they came with.

A sender asks for what it sent. Orthanc looks for those UIDs, which nothing here bears, and would
answer that nothing is stored; the pseudonym of a UID can be computed, and is looked for instead.
"""

from __future__ import annotations

from collections.abc import Sequence

import orthanc

from preread.deidentify import Pseudonyms
from preread.hooks import log


class Commitment:
    """Answers for the objects of one site.

    What is held until its pixels are clean, or is in quarantine, is not stored, and so not
    committed.

    Parameters
    ----------
    pseudonyms
        Give the UID that an object is stored under.
    """

    def __init__(self, pseudonyms: Pseudonyms) -> None:
        self._pseudonyms = pseudonyms

    def register(self) -> bool:
        """Have Orthanc ask us; False where its Python plugin (before 4.1) cannot."""
        callback = getattr(orthanc, "RegisterStorageCommitmentScpCallback", None)
        if callback is None:
            return False
        callback(self.begin, self.look)
        return True

    def begin(
        self,
        _job: str,
        _transaction: str,
        _classes: Sequence[str],
        _instances: Sequence[str],
        _remote: str,
        _called: str,
    ) -> None:
        """Take a request; nothing is kept of it."""

    def look(
        self, sop_class: str, sop_instance: str, _request: object
    ) -> orthanc.StorageCommitmentFailureReason:
        """Answer for one object, by the UIDs that its sender knows or by its own.

        Returns
        -------
        orthanc.StorageCommitmentFailureReason
            ``SUCCESS``, or the reason that stands in FailedSOPSequence (PS3.3 C.14.1.1).
        """
        reasons = orthanc.StorageCommitmentFailureReason
        try:
            instance = self._stored(sop_instance)
            if not instance:
                return reasons.NO_SUCH_OBJECT_INSTANCE
            found = orthanc.RestApiGet(f"/instances/{instance}/metadata/SopClassUid")
        except orthanc.OrthancException:
            return reasons.NO_SUCH_OBJECT_INSTANCE
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"storage commitment: unexpected {type(error).__name__}")
            return reasons.PROCESSING_FAILURE
        is_it = found.decode("ascii", "replace").strip() == sop_class
        return reasons.SUCCESS if is_it else reasons.CLASS_INSTANCE_CONFLICT

    def _stored(self, uid: str) -> str | None:
        """Return Orthanc's id of what stands for a UID, or bears it since before Preread came."""
        for known in dict.fromkeys((self._pseudonyms.uid(uid), uid.strip(" \0"))):
            instance = orthanc.LookupInstance(known)
            if instance:
                return instance
        return None
