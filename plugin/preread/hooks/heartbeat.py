"""Telling a runner that hangs from one that works: a runner writes its status every second."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from pathlib import Path

_LOADING = 10


class Heartbeat:
    """The signs of life of one process.

    The clock of the wall may jump; so it is not the time in the file that counts, but for how long
    the file has not changed.

    Parameters
    ----------
    status
        The file that the process writes, or touches where the disk has no room.
    silence
        Seconds without a sign after which it hangs; ten times as long until the second sign, since
        it loads its networks after the first.
    clock
        Seconds, rising.
    """

    def __init__(
        self, status: Path, silence: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._status = status
        self._silence = silence
        self._clock = clock
        self._latest = self._sign()
        self._since = clock()
        self._signs = 0

    def has_stopped(self) -> bool:
        """Tell whether there was no sign for too long; ask every few seconds."""
        now, sign = self._clock(), self._sign()
        if sign != self._latest:
            self._latest, self._since, self._signs = sign, now, self._signs + 1
            return False
        allowed = self._silence * (1 if self._signs > 1 else _LOADING)
        return now - self._since > allowed and not self._is_read_only()

    def _sign(self) -> int:
        try:
            return self._status.stat().st_mtime_ns
        except OSError:
            return 0

    def _is_read_only(self) -> bool:
        """Tell whether nobody can give a sign there."""
        try:
            return bool(os.statvfs(self._status.parent).f_flag & os.ST_RDONLY)
        except OSError:
            return True
