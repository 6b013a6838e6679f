"""Whole files held encrypted on disk: what cannot be made safe, and what waits for its pixels.

What `Quarantine.put` returned for survives a crash. Nothing identifying is in a file's name, and
nothing but lengths and times can be read of it without the key.

An entry is ``<id>.held`` (see `preread.deidentify.held_file`); a short sealed ``<id>.note`` beside
it counts the tries. Several processes may use the same folder.
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
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, BinaryIO, Final

import structlog

from preread.deidentify.held_file import DamagedError, HeldFileKey, QuarantineError

__all__ = ["DamagedError", "Held", "Quarantine", "QuarantineError"]

_log = structlog.get_logger(__name__)

_HELD: Final = ".held"
_NOTE: Final = ".note"
_PART: Final = ".part"
_LOCK: Final = ".lock"
_ID: Final = re.compile(r"[0-9a-f]{32}", flags=re.ASCII)
_LONGEST_TEXT: Final = 1000
_LEFT_OVER: Final = timedelta(days=1)


@dataclass(frozen=True, slots=True)
class Held:
    """One file that is held.

    Attributes
    ----------
    id
        32 hexadecimal digits.
    time
        When it was put there, UTC; of a damaged one, what the file system says.
    reason
        Why, in the engine's words.
    origin
        How it came, such as C-STORE.
    size
        Bytes of the file that is held; of a damaged one, of what is there.
    damage
        What is wrong with it; empty if nothing shows without reading all of it.
    tries
        How often something was tried with it in vain.
    last_failure
        Why the last time.
    look
        What must be looked at in its pixels before it may be stored, such as ``TEXT|FACE``; its
        header is de-identified then. Empty: it is an original, as it came.
    arrival
        What was decided for it from the header that it came with, as its owner writes that down.
        Empty: nothing was.
    """

    id: str
    time: datetime
    reason: str
    origin: str
    size: int
    damage: str = ""
    tries: int = 0
    last_failure: str = ""
    look: str = ""
    arrival: str = ""


class Quarantine:
    """A folder of encrypted files.

    Thread safe.

    Parameters
    ----------
    folder
        Made with mode 0700 if it is missing; on a local file system.
    key
        32 bytes, such as ``Secret.derive("quarantine")``. What is held under another key cannot be
        read.
    retention_days
        After which `purge` removes an original; None keeps for ever.

    Raises
    ------
    QuarantineError
        If the key has another length or the folder cannot be made.
    """

    def __init__(self, folder: Path, key: bytes, *, retention_days: float | None = None) -> None:
        self._folder = folder
        self._key = HeldFileKey(key)
        self._retention = None if retention_days is None else timedelta(days=retention_days)
        with _errors("the folder of the quarantine cannot be made"):
            folder.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._clear_left_overs(datetime.now(UTC))

    def put(
        self,
        data: bytes | memoryview,
        *,
        reason: str,
        origin: str,
        look: str = "",
        arrival: str = "",
    ) -> str:
        """Hold a file; when this returns it is on the disk.

        Parameters
        ----------
        data
            The file. While it is written, 2 MiB of memory more are taken.
        reason
            Why; nothing that identifies. Cut to 1000 characters, as is `origin`.
        origin
            How it came.
        look, arrival
            As in `Held`; kept whole.

        Returns
        -------
        str
            The entry's id.

        Raises
        ------
        QuarantineError
            If it cannot be written; then there is no entry.
        """
        identity = secrets.token_hex(16)
        description = {
            "time": datetime.now(UTC).isoformat(),
            "reason": reason[:_LONGEST_TEXT],
            "origin": origin[:_LONGEST_TEXT],
            "look": look,
            "arrival": arrival,
        }
        with _errors("a file cannot be held"), self._written(identity, _HELD) as file:
            self._key.write(file, identity, memoryview(data).cast("B"), description)
        return identity

    def count(self) -> int:
        """Return how many entries there are, damaged ones included.

        Raises
        ------
        QuarantineError
            If the folder cannot be read.
        """
        return len(self._identities())

    def entries(self) -> list[Held]:
        """List what is held, the oldest first; the contents are not opened.

        A damaged one is listed as such and stays where it is.

        Raises
        ------
        QuarantineError
            If the folder cannot be read.
        """
        found = [self._entry(each) for each in self._identities()]
        return sorted(
            (each for each in found if each is not None), key=lambda held: (held.time, held.id)
        )

    def _identities(self) -> list[str]:
        with _errors("the folder of the quarantine cannot be read"):
            names = [entry.name for entry in os.scandir(self._folder)]
        found = (name[: -len(_HELD)] for name in names if name.endswith(_HELD))
        return [each for each in found if _ID.fullmatch(each)]

    def read(self, id: str) -> bytes:  # noqa: A002 - what it is called everywhere
        """Return a file that is held.

        Raises
        ------
        DamagedError
            If it is damaged, was tampered with, or is held under another key.
        QuarantineError
            If there is none, or the disk fails.
        """
        path = self._path(id)
        with _errors(f"{id}: cannot be read"), _opened(path) as file:
            return self._key.read(file, id)

    def note_failure(self, id: str, reason: str, *, same: bool = False) -> int:  # noqa: A002
        """Note that something was tried with an entry in vain.

        Parameters
        ----------
        id
            The entry.
        reason
            Why; nothing that identifies. Cut to 1000 characters.
        same
            Whether it is the try that was noted last, of which more is known now.

        Returns
        -------
        int
            How often that was so by now.

        Raises
        ------
        QuarantineError
            If there is no such entry, or the note cannot be written.
        """
        path = self._path(id)
        with _errors(f"{id}: its failure cannot be noted"), self._lock():
            path.stat()
            tries = self._note(id)[0] + (not same)
            self._write_note(id, tries, reason)
        return tries

    def take_back(self, id: str, reason: str) -> None:  # noqa: A002
        """Count one try fewer: what failed the last time was not the entry's fault.

        Parameters
        ----------
        id
            The entry.
        reason
            What failed; shown as its last failure.

        Raises
        ------
        QuarantineError
            If there is no such entry, or the note cannot be written.
        """
        path = self._path(id)
        with _errors(f"{id}: its failure cannot be taken back"), self._lock():
            path.stat()
            self._write_note(id, max(0, self._note(id)[0] - 1), reason)

    def delete(self, id: str) -> None:  # noqa: A002
        """Remove an entry for good; that it is gone already is no error.

        Raises
        ------
        QuarantineError
            If it cannot be removed.
        """
        path = self._path(id)
        with _errors(f"{id}: cannot be deleted"), self._lock():
            path.unlink(missing_ok=True)
            path.with_suffix(_NOTE).unlink(missing_ok=True)
            self._flush_folder()

    def purge(self, now: datetime) -> int:
        """Remove originals older than the retention, and what a crash left half written.

        What waited for a look at its pixels stays until somebody deletes it: its sender was told
        that it is taken. A damaged entry stays too: when it was put there is not known.

        Parameters
        ----------
        now
            With its time zone.

        Returns
        -------
        int
            How many entries were removed.

        Raises
        ------
        QuarantineError
            If one cannot be removed.
        """
        with _errors("what a crash left in the quarantine cannot be removed"):
            self._clear_left_overs(now)
        if self._retention is None:
            return 0
        latest = now - self._retention
        old = [
            held
            for held in self.entries()
            if not held.damage and not held.look and held.time < latest
        ]
        for held in old:
            self.delete(held.id)
        if old:
            _log.info("quarantine.purged", count=len(old))
        return len(old)

    def _path(self, identity: str) -> Path:
        if not _ID.fullmatch(identity):
            raise QuarantineError("expected the id of an entry: 32 hexadecimal digits")
        return self._folder / f"{identity}{_HELD}"

    @contextmanager
    def _written(self, identity: str, suffix: str) -> Iterator[BinaryIO]:
        """Open a file beside, and put it in its place once it is on the disk."""
        path = self._folder / f"{identity}{suffix}"
        beside = self._folder / f".{identity}.{secrets.token_hex(4)}{_PART}"
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
            self._flush_folder()
        except BaseException:
            path.unlink(missing_ok=True)  # the caller will be told that it is not held
            raise

    def _flush_folder(self) -> None:
        folder = os.open(self._folder, os.O_RDONLY | os.O_CLOEXEC)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)

    @contextmanager
    def _lock(self) -> Iterator[None]:
        """Keep notes of other threads and processes from being lost, or made for what is gone."""
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        descriptor = os.open(self._folder / _LOCK, flags, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)

    def _entry(self, identity: str) -> Held | None:
        path = self._path(identity)
        try:
            status = path.stat(follow_symlinks=False)
        except OSError:
            return None  # deleted meanwhile
        try:
            described = self._described(path, identity, status.st_size)
        except QuarantineError as error:
            if not path.exists():
                return None
            changed = datetime.fromtimestamp(status.st_mtime, UTC)
            damage = str(error).removeprefix(f"{identity}: ")
            return Held(identity, changed, "", "", status.st_size, damage=damage)
        tries, last = self._note(identity)
        return Held(
            id=identity,
            time=datetime.fromisoformat(described["time"]),
            reason=described["reason"],
            origin=described["origin"],
            size=described["size"],
            tries=tries,
            last_failure=last,
            look=described["look"],
            arrival=described["arrival"],
        )

    def _described(self, path: Path, identity: str, length: int) -> dict[str, Any]:
        with _errors(f"{identity}: cannot be read"), _opened(path) as file:
            return self._key.describe(file, identity, length)

    def _note(self, identity: str) -> tuple[int, str]:
        """Return tries and last failure; a note that cannot be read is as good as none."""
        try:
            content = self._path(identity).with_suffix(_NOTE).read_bytes()
            note = self._key.open_note(identity, content)
        except FileNotFoundError:
            return 0, ""
        except (OSError, QuarantineError):
            _log.warning("quarantine.note-unreadable", id=identity)
            return 0, ""
        return note["tries"], note["reason"]

    def _write_note(self, identity: str, tries: int, reason: str) -> None:
        note = self._key.seal_note(identity, {"tries": tries, "reason": reason[:_LONGEST_TEXT]})
        with self._written(identity, _NOTE) as file:
            file.write(note)

    def _clear_left_overs(self, now: datetime) -> None:
        """Remove what was half written when a process was killed; nobody was told that it is held.

        After a day: another process may be writing right now.
        """
        latest = (now - _LEFT_OVER).timestamp()
        for path in self._folder.glob(f".*{_PART}"):
            try:
                if path.stat().st_mtime < latest:
                    path.unlink(missing_ok=True)
            except OSError:
                continue
        for path in self._folder.glob(f"*{_NOTE}"):
            if not path.with_suffix(_HELD).exists():  # of an entry that was being deleted
                path.unlink(missing_ok=True)


@contextmanager
def _errors(what: str) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        why = os.strerror(error.errno) if error.errno else "unknown"
        if error.errno in (errno.ENOSPC, errno.EDQUOT):
            why = "the disk is full; make room"
        elif error.errno == errno.ENOENT:
            why = "it is not there"
        raise QuarantineError(f"{what}: {why}") from None


@contextmanager
def _opened(path: Path) -> Iterator[BinaryIO]:
    flags = os.O_RDONLY | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
    with os.fdopen(os.open(path, flags), "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise QuarantineError(f"{path.stem}: not an ordinary file")
        yield file
