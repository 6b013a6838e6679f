"""What was refused, kept for the API even when the journal is the thing that fails."""

from __future__ import annotations

import threading
from collections import deque
from dataclasses import dataclass
from datetime import UTC, datetime

from preread.errors import PrereadError
from preread.hooks import log
from preread.ledger.journal import Journal

_KEPT = 100


@dataclass(frozen=True, slots=True)
class Failure:
    """One object that was not taken, or not written down as it should have been."""

    time: datetime
    origin: str
    reason: str


class Failures:
    """The latest failures of the hooks: logged, journalled if possible, and in memory.

    Parameters
    ----------
    journal
        Where they are kept beyond a restart.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        self._lock = threading.Lock()
        self._latest: deque[Failure] = deque(maxlen=_KEPT)
        self.count = 0

    def add(self, origin: str, error: BaseException, done: str = "refused") -> None:
        """Record a failure; this never raises.

        The text of errors that are not ours is left out: it may hold a value of the data set.

        Parameters
        ----------
        origin
            How the object came.
        error
            What was wrong.
        done
            What was done with the object, for the log.
        """
        reason = (
            str(error)
            if isinstance(error, PrereadError)
            else f"unexpected {type(error).__name__}; see the log, and report it"
        )
        self._keep(origin, reason)
        log.error(f"{done} an object from {origin}: {reason}")
        try:
            self._journal.refuse(origin, reason)
        except PrereadError as again:
            log.error(f"the refusal could not be written down either: {again}")

    def unread(self, origin: str, instance: str, error: PrereadError) -> None:
        """Record that an object is stored as it came, and nothing else; this never raises."""
        self.add(
            origin,
            PrereadError(f"{instance} is stored as it came, but is not read, nor copied: {error}"),
            "stored",
        )

    def escaped(self, origin: str, reason: str) -> None:
        """Record that an object had been stored past de-identification; this never raises."""
        self._keep(origin, reason)
        log.error(f"an object from {origin}: {reason}")
        try:
            self._journal.watch.escaped(origin, reason)
        except PrereadError as error:
            log.error(f"the escape could not be written down: {error}")

    def _keep(self, origin: str, reason: str) -> None:
        with self._lock:
            self.count += 1
            self._latest.append(Failure(datetime.now(UTC), origin, reason))

    def latest(self) -> list[Failure]:
        """Return the failures of this process, newest first."""
        with self._lock:
            return list(reversed(self._latest))
