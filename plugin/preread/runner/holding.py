"""The thread that looks at the pixels of what the receive hook holds, and hands it to Orthanc."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import Final, Protocol

import structlog

from preread.deidentify import DeidentificationError, Secret
from preread.deidentify.pixels.complete import pixel_cleaner
from preread.deidentify.pixels.policy import Look
from preread.deidentify.quarantine import Held, Quarantine, QuarantineError
from preread.runner.meter import Meter
from preread.runner.pacs import (
    Pacs,
    PacsError,
    PacsFailedError,
    PacsUnreachableError,
    Refused,
    Superseded,
)
from preread.settings import Mode, Site

_log = structlog.get_logger(__name__)

AGAIN: Final = "again"
"""What an object is held for that is to take the whole way once more."""

_PAUSE = 0.5  # seconds between two looks at an empty folder
_LONGEST_PAUSE = 30.0
_MOST_TRIES = 5
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


class Holding:
    """Works through the folder of what is held, the oldest first.

    What cannot be cleaned goes to the quarantine: its sender was told that it is taken.

    Parameters
    ----------
    held, quarantined
        The folders.
    pacs
        Orthanc.
    cleaner
        Makes what looks at pixels, when it is first needed: it loads a detector.
    meter
        Takes note of trouble.
    """

    @classmethod
    def of(cls, site: Site, secret: Secret, pacs: Pacs, meter: Meter) -> Holding | None:
        """Return what a site needs; None where the hook holds nothing."""
        if site.settings.deidentify.mode is not Mode.INCOMING:
            return None
        key = secret.derive("quarantine")
        days = site.settings.deidentify.quarantine.days
        return cls(
            Quarantine(site.held_folder, key),
            Quarantine(site.quarantine_folder, key, retention_days=days),
            pacs,
            partial(pixel_cleaner, secret, site.deidentify_options),
            meter,
        )

    def __init__(
        self,
        held: Quarantine,
        quarantined: Quarantine,
        pacs: Pacs,
        cleaner: Callable[[], Cleans],
        meter: Meter,
    ) -> None:
        self._held = held
        self._quarantined = quarantined
        self._pacs = pacs
        self._make_cleaner = cleaner
        self._cleaner: Cleans | None = None
        self._meter = meter
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
        for entry in self._held.entries():
            if self._stopping.is_set():
                return ""
            if entry.damage:
                continue  # shown in the API; nobody can do anything with it here
            try:
                self._one(entry)
            except (PacsUnreachableError, PacsFailedError) as error:
                return str(error)
        return ""

    def _one(self, entry: Held) -> None:
        try:
            data = self._held.read(entry.id)
        except QuarantineError as error:  # the others must not wait for it
            self._meter.trouble(str(error))
            _log.error("cannot be read", entry=entry.id, reason=str(error))
            return
        if entry.tries >= _MOST_TRIES:
            self._give_up(entry, data, entry.last_failure)
            return
        # Before, not after: what ends this process would otherwise be tried for ever.
        self._held.note_failure(entry.id, "the process that looked at it ended")
        try:
            made = self._made(entry, data)
            outcome = self._pacs.store(made)
        except (PacsUnreachableError, PacsFailedError):
            self._held.forget_failures(entry.id)
            raise
        except (DeidentificationError, PacsError) as error:
            self._give_up(entry, data, str(error))
            return
        except Exception as error:  # noqa: BLE001 - one file must not end the thread for all
            _log.error("unexpected", entry=entry.id, exc_info=error)
            reason = f"unexpected {type(error).__name__}; see the runner's log, and report it"
            self._held.note_failure(entry.id, reason, same=True)
            return
        if isinstance(outcome, Refused):
            self._give_up(entry, data, outcome.reason)
            return
        # Superseded: the hook has taken it without storing it, that is, into its own keeping.
        self._held.delete(entry.id)
        if not isinstance(outcome, Superseded):
            _log.info("cleaned and stored", entry=entry.id, instance=outcome.instance)

    def _made(self, entry: Held, data: bytes) -> bytes:
        if entry.reason == AGAIN:
            return data
        if self._cleaner is None:
            self._cleaner = self._make_cleaner()
        return self._cleaner.clean(data, look_of(entry.reason)).data

    def _give_up(self, entry: Held, data: bytes, reason: str) -> None:
        self._quarantined.put(data, reason=reason, origin=entry.origin)
        self._held.delete(entry.id)
        self._meter.trouble(reason)
        _log.warning("quarantined", entry=entry.id, reason=reason)


def look_of(words: str) -> Look:
    """Return what is to be looked at.

    >>> look_of("TEXT|FACE") == Look.TEXT | Look.FACE
    True
    """
    look = Look.NONE
    for word in words.split("|"):
        look |= Look[word]
    return look
