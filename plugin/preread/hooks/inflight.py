"""Which stores have passed the receive hook and have not reached the database yet.

Orthanc calls the receive hook before, and OnStored after, it writes an instance. Between the two
another store of the same instance could overtake it, and the older pixels would win. A result of
our own is therefore waited for, for a moment, before a new arrival of its instance may pass.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

from preread.errors import PrereadError


class Busy(PrereadError):
    """Another store of the same instance did not end in time; the sender may try again."""


@dataclass(frozen=True, slots=True)
class _OwnWrite:
    ids: frozenset[str]
    deadline: float


class InFlight:
    """Own writes between the receive hook and OnStored, by Orthanc's instance id.

    Parameters
    ----------
    lifetime
        Seconds after which a write that never reached OnStored (a full disk) is forgotten.
    clock
        Seconds that never go backwards.
    """

    def __init__(
        self, *, lifetime: float = 10.0, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._lifetime = lifetime
        self._clock = clock
        self._own: dict[str, _OwnWrite] = {}
        self._changed = threading.Condition()

    def begin_own(self, instance: str, ids: frozenset[str]) -> None:
        """Note that a result of ours for `instance` has passed the receive hook.

        Parameters
        ----------
        instance
            Orthanc's id of the instance.
        ids
            The Orthanc ids of the instance and of its parents.
        """
        with self._changed:
            self._own[instance] = _OwnWrite(ids, self._clock() + self._lifetime)

    def end(self, instance: str) -> bool:
        """Note that `instance` is stored, and tell whether that was a write of our own."""
        with self._changed:
            write = self._own.pop(instance, None)
            self._changed.notify_all()
            return write is not None

    def wait_for(self, identifier: str, timeout: float) -> None:
        """Wait until no write of our own is under way for an instance or below a parent.

        Raises
        ------
        Busy
            If one still is after `timeout` seconds.
        """
        with self._changed:
            if not self._own:
                return
            if not self._changed.wait_for(lambda: not self._below(identifier), timeout):
                raise Busy("a result for the same instance is being stored; send it again")

    def _below(self, identifier: str) -> bool:
        now = self._clock()
        for instance in [key for key, write in self._own.items() if write.deadline < now]:
            del self._own[instance]
        return any(identifier in write.ids for write in self._own.values())
