"""Storing an object of our own beside images, announced and filed where it was announced."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from io import BytesIO
from typing import TYPE_CHECKING

from preread.archive.pacs import Kept, Pacs, PacsRefusedError, Refused, Superseded
from preread.elements import read_header, resource_ids
from preread.ledger.stored import ObjectIdentity

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.archive.announcing import Announcer


class Depositor:
    """Stores one object after the other.

    Parameters
    ----------
    pacs
        Orthanc.
    announcer
        Signs what is stored next.
    keeps_bytes
        Whether Orthanc stores files as they are sent: it may be set to transcode them.
    """

    def __init__(self, pacs: Pacs, announcer: Announcer, *, keeps_bytes: bool = True) -> None:
        self._pacs = pacs
        self._announcer = announcer
        self._keeps_bytes = keeps_bytes

    def deposit(
        self, dataset: Dataset, source: str, generation: int
    ) -> ObjectIdentity | Superseded:
        """Store an object in place of an earlier one of the same UIDs.

        Parameters
        ----------
        dataset
            With file meta information.
        source, generation
            Orthanc's id of an image that it tells of, and the arrival that was looked at: of
            another one the object is discarded.

        Returns
        -------
        ObjectIdentity or Superseded
            With the SHA-256 of the file.

        Raises
        ------
        preread.archive.pacs.PacsError
            If Orthanc does not answer, fails, or does not take it.
        """
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return self.deposit_file(file.getvalue(), source, generation)

    def deposit_file(
        self, data: bytes, source: str, generation: int
    ) -> ObjectIdentity | Superseded:
        """Store the bytes of an object; see `deposit`."""
        place = identity_of(data)
        if self._pacs.exists(place.instance):
            self._pacs.delete(place.instance)
        self._pacs.announce(self._announcer.announcement(place.instance, source, generation, data))
        outcome = self._pacs.store(data)
        if isinstance(outcome, Superseded):
            return outcome
        if isinstance(outcome, Refused):
            raise PacsRefusedError(outcome.reason)
        if isinstance(outcome, Kept) or outcome.instance != place.instance:
            raise PacsRefusedError("Orthanc did not store the object as it was announced")
        return replace(place, sha256=sha256(data).hexdigest()) if self._keeps_bytes else place

    def withdraw(self, instance: str) -> None:
        """Delete an object of ours."""
        self._pacs.delete(instance)


def identity_of(data: bytes) -> ObjectIdentity:
    """Return a file's UIDs and the id that Orthanc files it under."""
    header = read_header(data)
    uids = (header.StudyInstanceUID, header.SeriesInstanceUID, header.SOPInstanceUID)
    return ObjectIdentity(resource_ids(header.PatientID, *uids).instance, *reversed(uids))
