"""The thread that looks at the pixels of what the receive hook holds, and hands it to Orthanc."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from typing import Protocol

import structlog

from preread.archive.announcing import Announcer
from preread.archive.pacs import (
    Pacs,
    PacsError,
    PacsFailedError,
    PacsUnreachableError,
    Refused,
    Stored,
    StoreOutcome,
)
from preread.deidentify import DeidentificationError, Pseudonyms, Secret
from preread.deidentify.pixels.complete import CompleteDeidentifier, pixel_cleaner
from preread.deidentify.pixels.policy import Look
from preread.deidentify.quarantine import WHOLE, Held, Quarantine, QuarantineError
from preread.deidentify.study_patients import StudyPatients
from preread.elements import OverBudget
from preread.ledger.arrival import Arrival, ArrivalError
from preread.ledger.choices import HeldChoices
from preread.models.catalogue import Catalogue
from preread.runner.back_off import BackOff
from preread.runner.meter import Meter
from preread.runner.whole import WholeObjects
from preread.settings import Mode, Site
from preread.wiring.trail import trail_of

_log = structlog.get_logger(__name__)

_PAUSE = 0.5  # seconds between two looks at an empty folder
_LONGEST_PAUSE = 30.0
_MOST_TRIES = 5
_MANY = 4  # that fail one after the other: it is Orthanc that fails
_PURGE_EVERY = 3600.0


class Cleaned(Protocol):
    """What a look at the pixels made of a file."""

    @property
    def data(self) -> bytes:
        """The file."""
        ...


class Cleans(Protocol):
    """Looks at pixels; `preread.deidentify.pixels.cleaning.PixelCleaner` does."""

    def clean(self, data: bytes, look: Look, /) -> Cleaned:
        """Return a file with clean pixels."""
        ...


class DeidentifiesWhole(Protocol):
    """De-identifies an original; `preread.runner.whole.WholeObjects` does."""

    def made(self, data: bytes, /) -> bytes:
        """Return what is to be stored of an original, and tell the receive hook."""
        ...


class Holding:
    """Works through the folder of what is held, the oldest first, those that failed last.

    What cannot be cleaned goes to the quarantine: its sender was told that it is taken. What
    Orthanc fails for is put off, and counted against it only if Orthanc stores another one.

    Parameters
    ----------
    held, quarantined
        The folders.
    choices
        Where the receive hook looks up what was decided for an object.
    pacs
        Orthanc.
    cleaner
        Makes what looks at pixels, when it is first needed: it loads a detector.
    meter
        Takes note of trouble.
    clock
        Seconds, rising.
    whole
        De-identifies originals that take the receive hook too long; they wait without it.
    """

    @classmethod
    def of(
        cls, site: Site, secret: Secret, pacs: Pacs, meter: Meter, catalogue: Catalogue
    ) -> Holding | None:
        """Return what a site needs; None where the hook holds nothing."""
        if site.settings.deidentify.mode is not Mode.INCOMING:
            return None
        key = secret.derive("quarantine")
        days = site.settings.deidentify.quarantine.days
        return cls(
            Quarantine(site.held_folder, key),
            Quarantine(site.quarantine_folder, key, retention_days=days),
            HeldChoices.within(site.held_folder),
            pacs,
            partial(pixel_cleaner, secret, site.deidentify_options),
            meter,
            whole=WholeObjects(
                CompleteDeidentifier(
                    secret,
                    site.deidentify_options,
                    trail_of(site),
                    "held",
                    StudyPatients(site.patients_file, secret),
                ),
                catalogue,
                pacs,
                Announcer(secret.derive("announcement")),
                Pseudonyms(secret).is_result_uid,
            ),
        )

    def __init__(
        self,
        held: Quarantine,
        quarantined: Quarantine,
        choices: HeldChoices,
        pacs: Pacs,
        cleaner: Callable[[], Cleans],
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
        whole: DeidentifiesWhole | None = None,
    ) -> None:
        self._whole = whole
        self._held = held
        self._quarantined = quarantined
        self._choices = choices
        self._pacs = pacs
        self._make_cleaner = cleaner
        self._cleaner: Cleans | None = None
        self._meter = meter
        self._back_off = BackOff(clock)
        self._failing: dict[str, str] = {}  # of Orthanc's, since it last stored one; reasons by id
        self._told: set[str] = set()
        self._latest: dict[str, datetime] = {}  # when what is stored came, by instance
        self._stopping = threading.Event()
        self._thread = threading.Thread(target=self._run, name="hold", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def stop(self, patience: float) -> None:
        """End the thread; what is under way is done again by the next one."""
        self._stopping.set()
        self._thread.join(patience)

    def _run(self) -> None:
        pause, purged = 0.0, 0.0
        self._choices.clear()
        while not self._stopping.wait(pause):
            try:
                if not purged or time.monotonic() - purged > _PURGE_EVERY:
                    purged = time.monotonic()
                    self._quarantined.purge(datetime.now(UTC))
                trouble = self.work()
            except QuarantineError as error:
                trouble = str(error)
            if trouble:
                self._meter.trouble(trouble)
                _log.error("held objects wait", reason=trouble)
                pause = min(_LONGEST_PAUSE, max(_PAUSE, 2 * pause))
            else:
                pause = _PAUSE

    def work(self) -> str:
        """Take every object that is held once.

        Returns
        -------
        str
            Why the rest has to wait; empty if nothing does.
        """
        entries = self._held.entries()
        self._keep_in_mind({entry.id for entry in entries})
        failed, blamed = 0, dict[str, str]()
        # First those that never failed, so that many that fail cannot be in their way.
        for listed in sorted(entries, key=lambda each: self._back_off.until(each.id)):
            entry = _counted(listed, blamed)
            if self._stopping.is_set():
                return ""
            if entry.damage:
                self._tell_once(entry.id, f"{entry.id}: {entry.damage}")
                continue
            if self._back_off.waits(entry.id) or self._is_overtaken(entry):
                continue
            try:
                outcome = self._one(entry)
            except PacsUnreachableError as error:
                return str(error)
            except PacsFailedError as error:
                failed += 1
                self._put_off(entry.id, str(error))
                if failed == _MANY:
                    return str(error)
                continue
            if isinstance(outcome, Stored):
                failed = 0
                blamed |= self._blame(but=entry.id)
        return ""

    def _is_overtaken(self, entry: Held) -> bool:
        """Drop what was put off while a later sending of the same object was stored."""
        arrival = arrival_of(entry)
        if arrival is None or entry.time >= self._latest.get(arrival.instance, entry.time):
            return False
        self._held.delete(entry.id)
        _log.info("overtaken", entry=entry.id, instance=arrival.instance)
        return True

    def _one(self, entry: Held) -> StoreOutcome | None:
        """Take one object; return what Orthanc made of it, None if it was not handed over."""
        try:
            data = self._held.read(entry.id)
        except QuarantineError as error:  # the others must not wait for it
            self._tell_once(entry.id, str(error))
            self._back_off.put_off(entry.id)  # somebody may put it back from a copy
            return None
        if entry.tries >= _MOST_TRIES:
            self._give_up(entry, data, entry.last_failure)
            return None
        instance = self._lay_down_choice(entry)
        # Before, not after: what ends this process would otherwise be tried for ever.
        self._held.note_failure(entry.id, "the process that looked at it ended")
        try:
            outcome = self._pacs.store(self._made(entry, data))
        except (PacsUnreachableError, PacsFailedError) as error:
            self._held.take_back(entry.id, str(error))
            raise
        except (DeidentificationError, OverBudget, PacsError) as error:
            self._give_up(entry, data, str(error))
            return None
        except Exception as error:  # noqa: BLE001 - one file must not end the thread for all
            _log.error("unexpected", entry=entry.id, exc_info=error)
            reason = f"unexpected {type(error).__name__}; see the runner's log, and report it"
            self._held.note_failure(entry.id, reason, same=True)
            return None
        if isinstance(outcome, Refused):
            self._give_up(entry, data, outcome.reason)
            return outcome
        # Also if superseded: the hook has taken it without storing it, into its own keeping.
        self._held.delete(entry.id)
        if instance:
            self._choices.forget(instance)
        if isinstance(outcome, Stored):
            if instance:
                self._latest[instance] = entry.time
            _log.info("cleaned and stored", entry=entry.id, instance=outcome.instance)
        return outcome

    def _made(self, entry: Held, data: bytes) -> bytes:
        if not entry.look:
            return data  # an original, for the hook to judge
        if entry.look == WHOLE and self._whole is not None:
            return self._whole.made(data)
        if self._cleaner is None:
            self._cleaner = self._make_cleaner()
        return self._cleaner.clean(data, look_of(entry.look)).data

    def _lay_down_choice(self, entry: Held) -> str:
        """Let the hook find what was decided; return the instance, empty if nothing was."""
        arrival = arrival_of(entry)
        if arrival is None:
            return ""
        try:
            self._choices.remember(arrival)
        except OSError as error:
            raise QuarantineError(
                f"what was chosen for a held object cannot be written: {error.strerror}"
            ) from None
        return arrival.instance

    def _keep_in_mind(self, there: set[str]) -> None:
        """Forget what was noted of entries that are gone."""
        self._back_off.keep(there)
        self._told &= there
        if not there:
            self._latest.clear()
        self._failing = {each: why for each, why in self._failing.items() if each in there}

    def _put_off(self, identity: str, reason: str) -> None:
        """Take a failure of Orthanc's for one object; whose fault it is shows later."""
        self._back_off.put_off(identity)
        self._failing[identity] = reason
        self._meter.trouble(reason)
        _log.warning("put off", entry=identity, reason=reason)

    def _blame(self, *, but: str) -> dict[str, str]:
        """Count the failures against those that failed, and return them: Orthanc has stored one."""
        failing, self._failing = self._failing, {}
        failing.pop(but, None)
        for identity, reason in failing.items():
            self._held.note_failure(identity, reason)
        return failing

    def _tell_once(self, identity: str, reason: str) -> None:
        if identity in self._told:
            return
        self._told.add(identity)
        self._meter.trouble(reason)
        _log.error("cannot be read", entry=identity, reason=reason)

    def _give_up(self, entry: Held, data: bytes, reason: str) -> None:
        self._quarantined.put(
            data,
            reason=reason,
            origin=entry.origin,
            look=entry.look,
            arrival=entry.arrival,
            once=True,
        )
        self._held.delete(entry.id)
        arrival = arrival_of(entry)
        if arrival is not None:
            self._choices.forget(arrival.instance)
        self._meter.trouble(reason)
        _log.warning("quarantined", entry=entry.id, reason=reason)


def _counted(entry: Held, blamed: dict[str, str]) -> Held:
    """Return an entry with the failure that was counted after it was listed."""
    if entry.id not in blamed:
        return entry
    return replace(entry, tries=entry.tries + 1, last_failure=blamed[entry.id])


def arrival_of(entry: Held) -> Arrival | None:
    """Return what was decided for an object when it came; None if nothing was."""
    try:
        return Arrival.from_json(entry.arrival) if entry.arrival else None
    except ArrivalError:
        return None  # of another version; it is decided anew


def look_of(words: str) -> Look:
    """Return what is to be looked at.

    >>> look_of("TEXT|FACE") == Look.TEXT | Look.FACE
    True
    """
    look = Look.NONE
    for word in words.split("|"):
        look |= Look[word]
    return look
