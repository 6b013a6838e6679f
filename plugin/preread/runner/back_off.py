"""When what failed is tried again: later each time."""

from __future__ import annotations

import math
from collections.abc import Callable

_SHORTEST = 2.0  # seconds
_LONGEST = 120.0


class BackOff:
    """Pauses for several things at once, each twice as long as its last.

    Parameters
    ----------
    clock
        Seconds, rising.

    Examples
    --------
    >>> now = 0.0
    >>> back_off = BackOff(lambda: now)
    >>> back_off.put_off("a")
    >>> back_off.waits("a"), back_off.waits("b")
    (True, False)
    >>> now = 2.0
    >>> back_off.waits("a")
    False
    """

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._until: dict[str, float] = {}
        self._pauses: dict[str, float] = {}

    def put_off(self, what: str) -> None:
        """Let a thing wait."""
        pause = min(_LONGEST, 2 * self._pauses.get(what, _SHORTEST / 2))
        self._pauses[what] = pause
        self._until[what] = self._clock() + pause

    def until(self, what: str) -> float:
        """Return when it is a thing's turn by the clock; minus infinity for what never failed."""
        return self._until.get(what, -math.inf)

    def waits(self, what: str) -> bool:
        """Tell whether it is too early for a thing."""
        return self._clock() < self.until(what)

    def keep(self, those: set[str]) -> None:
        """Forget all others."""
        for each in self._until.keys() - those:
            del self._until[each], self._pauses[each]
