"""Knowing that an instance was deleted, so that a result on its way does not bring it back.

Two sources. A DELETE over REST is seen before Orthanc carries it out. Every other deletion is seen
as a change event, where overwriting an instance looks like a deletion that is followed, in the
same transaction, by a new instance of the same id.
"""

from __future__ import annotations

import re
import threading
import time
from collections.abc import Callable

_RESOURCE = re.compile(
    r"^/(?:instances|series|studies|patients)/([0-9a-f]{8}(?:-[0-9a-f]{8}){4})/?$"
)


class Deletions:
    """What was deleted lately.

    Parameters
    ----------
    on_deleted
        Called with Orthanc's instance id once a deletion is certain.
    grace
        Seconds to wait for the event that turns a deletion into an overwriting.
    memory
        Seconds for which a DELETE over REST is remembered: long enough for Orthanc to carry it
        out and for its events to arrive.
    clock
        Seconds that never go backwards.
    """

    def __init__(
        self,
        on_deleted: Callable[[str], object],
        *,
        grace: float = 0.25,
        memory: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_deleted = on_deleted
        self._grace = grace
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._gone: dict[str, float] = {}
        self._requested: dict[str, float] = {}

    def request(self, uri: str) -> str | None:
        """Note a DELETE over REST before it is carried out; return the resource it names."""
        found = _RESOURCE.match(uri)
        if found is None:
            return None
        with self._lock:
            self._requested[found[1]] = self._clock()
        return found[1]

    def deleted(self, instance: str) -> None:
        """Take the event that an instance was deleted or overwritten."""
        with self._lock:
            self._gone[instance] = self._clock()

    def created(self, instance: str) -> None:
        """Take the event of a new instance: what went before it was an overwriting."""
        with self._lock:
            self._gone.pop(instance, None)

    def arrived(self, ids: frozenset[str]) -> None:
        """Forget the deletions that a new foreign arrival comes after."""
        if self._requested or self._gone:
            with self._lock:
                for identifier in ids:
                    self._requested.pop(identifier, None)
                    self._gone.pop(identifier, None)

    def doomed(self, source: str, parents: frozenset[str]) -> bool:
        """Whether a result comes too late.

        Parameters
        ----------
        source
            The instance that was read.
        parents
            The series, study and patient that the result will lie in.
        """
        if not self._gone and not self._requested:
            return False
        with self._lock:
            now = self._clock()
            for identifier, since in list(self._requested.items()):
                if now - since > self._memory:
                    del self._requested[identifier]
            if source in self._gone:
                return True
            return any(identifier in self._requested for identifier in (source, *parents))

    def settle(self) -> int:
        """Report the deletions that no new instance followed; call this now and then.

        Returns
        -------
        int
            How many were reported.
        """
        with self._lock:
            now = self._clock()
            certain = [key for key, since in self._gone.items() if now - since >= self._grace]
            for instance in certain:
                del self._gone[instance]
        for instance in certain:
            self._on_deleted(instance)
        return len(certain)
