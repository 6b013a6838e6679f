"""The receive hook: what arrives is de-identified before Orthanc stores it, or is refused.

Orthanc stores the original and answers Success when this callback raises, so nothing may escape
from it. What cannot be made safe is replaced by bytes that are not DICOM: Orthanc then answers
0xA700 to a C-STORE and 400 to a REST upload, and the sender keeps its image.
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import orthanc

from preread.arriving import arrival_of, ids_of
from preread.deidentify import DeidentificationError, Deidentified, Deidentifier
from preread.deidentify.marks import beginning
from preread.elements import (
    Budget,
    NestedTooDeep,
    OverBudget,
    ResourceIds,
    check_nesting,
    is_shallow,
    read_header,
)
from preread.errors import PrereadError
from preread.hooks import log
from preread.hooks.announcements import Announcements
from preread.hooks.as_sent import check_answerable
from preread.hooks.cost import Allowance
from preread.hooks.deletions import Deletions
from preread.hooks.dicomweb import DicomWeb
from preread.hooks.failures import Failures
from preread.hooks.inflight import InFlight
from preread.hooks.networks import Gate, Guest, Undecided, as_stranger, as_trusted
from preread.hooks.own_results import OwnResults, UnannouncedResultError
from preread.hooks.passed import Passed, check_room
from preread.hooks.refusals import DISCARD, Refusals, Verdict
from preread.hooks.safekeeping import Safekeeping
from preread.iodeep.iod import RAW_DATA_STORAGE
from preread.iodeep.recognising import admitted, digest_of, syntax_of
from preread.iodeep.trust import STRANGER
from preread.ledger.arrival import Arrival
from preread.ledger.journal import Journal
from preread.models.catalogue import Catalogue
from preread.settings import Mode

_KEEP: Verdict = (orthanc.ReceivedInstanceAction.KEEP_AS_IS, None)
_WAIT_FOR_OWN_WRITE = 1.0  # seconds; this hook is serialised, so a wait holds up every sender

_ORIGINS = {
    orthanc.InstanceOrigin.DICOM_PROTOCOL: "C-STORE",
    orthanc.InstanceOrigin.REST_API: "REST",
    orthanc.InstanceOrigin.PLUGIN: "a plugin (STOW-RS)",
    orthanc.InstanceOrigin.LUA: "Lua",
    orthanc.InstanceOrigin.WEB_DAV: "WebDAV",
}


def sender_of(origin: orthanc.InstanceOrigin) -> str:
    """Say how an object came."""
    return _ORIGINS.get(origin, "an unknown sender")


class IdentifiedResult(PrereadError):
    """A result of ours for an image that was stored before Preread came, or in another mode."""


@dataclass(frozen=True, slots=True)
class Memory:
    """What the hooks share about stores of the last seconds."""

    announcements: Announcements
    inflight: InFlight
    deletions: Deletions
    passed: Passed = field(default_factory=Passed)


class Receiver:
    """Orthanc's ReceivedInstance callback.

    Parameters
    ----------
    mode
        What happens to the identity of an object.
    deidentifier, catalogue, journal
        The rooms that the work is done in.
    memory
        What the other hooks know.
    failures
        Where refusals are told.
    safekeeping
        Where objects are kept that Orthanc may not store, or not yet.
    gate
        Tells networks (IODeep) from images, and which of them are trusted.
    own_results
        Tells what bears the UID of a result of ours.
    dicomweb
        What a refusal costs in a STOW-RS request.
    allowance
        What may be spent on one object. What takes longer is held as it came, and comes back
        de-identified.
    """

    def __init__(
        self,
        *,
        mode: Mode,
        deidentifier: Deidentifier,
        catalogue: Catalogue,
        journal: Journal,
        memory: Memory,
        failures: Failures,
        safekeeping: Safekeeping,
        gate: Gate,
        own_results: OwnResults,
        dicomweb: DicomWeb,
        allowance: Allowance | None = None,
    ) -> None:
        self._allowance = Allowance() if allowance is None else allowance
        self._mode = mode
        self._deidentifier = deidentifier
        self._catalogue = catalogue
        self._journal = journal
        self._memory = memory
        self._failures = failures
        self._refusals = Refusals(failures, safekeeping, dicomweb)
        self._safekeeping = safekeeping
        self._gate = gate
        self._own_results = own_results

    def __call__(self, data: bytes, origin: orthanc.InstanceOrigin) -> Verdict:
        """Keep, replace or discard what arrived; every failure ends in a refusal."""
        spent = time.thread_time()
        try:
            return self._judge(data, origin)
        finally:
            self._allowance.spent(time.thread_time() - spent)

    def _judge(self, data: bytes, origin: orthanc.InstanceOrigin) -> Verdict:
        began = time.perf_counter()
        try:
            self._gate.begins()
            own = self._own_write(data, origin)
            if own is not None:
                return own
            if self._mode is Mode.INCOMING:
                return self._incoming(data, origin, began)
        except BaseException as error:  # noqa: BLE001 - what escapes would store the original
            if self._mode is Mode.INCOMING:
                return self._put_off(error, data, origin, began)
        return self._beside(data, origin, began)

    def _own_write(self, data: bytes, origin: orthanc.InstanceOrigin) -> Verdict | None:
        """Let an announced result pass, unless a newer arrival or a deletion overtook it."""
        announcements = self._memory.announcements
        if origin == orthanc.InstanceOrigin.DICOM_PROTOCOL or announcements.empty:
            return None
        arrived = announcements.match_arrival(data)
        if arrived is not None:
            self._write_down(Arrival.from_json(arrived.arrival), len(data))
            return _KEEP
        header = read_header(data, self._allowance.whole())
        ids = ids_of(header)
        announced = announcements.match(ids.instance, data)
        if announced is None:
            return None
        if self._mode is Mode.INCOMING and not self._deidentifier.has_made(header):
            raise IdentifiedResult(
                "a result for what this node did not de-identify would bear its identity; send "
                "the image again"
            )
        # Noted before it is judged: a DELETE that comes in between then waits for the store.
        self._memory.inflight.begin_own(ids.instance, frozenset(ids))
        current = self._journal.current(announced.source)
        # The runner itself deletes an earlier derived instance: only its parents count.
        parents = frozenset((ids.series, ids.study, ids.patient))
        if (
            current is None
            or current != (announced.generation, False)
            or self._memory.deletions.doomed(announced.source, parents)
        ):
            self._memory.inflight.end(ids.instance)
            log.info(f"a result for {ids.instance} came too late and was discarded")
            return DISCARD
        self._memory.deletions.remade(ids.instance)
        self._memory.passed.note(ids.instance, len(data), own=True)
        return _KEEP

    def _write_down(self, arrival: Arrival, size: int) -> None:
        """Note what is about to be stored, once no result for an earlier one is on its way."""
        self._memory.inflight.wait_for(arrival.instance, _WAIT_FOR_OWN_WRITE)
        self._journal.arrive(arrival)
        self._memory.deletions.arrived(arrival.instance)
        self._memory.passed.note(arrival.instance, size)

    def _put_off(
        self, error: BaseException, data: bytes, origin: orthanc.InstanceOrigin, began: float
    ) -> Verdict:
        """Hold what takes longer than others can wait; refuse what cannot be taken at all."""
        try:
            # By C-STORE Orthanc does not parse what it discards; else it overflows where that is
            # nested deep.
            by_dicom = origin == orthanc.InstanceOrigin.DICOM_PROTOCOL
            if isinstance(error, OverBudget) and (
                by_dicom or is_shallow(data, self._allowance.budget(), refused=error)
            ):
                self._safekeeping.hold_whole(data, error, sender_of(origin))
                return DISCARD
        except BaseException as again:  # noqa: BLE001 - what escapes would store the original
            error = again
        return self._refusals.verdict(error, data, origin, sender_of(origin), began)

    def _incoming(self, data: bytes, origin: orthanc.InstanceOrigin, began: float) -> Verdict:
        budget = self._allowance.budget()
        sender = _ORIGINS.get(origin, "an unknown sender")
        guest = self._gate.look(data, origin, budget)
        if guest is not None and (guest.trusted or guest.asks_for_title):
            check_nesting(guest.found.header)
            check_answerable(data, guest.found.header, origin)
            return self._admit(guest, data, sender)
        done = self._deidentified(data, budget, is_network=guest is not None)
        check_nesting(done.header)
        self._own_results.check(done.header)
        check_answerable(data, done.header, origin)
        for tag, reason in done.lost:
            log.warning(
                f"({tag >> 16:04X},{tag & 0xFFFF:04X}) of an object from {sender} was removed: "
                f"{reason}"
            )
        ids = ids_of(done)
        arrival = self._arrival(ids, done)
        if guest is not None:
            arrival = as_stranger(arrival)
            log.warning(f"an object from {sender}: {STRANGER}")
        if done.look:
            self._safekeeping.hold(done, arrival, sender)
            self._safekeeping.note(data, done, sender, began)
            return DISCARD
        made = done.data
        check_room(len(made))
        self._write_down(arrival, len(made))
        self._safekeeping.note(data, done, sender, began)
        return orthanc.ReceivedInstanceAction.MODIFY, made

    def _deidentified(self, data: bytes, budget: Budget, *, is_network: bool) -> Deidentified:
        try:
            return self._deidentifier.deidentify(data, budget)
        except DeidentificationError as error:
            if not is_network:
                raise
            # Its sender may wonder: the prototype's files are accepted only as networks.
            raise DeidentificationError(error.tag, f"{error.reason}; {STRANGER}") from None

    def _admit(self, guest: Guest, data: bytes, sender: str) -> Verdict:
        """Let in of a network what its digest covers, and no more; it is no patient's."""
        found = guest.found
        made = admitted(
            found,
            beginning(RAW_DATA_STORAGE, found.header.SOPInstanceUID, syntax_of(found)),
            self._gate.trust.signature_of(found),
        )
        header = read_header(made)
        self._own_results.check(header)
        ids = ids_of(header)
        arrival = arrival_of(ids, header, header, self._catalogue, self._mode)
        if guest.trusted:
            self._journal.arrive(as_trusted(arrival, guest.trusted, ""))
            self._memory.deletions.arrived(ids.instance)
            log.info(f"a network from {sender} is let in: {guest.trusted}")
        else:
            self._gate.leave_undecided(Undecided(arrival, "", data))
        self._memory.passed.note(ids.instance, len(made))
        return orthanc.ReceivedInstanceAction.MODIFY, made

    def _arrival(self, ids: ResourceIds, done: Deidentified) -> Arrival:
        """Decide what has to be read; of an object that was held, as was decided when it came."""
        arrival = arrival_of(ids, done, done.header, self._catalogue, self._mode)
        if not done.looked:
            return arrival
        first = self._safekeeping.choices.recall(ids.instance)
        # Models may have come or gone meanwhile.
        is_current = first is not None and first.fingerprint == self._catalogue.fingerprint(
            [name for name in first.models if name in self._catalogue.names]
        )
        return first if first is not None and is_current else arrival

    def _beside(self, data: bytes, origin: orthanc.InstanceOrigin, began: float) -> Verdict:
        """Leave the original as it came: nothing of ours may keep a PACS from storing it.

        What cannot be written down here is tried again when the object is stored. Refused is only
        what would bring Orthanc itself down, and what is no original: a result that nobody
        announced.
        """
        try:
            budget = self._allowance.whole()
            header = read_header(data, budget)
            check_nesting(header, forgiving=True)
            self._own_results.check(header)
            ids = ids_of(header)
            arrival = arrival_of(ids, header, header, self._catalogue, self._mode)
            guest = self._gate.look(data, origin, budget)
            if guest is not None:
                arrival = self._judged(guest, arrival)
            self._journal.arrive(arrival)
            self._memory.deletions.arrived(ids.instance)
        except (NestedTooDeep, UnannouncedResultError) as error:
            return self._refusals.verdict(error, data, origin, sender_of(origin), began)
        except OverBudget as error:
            self._failures.add(f"{sender_of(origin)}, stored as it came and not read", error)
        except PrereadError as error:
            log.warning(f"an object from {_ORIGINS.get(origin, 'somewhere')}: {error}")
        except BaseException as error:  # noqa: BLE001 - the PACS must never suffer
            log.error(f"receiving: unexpected {type(error).__name__}")
        return _KEEP

    def _judged(self, guest: Guest, arrival: Arrival) -> Arrival:
        """Describe a network whose original stays; it counts only if it is what is stored then."""
        if guest.trusted:
            return as_trusted(arrival, guest.trusted, digest_of(guest.found))
        if guest.asks_for_title:
            self._gate.leave_undecided(Undecided(arrival, digest_of(guest.found), None))
        return as_stranger(arrival)
