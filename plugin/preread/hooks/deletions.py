"""Knowing that an instance was deleted, so that a result on its way does not bring it back.

Two sources. A DELETE over REST is seen before Orthanc carries it out. Every other deletion is seen
as a change event, where overwriting an instance looks like a deletion that is followed, in the
same transaction, by a new instance of the same id.
"""

from __future__ import annotations

import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

_RESOURCE = re.compile(
    r"^/(?:instances|series|studies|patients)/([0-9a-f]{8}(?:-[0-9a-f]{8}){4})/?$"
)


_REMEMBERED = 100_000  # instances


class Deletions:
    """What was deleted lately.

    Parameters
    ----------
    on_deleted
        Called with Orthanc's instance id once a deletion is certain.
    on_alive
        Called with the id of an instance that was taken for deleted and was not: its event came
        late.
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
        on_alive: Callable[[str], object] = lambda _: None,
        *,
        grace: float = 2.0,
        memory: float = 5.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._on_deleted = on_deleted
        self._on_alive = on_alive
        self._grace = grace
        self._memory = memory
        self._clock = clock
        self._lock = threading.Lock()
        self._gone: dict[str, float] = {}
        self._settled: OrderedDict[str, None] = OrderedDict()
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
            late = instance in self._settled
            self._settled.pop(instance, None)
        if late:
            self._on_alive(instance)

    def arrived(self, instance: str) -> None:
        """Forget the deletion of an instance that has just arrived again.

        That of a parent is remembered: it may not have been carried out yet, and what else lies
        below the parent is still to go.
        """
        if self._requested or self._gone or self._settled:
            with self._lock:
                self._requested.pop(instance, None)
                self._gone.pop(instance, None)
                self._settled.pop(instance, None)

    def remade(self, instance: str) -> None:
        """Expect the event of a new instance: a result of ours is stored where one was deleted."""
        if self._settled:
            with self._lock:
                self._settled.pop(instance, None)

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

    def settle(self, *, at_once: bool = False) -> int:
        """Report the deletions that no new instance followed; call this now and then.

        Parameters
        ----------
        at_once
            Without waiting for the grace: Orthanc is about to end.

        Returns
        -------
        int
            How many were reported.
        """
        with self._lock:
            now = self._clock()
            grace = 0.0 if at_once else self._grace
            certain = [key for key, since in self._gone.items() if now - since >= grace]
            for instance in certain:
                del self._gone[instance]
                self._settled[instance] = None
            while len(self._settled) > _REMEMBERED:
                self._settled.popitem(last=False)
        for instance in certain:
            self._on_deleted(instance)
        return len(certain)
