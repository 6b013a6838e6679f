"""What the receive hook may spend on one object: it is serialised, and all others wait."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final

from preread.elements import Budget

_SECONDS: Final = 0.5
"""CPU time. The rest of a second is for what is not counted, such as writing to the disk."""
_LEAST: Final = 0.03
_UNNOTICED: Final = 0.02
"""CPU time of an object that nobody waits for; of ordinary images there may be any number."""
_REGAINED: Final = 0.25
"""CPU time that is allowed again with each second that passes."""
_INFLATED: Final = 2**26
"""Bytes that a deflated data set may grow to."""


def ordinary_budget(seconds: float = _SECONDS) -> Budget:
    """Return what may be spent on one object from now on."""
    return Budget(seconds, inflated=_INFLATED)


class Allowance:
    """What may be spent on the next object: the less, the more costly ones came just before it.

    An ordinary image waits for all that came before it, from however many senders. So objects that
    cost much share what one of them may cost, until it has been regained; what is over that takes
    nobody's place, since the runner de-identifies it.

    Thread safe.

    Parameters
    ----------
    budget
        Makes a budget of so many seconds of CPU time.
    clock
        Seconds that pass.
    """

    def __init__(
        self,
        budget: Callable[[float], Budget] = ordinary_budget,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._budget = budget
        self._clock = clock
        self._lock = threading.Lock()
        self._left = _SECONDS
        self._at = clock()

    def budget(self) -> Budget:
        """Return what may be spent on one object from now on."""
        return self._budget(max(_LEAST, self._regained()))

    def whole(self) -> Budget:
        """Return what may be spent on an object that has to be judged here and now."""
        return self._budget(_SECONDS)

    def spent(self, seconds: float) -> None:
        """Take what an object has cost, in seconds of CPU time, from what the next may cost."""
        if seconds > _UNNOTICED:
            left = self._regained()
            with self._lock:
                self._left = max(0.0, left - seconds)

    def _regained(self) -> float:
        with self._lock:
            now = self._clock()
            self._left = min(_SECONDS, self._left + (now - self._at) * _REGAINED)
            self._at = now
            return self._left
