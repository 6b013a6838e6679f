"""What happens after Orthanc has stored, overwritten or deleted an instance."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import orthanc

from preread.arriving import ids_of
from preread.elements import MalformedFile, read_header
from preread.errors import PrereadError
from preread.hooks import log
from preread.hooks.deletions import Deletions
from preread.hooks.inflight import Busy, InFlight
from preread.hooks.passed import Passed
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal

_TICK = 0.25
_DELETE_WAITS = 2.0


class StoredInstance:
    """Orthanc's OnStoredInstance callback: one row in the journal, before the sender's answer.

    Parameters
    ----------
    journal
        The hooks' local record.
    inflight
        Tells which of the stores are results of our own.
    look_at
        Decides what has to be read of a file; for objects that the receive hook could not
        foresee (a PatientID in an exotic character set gives another id than it computed).
    passed
        What the receive hook let pass; None where originals are stored as they come.
    escaped
        Called with Orthanc's id and the origin of what it did not let pass. It is never read.
    unread
        Called with Orthanc's id, the origin and the fault of an original that we cannot read.
    """

    def __init__(
        self,
        journal: Journal,
        inflight: InFlight,
        look_at: Callable[[bytes, str], Arrival],
        passed: Passed | None = None,
        escaped: Callable[[str, orthanc.InstanceOrigin], None] = lambda *_: None,
        unread: Callable[[str, orthanc.InstanceOrigin, PrereadError], None] = lambda *_: None,
    ) -> None:
        self._journal = journal
        self._inflight = inflight
        self._look_at = look_at
        self._passed = passed
        self._escaped = escaped
        self._unread = unread

    def __call__(self, dicom: orthanc.DicomInstance, instance: str) -> None:
        """Make the work of a foreign arrival pending.

        A failure leaves the row that the receive hook made: the reconciliation finds it.
        """
        try:
            if self._passed is not None:
                self._watched(self._passed, dicom, instance)
                return
            if self._inflight.end(instance):
                return
            if self._journal.current(instance) is None:
                try:
                    arrival = self._look_at(dicom.GetInstanceData(), instance)
                except MalformedFile as error:
                    self._unread(instance, dicom.GetInstanceOrigin(), error)
                    return
                self._journal.arrive(arrival)
            self._journal.stored(instance)
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            words = str(error) if isinstance(error, PrereadError) else type(error).__name__
            log.error(f"{instance} is stored but not yet queued: {words}")

    def _watched(self, passed: Passed, dicom: orthanc.DicomInstance, instance: str) -> None:
        """Take what the receive hook let pass; report what it did not."""
        own = self._inflight.end(instance)
        size = dicom.GetInstanceSize()
        passage = passed.take(instance, size)
        if own or (passage is not None and passage.own):
            self._journal.watch.own(instance)
            return
        if passage is None:
            if passed.take(_foreseen(dicom), size) is None:
                self._escaped(instance, dicom.GetInstanceOrigin())
                return
            self._journal.arrive(self._look_at(dicom.GetInstanceData(), instance))
        self._journal.stored(instance)


def _foreseen(dicom: orthanc.DicomInstance) -> str:
    """Return the id that the receive hook computed for a file; empty if it cannot be told."""
    try:
        return ids_of(read_header(dicom.GetInstanceData())).instance
    except BaseException as error:  # noqa: BLE001 - with no memory left it has escaped all the more
        log.warning(f"a stored file cannot be looked at: {type(error).__name__}")
        return ""


class Changes:
    """Orthanc's OnChange callback, and the thread that settles what it leaves open.

    Parameters
    ----------
    deletions
        What was deleted lately.
    on_started, on_stopped
        Called once each, when Orthanc has started and when it is about to stop.
    """

    def __init__(
        self, deletions: Deletions, on_started: Callable[[], None], on_stopped: Callable[[], None]
    ) -> None:
        self._deletions = deletions
        self._on_started = on_started
        self._on_stopped = on_stopped
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._settle, name="preread-settle", daemon=True)

    def __call__(
        self, change: orthanc.ChangeType, level: orthanc.ResourceType, resource: str
    ) -> None:
        """Take one change; most are none of ours."""
        try:
            self._take(change, level, resource)
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"a change was not handled: {type(error).__name__}")

    def _take(self, change: orthanc.ChangeType, level: orthanc.ResourceType, resource: str) -> None:
        if change == orthanc.ChangeType.DELETED:
            if level == orthanc.ResourceType.INSTANCE:
                self._deletions.deleted(resource)
        elif change == orthanc.ChangeType.NEW_INSTANCE:
            self._deletions.created(resource)
        elif change == orthanc.ChangeType.ORTHANC_STARTED:
            self._thread.start()
            self._on_started()
        elif change == orthanc.ChangeType.ORTHANC_STOPPED:
            self._stopping.set()
            self._on_stopped()
            self._settle_once(at_once=True)

    def _settle(self) -> None:
        while not self._stopping.wait(_TICK):
            self._settle_once()

    def _settle_once(self, *, at_once: bool = False) -> None:
        try:
            self._deletions.settle(at_once=at_once)
        except Exception as error:  # noqa: BLE001 - the thread must go on
            log.error(f"a deletion was not written down: {type(error).__name__}")


class DeleteFilter:
    """Orthanc's incoming HTTP filter: sees a DELETE before it is carried out, allows everything.

    Parameters
    ----------
    deletions
        Where the request is noted.
    inflight
        A result that is just being stored is let in first, so that it is deleted with the rest.
    """

    def __init__(self, deletions: Deletions, inflight: InFlight) -> None:
        self._deletions = deletions
        self._inflight = inflight

    def __call__(self, uri: str, **request: Any) -> bool:
        """Note the deletion; who may call what is Orthanc's own business."""
        try:
            if request.get("method") == orthanc.HttpMethod.DELETE:
                resource = self._deletions.request(uri)
                if resource is not None:
                    self._inflight.wait_for(resource, _DELETE_WAITS)
        except Busy:
            log.warning("a result may be stored again after its deletion; delete it once more")
        except BaseException as error:  # noqa: BLE001 - nothing may escape into Orthanc
            log.error(f"an HTTP request was not looked at: {type(error).__name__}")
        return True
