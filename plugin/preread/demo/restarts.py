"""When an Orthanc that crashed is started again, and when no more."""

from __future__ import annotations

import signal
import time
from collections import deque
from collections.abc import Callable
from typing import Final

from preread.demo.errors import DemoError

_FIRST_PAUSE: Final = 1.0  # seconds
_LONGEST_PAUSE: Final = 30.0
_MOST: Final = 5
_WITHIN: Final = 600.0


class Restarts:
    """Counts crashes: each pause is longer, and after five in ten minutes there is no other start.

    Parameters
    ----------
    clock
        Seconds, rising.

    Examples
    --------
    >>> restarts = Restarts(lambda: 0.0)
    >>> [restarts.pause_after(-11) for _ in range(5)]
    [1.0, 2.0, 4.0, 8.0, 16.0]
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._crashes: deque[float] = deque()

    def pause_after(self, code: int) -> float:
        """Return the seconds to wait before the next start.

        Parameters
        ----------
        code
            With which Orthanc ended; negative: the signal that ended it.

        Raises
        ------
        DemoError
            If it crashed too often.
        """
        now = self._clock()
        while self._crashes and now - self._crashes[0] > _WITHIN:
            self._crashes.popleft()
        if len(self._crashes) == _MOST:
            raise DemoError(
                f"Orthanc {ended(code)}, for the {_MOST + 1}th time in {_WITHIN / 60:.0f} minutes; "
                "it is not started again"
            )
        self._crashes.append(now)
        return min(_FIRST_PAUSE * (1 << len(self._crashes) - 1), _LONGEST_PAUSE)


def ended(code: int) -> str:
    """Say how a process ended.

    >>> ended(-11), ended(255)
    ('was ended by SIGSEGV', 'ended with exit code 255')
    """
    if code >= 0:
        return f"ended with exit code {code}"
    try:
        return f"was ended by {signal.Signals(-code).name}"
    except ValueError:
        return f"was ended by signal {-code}"
