"""The folder of files in quarantine: how they get to the disk whole, and are found again.

An entry is ``<id>.held``; a short ``<id>.note`` may lie beside it. What is being written has
another name until it is on the disk. Several processes may use the same folder.
"""

from __future__ import annotations

import errno
import fcntl
import os
import re
import secrets
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path
from typing import BinaryIO, Final

from preread.deidentify.held_file import QuarantineError

_HELD: Final = ".held"
_NOTE: Final = ".note"
_PART: Final = ".part"
_LOCK: Final = ".lock"
_ID: Final = re.compile(r"[0-9a-f]{32}", flags=re.ASCII)
_LEFT_OVER: Final = timedelta(days=1)


class HeldFolder:
    """A folder on a local file system; what goes wrong there raises `OSError`.

    Thread safe.

    Parameters
    ----------
    path
        Where; `make` makes it.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def make(self) -> None:
        """Make the folder with mode 0700 if it is missing."""
        self._path.mkdir(parents=True, exist_ok=True, mode=0o700)

    def identities(self) -> list[str]:
        """Return the ids of what is held, in no order."""
        names = [entry.name for entry in os.scandir(self._path)]
        found = (name[: -len(_HELD)] for name in names if name.endswith(_HELD))
        return [each for each in found if _ID.fullmatch(each)]

    def entry(self, identity: str) -> Path:
        """Return where an entry is, or would be.

        Raises
        ------
        QuarantineError
            If that is no id.
        """
        if not _ID.fullmatch(identity):
            raise QuarantineError("expected the id of an entry: 32 hexadecimal digits")
        return self._path / f"{identity}{_HELD}"

    def note(self, identity: str) -> Path:
        """Return where the note of an entry is, or would be; raises as `entry`."""
        return self.entry(identity).with_suffix(_NOTE)

    def remove(self, entry: Path) -> None:
        """Remove an entry and its note for good."""
        entry.unlink(missing_ok=True)
        entry.with_suffix(_NOTE).unlink(missing_ok=True)
        self._flush()

    @contextmanager
    def written(self, path: Path) -> Iterator[BinaryIO]:
        """Open a file beside, and put it in its place once it is on the disk.

        Parameters
        ----------
        path
            Its place: that of an entry or a note.
        """
        beside = self._path / f".{path.stem}.{secrets.token_hex(4)}{_PART}"
        is_new = not path.exists()
        flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
        try:
            with os.fdopen(os.open(beside, flags, 0o600), "wb") as file:
                yield file
                file.flush()
                os.fsync(file.fileno())
            beside.rename(path)
        except BaseException:
            beside.unlink(missing_ok=True)
            raise
        try:
            self._flush()
        except BaseException:
            if is_new:
                path.unlink(missing_ok=True)  # the caller will be told that it is not held
            raise

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Keep notes of other threads and processes from being lost, or made for what is gone."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._path / _LOCK, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def clear_left_overs(self, now: datetime) -> None:
        """Remove what was half written when a process was killed; nobody was told that it is held.

        After a day: another process may be writing right now.
        """
        latest = (now - _LEFT_OVER).timestamp()
        for path in self._path.glob(f".*{_PART}"):
            try:
                if path.stat().st_mtime < latest:
                    path.unlink(missing_ok=True)
            except OSError:
                continue
        for path in self._path.glob(f"*{_NOTE}"):
            if not path.with_suffix(_HELD).exists():  # of an entry that was being deleted
                path.unlink(missing_ok=True)

    def _flush(self) -> None:
        folder = os.open(self._path, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)


@contextmanager
def opened(path: Path) -> Iterator[BinaryIO]:
    """Open what is held for reading.

    Raises
    ------
    QuarantineError
        If it is no ordinary file.
    """
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise QuarantineError(f"{path.stem}: not an ordinary file")
        yield file


@contextmanager
def errors(what: str) -> Iterator[None]:
    """Turn what the disk reports into a `QuarantineError` that says `what` cannot be done."""
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "unknown"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; make room"
        elif error.errno == errno.ENOENT:
            why = "it is not there"
        raise QuarantineError(f"{what}: {why}") from None
