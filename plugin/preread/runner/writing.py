"""What becomes of the predictions: into the instance, beside it, or into a de-identified copy."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from preread.archive.announcing import Announcer
from preread.archive.pacs import Pacs, Refused, Stored, StoreOutcome, Superseded
from preread.elements import Header, read_header, resource_ids
from preread.findings.prediction import Prediction
from preread.results import derived_instance, with_predictions
from preread.runner.work import Work
from preread.settings import Mode, Placement

_PURPOSE = "predictions"


@dataclass(frozen=True, slots=True)
class Unread:
    """Nothing was stored, and another try would not change that.

    Attributes
    ----------
    reason
        Why.
    """

    reason: str


class Deidentified(Protocol):
    """What de-identification made of a file."""

    @property
    def data(self) -> bytes:
        """The new file."""
        ...

    @property
    def SOPInstanceUID(self) -> str:  # noqa: N802 - the standard's own keyword
        """Its new SOPInstanceUID."""
        ...


class Deidentifies(Protocol):
    """What makes a de-identified copy; `preread.deidentify.Deidentifier` does."""

    def deidentify(self, data: bytes, /) -> Deidentified:
        """De-identify a file."""
        ...

    def has_made(self, header: Header, /) -> bool:
        """Tell whether an object was de-identified with this site's key."""
        ...


class DerivesUids(Protocol):
    """What gives derived objects their UIDs; `preread.deidentify.Pseudonyms` does."""

    def derived_uid(self, uid: str, purpose: str, /) -> str:
        """Return the UID of what is derived from the object of a UID, the same each time."""
        ...


class Writer:
    """Makes the result of an image and stores it in Orthanc.

    Parameters
    ----------
    pacs
        Orthanc.
    announcer
        Signs what is stored next.
    mode, placement
        As the site has set them.
    deidentifier
        Makes the copies of mode ``copy``; tells what may be changed in mode ``incoming``.
    uids
        For placement ``derived``.
    """

    def __init__(
        self,
        pacs: Pacs,
        announcer: Announcer,
        *,
        mode: Mode,
        placement: Placement,
        deidentifier: Deidentifies,
        uids: DerivesUids,
    ) -> None:
        self._pacs = pacs
        self._announcer = announcer
        self._mode = mode
        self._placement = placement
        self._deidentifier = deidentifier
        self._uids = uids

    def write(self, work: Work) -> StoreOutcome | Unread:
        """Store the result of an image that is read (or, in mode ``copy``, need not be).

        Doing this again does no harm: one result takes the place of the other.

        Raises
        ------
        preread.archive.pacs.PacsError
            If Orthanc does not answer or fails.
        preread.errors.PrereadError
            If the result cannot be made of this file.
        """
        if self._mode is Mode.INCOMING and not self._deidentifier.has_made(read_header(work.data)):
            # Stored before Preread came, or while another mode was set: it has its identity.
            return Unread("this node did not de-identify it and leaves it as it is; send it again")
        if self._mode is not Mode.COPY:
            if not work.predictions:
                return Unread("no model applies")
            if self._placement is Placement.IN_PLACE:
                return self._in_place(work)
            return self._beside(work, self._derived(work.data, work.predictions))
        copy = self._deidentifier.deidentify(work.data)
        if copy.SOPInstanceUID == read_header(work.data).SOPInstanceUID:
            return Unread("it was de-identified with this site's key before it came")
        return self._beside(work, with_predictions(copy.data, work.predictions))

    def _derived(self, data: bytes, predictions: Sequence[Prediction]) -> bytes:
        header = read_header(data)
        return derived_instance(
            data,
            predictions,
            SeriesInstanceUID=self._uids.derived_uid(header.SeriesInstanceUID, _PURPOSE),
            SOPInstanceUID=self._uids.derived_uid(header.SOPInstanceUID, _PURPOSE),
        )

    def _in_place(self, work: Work) -> StoreOutcome:
        data = with_predictions(work.data, work.predictions)
        if not self._pacs.exists(work.job.instance):
            return Superseded()
        return self._store(work, work.job.instance, data)

    def _beside(self, work: Work, data: bytes) -> StoreOutcome | Unread:
        """Store another instance, in place of what an earlier run has stored."""
        if not self._pacs.exists(work.job.instance):
            return Superseded()
        if self._mode is not Mode.COPY and _instance_of(work.data) != work.job.instance:
            # Orthanc reads its PatientID in another way than we do, and would file the result
            # under an id that nobody announced.
            return Unread("its identifiers are in a character set in which results cannot be filed")
        instance = _instance_of(data)
        if instance == work.job.instance:
            return Refused("the result would replace the original; it was not stored")
        # Without OverwriteInstances Orthanc would keep the old one.
        if self._pacs.exists(instance):
            self._pacs.delete(instance)
        return self._store(work, instance, data)

    def _store(self, work: Work, instance: str, data: bytes) -> StoreOutcome:
        job = work.job
        self._pacs.announce(
            self._announcer.announcement(instance, job.instance, job.generation, data)
        )
        outcome = self._pacs.store(data)
        if isinstance(outcome, Stored) and outcome.instance != instance:
            return Refused("Orthanc stored the result under another id than it was announced with")
        return outcome


def _instance_of(data: bytes) -> str:
    header = read_header(data)
    return resource_ids(
        header.PatientID,
        header.StudyInstanceUID,
        header.SeriesInstanceUID,
        header.SOPInstanceUID,
    ).instance
