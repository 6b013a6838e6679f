"""One runner per folder and node: the lock that a process keeps for as long as it lives."""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import socket
import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

from preread.errors import PrereadError

_POLL = 0.2  # seconds


class RunnerRunningError(PrereadError):
    """Another runner of this node works in this folder."""


class RunnerLock:
    """An advisory lock on a file; the kernel gives it up when the process ends, however it ends.

    Whoever holds it may take back at once what a predecessor had reserved: that one is dead.

    Parameters
    ----------
    folder
        Preread's own folder, made if it is missing.
    node
        The name of the Orthanc.
    """

    def __init__(self, folder: Path, node: str) -> None:
        self._path = folder / f"runner-{re.sub(r'[^A-Za-z0-9._-]', '_', node)}.lock"
        place = hashlib.sha256(str(folder.resolve()).encode()).hexdigest()[:8]
        self._owner = f"{socket.gethostname()[:64]}/{place}"
        self._descriptor: int | None = None

    @property
    def owner(self) -> str:
        """What the holder calls itself in the ledger: the same for every runner of this folder."""
        return self._owner

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()

    def acquire(self, patience: float, stop: threading.Event | None = None) -> None:
        """Take the lock.

        Parameters
        ----------
        patience
            Seconds to wait for a predecessor that is about to end.
        stop
            Ends the waiting.

        Raises
        ------
        RunnerRunningError
            If another process holds it, or its file cannot be opened.
        """
        deadline = time.monotonic() + patience
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            descriptor = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        except OSError as error:
            raise RunnerRunningError(
                f"{self._path}: cannot be opened ({error.strerror}); the runner needs to write "
                "into Preread.Folder"
            ) from None
        while not _locked(descriptor):
            stopped = stop is not None and stop.is_set()
            if stopped or time.monotonic() >= deadline:
                os.close(descriptor)
                raise RunnerRunningError(
                    f"another runner works for this node already ({self._path} is locked); "
                    "Orthanc starts one itself unless Preread.Runner.Start is false"
                )
            time.sleep(_POLL)
        self._descriptor = descriptor

    def release(self) -> None:
        """Give the lock up."""
        if self._descriptor is not None:
            os.close(self._descriptor)
            self._descriptor = None


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
