"""Whole files held encrypted on disk: what cannot be made safe, and what waits for its pixels.

What `Quarantine.put` returned for survives a crash. Nothing identifying is in a file's name, and
nothing but lengths and times can be read of it without the key.

How an entry is sealed is said in `preread.deidentify.held_file`, how it gets to the disk in
`preread.deidentify.held_folder`; a short sealed note beside it counts the tries.
"""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import structlog

from preread.deidentify.held_file import DamagedError, HeldFileKey, QuarantineError
from preread.deidentify.held_folder import HeldFolder, errors, opened

__all__ = ["WHOLE", "DamagedError", "Held", "Quarantine", "QuarantineError"]

_log = structlog.get_logger(__name__)

WHOLE: Final = "WHOLE"
"""In place of a look: an original that takes the receive hook too long, for somebody with time."""

_LONGEST_TEXT: Final = 1000


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
        header is de-identified then. Empty, or `WHOLE`: it is an original, as it came.
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
        self._folder = HeldFolder(folder)
        self._key = HeldFileKey(key)
        self._retention = None if retention_days is None else timedelta(days=retention_days)
        with errors("the folder of the quarantine cannot be made"):
            self._folder.make()
            self._folder.clear_left_overs(datetime.now(UTC))

    def put(
        self,
        data: bytes | memoryview,
        *,
        reason: str,
        origin: str,
        look: str = "",
        arrival: str = "",
        once: bool = False,
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
        once
            Whether there is one entry for a content, however often it comes: a later one replaces
            the earlier, whose tries stay counted.

        Returns
        -------
        str
            The entry's id.

        Raises
        ------
        QuarantineError
            If it cannot be written; then there is no entry.
        """
        content = memoryview(data).cast("B")
        identity = self._key.identity_of(content) if once else secrets.token_hex(16)
        description = {
            "time": datetime.now(UTC).isoformat(),
            "reason": reason[:_LONGEST_TEXT],
            "origin": origin[:_LONGEST_TEXT],
            "look": look,
            "arrival": arrival,
        }
        path = self._folder.entry(identity)
        try:
            with errors("a file cannot be held"), self._folder.written(path) as file:
                self._key.write(file, identity, content, description)
        except QuarantineError:
            if not (once and self._has(identity, content)):
                raise
        return identity

    def _has(self, identity: str, content: memoryview) -> bool:
        """Tell whether an entry is there, and sound."""
        try:
            return self.read(identity) == content
        except QuarantineError:
            return False

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
        with errors("the folder of the quarantine cannot be read"):
            return self._folder.identities()

    def read(self, id: str) -> bytes:  # noqa: A002 - what it is called everywhere
        """Return a file that is held.

        Raises
        ------
        DamagedError
            If it is damaged, was tampered with, or is held under another key.
        QuarantineError
            If there is none, or the disk fails.
        """
        path = self._folder.entry(id)
        with errors(f"{id}: cannot be read"), opened(path) as file:
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
        path = self._folder.entry(id)
        with errors(f"{id}: its failure cannot be noted"), self._folder.locked():
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
        path = self._folder.entry(id)
        with errors(f"{id}: its failure cannot be taken back"), self._folder.locked():
            path.stat()
            self._write_note(id, max(0, self._note(id)[0] - 1), reason)

    def delete(self, id: str) -> None:  # noqa: A002
        """Remove an entry for good; that it is gone already is no error.

        Raises
        ------
        QuarantineError
            If it cannot be removed.
        """
        path = self._folder.entry(id)
        with errors(f"{id}: cannot be deleted"), self._folder.locked():
            self._folder.remove(path)

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
        with errors("what a crash left in the quarantine cannot be removed"):
            self._folder.clear_left_overs(now)
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

    def _entry(self, identity: str) -> Held | None:
        path = self._folder.entry(identity)
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
        with errors(f"{identity}: cannot be read"), opened(path) as file:
            return self._key.describe(file, identity, length)

    def _note(self, identity: str) -> tuple[int, str]:
        """Return tries and last failure; a note that cannot be read is as good as none."""
        try:
            content = self._folder.note(identity).read_bytes()
            note = self._key.open_note(identity, content)
        except FileNotFoundError:
            return 0, ""
        except (OSError, QuarantineError):
            _log.warning("quarantine.note-unreadable", id=identity)
            return 0, ""
        return note["tries"], note["reason"]

    def _write_note(self, identity: str, tries: int, reason: str) -> None:
        note = self._key.seal_note(identity, {"tries": tries, "reason": reason[:_LONGEST_TEXT]})
        with self._folder.written(self._folder.note(identity)) as file:
            file.write(note)
