"""Counts what the runner does and writes it to its status file."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path

from preread.runner.status import RunnerStatus


class Meter:
    """A `RunnerStatus` that threads may change.

    Parameters
    ----------
    path
        The status file; None writes none.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._status = RunnerStatus()

    @property
    def status(self) -> RunnerStatus:
        """The counts as they stand."""
        return self._status

    def loaded(self, engine: str, models: Sequence[str]) -> None:
        """Note what is loaded."""
        with self._lock:
            self._status.engine = engine
            self._status.models = tuple(models)

    @contextmanager
    def timed(self, stage: str) -> Iterator[None]:
        """Add the time that the body takes to a stage's."""
        began = time.perf_counter()
        try:
            yield
        finally:
            spent = time.perf_counter() - began
            with self._lock:
                self._status.seconds[stage] += spent

    def read(self) -> None:
        """Note an image whose result is stored."""
        with self._lock:
            self._status.images_read += 1

    def failed(self, reason: str) -> None:
        """Note an image's failure."""
        with self._lock:
            self._status.images_failed += 1
        self.trouble(reason)

    def trouble(self, reason: str) -> None:
        """Note an error that is no image's."""
        with self._lock:
            self._status.last_error = reason
            self._status.last_error_at = datetime.now(UTC)

    def write(self, in_hand: int = 0) -> None:
        """Write the file; a full disk is no reason to stop reading images."""
        if self._path is None:
            return
        with self._lock:
            self._status.in_hand = in_hand
            try:
                self._status.write(self._path)
            except OSError as error:
                self._status.last_error = f"{self._path.name}: {error.strerror}"
                # It is the sign of life that Orthanc looks for; that needs no room on the disk.
                with suppress(OSError):
                    os.utime(self._path)
