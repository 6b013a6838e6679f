"""Calls that wait: each holds one of Orthanc's few HTTP threads, so that few may.

Orthanc answers a request in the thread that took it. Were all of them waiting for a network, nobody
could look at an image.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from preread.hooks.rest import RestError

_RETRY_SECONDS: Final = 10


def places_of(threads: int) -> int:
    """Return how many calls may wait: a quarter of Orthanc's HTTP threads, and one at least."""
    return max(1, threads // 4)


class Waiting:
    """The places of calls that wait for the runner.

    Parameters
    ----------
    places
        How many there are.
    """

    def __init__(self, places: int) -> None:
        self._places = threading.BoundedSemaphore(places)

    @contextmanager
    def patience(self, seconds: float) -> Iterator[float]:
        """Give until when a call may wait, on the monotonic clock.

        Where no place is free that is now: the call answers 202, and the work goes on.

        Parameters
        ----------
        seconds
            How long it would like to.
        """
        if seconds <= 0 or not self._places.acquire(blocking=False):
            yield time.monotonic()
            return
        try:
            yield time.monotonic() + seconds
        finally:
            self._places.release()


class Pool:
    """Bounds work that a call does itself, such as a process that decodes a picture.

    Parameters
    ----------
    at_once
        How many do it at a time.
    places
        How many calls there may be, those that wait for their turn included.
    seconds
        How long one waits for its turn.
    """

    def __init__(self, *, at_once: int, places: int, seconds: float) -> None:
        self._turns = threading.BoundedSemaphore(at_once)
        self._places = threading.BoundedSemaphore(places)
        self._seconds = seconds

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Wait for a turn and hold it.

        Raises
        ------
        RestError
            503 with Retry-After, if there is no place, or no turn in time.
        """
        if not self._places.acquire(blocking=False):
            raise _busy()
        try:
            if not self._turns.acquire(timeout=self._seconds):
                raise _busy()
            try:
                yield
            finally:
                self._turns.release()
        finally:
            self._places.release()


def _busy() -> RestError:
    return RestError(
        503, "others are being served; try again later", {"Retry-After": str(_RETRY_SECONDS)}
    )
