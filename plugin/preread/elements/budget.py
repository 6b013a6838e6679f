"""How much work one object may make, so that none keeps all others waiting."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Final, TypeVar

from preread.errors import PrereadError

_STEP: Final = 20_000
"""Units between two looks at the clock; about ten milliseconds of work."""

Each = TypeVar("Each")


class OverBudget(PrereadError):
    """An object takes longer than the one who asked can wait; another process may take its time."""


class InflatesTooFar(OverBudget):
    """A deflated object grows larger than others can wait for; to inflate it again is no use."""


class Budget:
    """The CPU time that may be spent on one object.

    It is counted in units of work, and the clock is looked at only now and then: a unit is about
    half a microsecond, what it takes to walk over an element.

    Parameters
    ----------
    seconds
        CPU time from now on.
    inflated
        Bytes that a deflated data set may grow to; None leaves the bound to `inflated`.
    clock
        Seconds of CPU time, by default of the thread.
    """

    __slots__ = ("_clock", "_end", "_left", "_seconds", "inflated")

    def __init__(
        self,
        seconds: float,
        *,
        inflated: int | None = None,
        clock: Callable[[], float] = time.thread_time,
    ) -> None:
        self._seconds = seconds
        self._clock = clock
        self._end = clock() + seconds
        self._left = _STEP
        self.inflated = inflated

    def spend(self, units: int) -> None:
        """Count work that is done, or about to be.

        Raises
        ------
        OverBudget
            If the time is spent.
        """
        self._left -= units
        if self._left < 0:
            self._left = _STEP
            if self._clock() > self._end:
                raise OverBudget(f"it takes more than {self._seconds:g} s of CPU time")

    def over(self, each: Iterable[Each], units: int) -> Iterator[Each]:
        """Give what there is, and count so many units for each.

        Raises
        ------
        OverBudget
            If the time is spent.
        """
        for one in each:
            self.spend(units)
            yield one


def unlimited() -> Budget:
    """Return a budget that is never spent."""
    return Budget(math.inf, clock=_standing)


def _standing() -> float:
    """Stand for a clock where no time is too late."""
    return 0.0
