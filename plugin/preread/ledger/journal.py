"""The hooks' own record: what arrived, what was stored, what was deleted, what was refused.

It is one SQLite file on the machine of Orthanc, so that a hook never waits for a network. Every
call is one transaction in WAL mode: what has returned survives a ``kill -9`` of Orthanc, as
Orthanc's own index does. (Neither is synced to the disk at each commit, so a loss of power may
cost the last moments of both.)

Generations of an instance only ever rise. A new journal starts above the time of its making in
milliseconds, so that a journal that replaces a lost one begins above all that the lost one gave
out; `Journal.rebase` sees to it where a clock was wrong.
"""

from __future__ import annotations

import sqlite3
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType

from preread.ledger import journal_events, journal_refusals
from preread.ledger.arrival import Arrival, Arriving, Current, Event, EventKind, Refusal
from preread.ledger.errors import JournalError
from preread.ledger.journal_file import JournalFile
from preread.ledger.watch import Watch

_ARRIVE = """
INSERT INTO instance (instance, generation, state, changed, record)
VALUES (?, (SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'base') + 1, 'arriving', ?, ?)
ON CONFLICT (instance) DO UPDATE SET generation = generation + 1, state = 'arriving',
    changed = excluded.changed, record = excluded.record
RETURNING generation
"""
_STORE = """
UPDATE instance SET generation = generation + (state != 'arriving'), state = 'stored', changed = ?
WHERE instance = ? AND record IS NOT NULL
RETURNING generation, record
"""
_DELETE = """
INSERT INTO instance (instance, generation, state, changed, record)
VALUES (?, (SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'base') + 1, 'deleted', ?, NULL)
ON CONFLICT (instance) DO UPDATE SET generation = generation + 1, state = 'deleted',
    changed = excluded.changed
RETURNING generation, record
"""
_REPLAYED_AT_ONCE = 2000


class Journal:
    """The local journal of one Orthanc; safe to use from any thread and from two processes.

    Parameters
    ----------
    path
        Its file, made with mode 0600 (a missing folder with 0700).
    busy_timeout
        Seconds to wait for another thread or process that is writing.
    clock
        Seconds since 1970, UTC.

    Raises
    ------
    JournalCorrupt
        If the file is damaged or is something else.
    JournalError
        If it cannot be opened or was made by a newer Preread.
    """

    def __init__(
        self,
        path: Path,
        *,
        busy_timeout: float = 1.0,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._clock = clock
        self._file = JournalFile(path, busy_timeout, base=int(clock() * 1000))
        self._watch = Watch(self._file, clock)

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    @property
    def path(self) -> Path:
        """The journal's file."""
        return self._file.path

    @property
    def watch(self) -> Watch:
        """What tells an instance that went through the receive hook from one that did not."""
        return self._watch

    # What the hooks tell.

    def arrive(self, arrival: Arrival) -> int:
        """Write down that an instance is about to be stored.

        Returns
        -------
        int
            Its new generation; every older one is out of date from now on.

        Raises
        ------
        JournalError
            If it could not be written. The instance must then be refused.
        """
        record = arrival.to_json()
        with self._file.writing() as database:
            row = database.execute(_ARRIVE, (arrival.instance, self._clock(), record)).fetchone()
            return int(row[0])

    def stored(self, instance: str, *, generation: int | None = None) -> bool:
        """Write down that an instance is stored; from now on it will be read.

        If it was not arriving (another store of the same instance came between), its generation
        rises: which of the two was stored last is not known, so what is stored is read again.

        Parameters
        ----------
        instance
            Orthanc's id.
        generation
            If given, do nothing unless it is still arriving in this generation.

        Returns
        -------
        bool
            Whether it was written down.

        Raises
        ------
        JournalError
            If it could not be written, or the instance never arrived.
        """
        with self._file.writing() as database:
            if generation is not None and not _is_arriving(database, instance, generation):
                return False
            now = self._clock()
            row = database.execute(_STORE, (now, instance)).fetchone()
            if row is None:
                raise JournalError(
                    f"journal {self.path}: instance {instance} was stored but never arrived; "
                    "is another plugin storing past the receive hook?"
                )
            journal_events.add(database, EventKind.STORED, instance, row[0], now, row[1])
            return True

    def deleted(self, instance: str) -> int:
        """Write down that an instance was deleted, and return its new generation."""
        with self._file.writing() as database:
            return self._delete(database, instance)

    def abandon(self, instance: str, *, generation: int | None = None) -> bool:
        """Write down that an arriving instance was never stored, or is no longer there.

        Parameters
        ----------
        instance
            Orthanc's id.
        generation
            If given, do nothing unless it is still arriving in this generation.

        Returns
        -------
        bool
            Whether it was still arriving.
        """
        with self._file.writing() as database:
            if not _is_arriving(database, instance, generation):
                return False
            self._delete(database, instance)
            return True

    def _delete(self, database: sqlite3.Connection, instance: str) -> int:
        now = self._clock()
        row = database.execute(_DELETE, (instance, now)).fetchone()
        journal_events.add(database, EventKind.DELETED, instance, row[0], now, row[1])
        return int(row[0])

    def current(self, instance: str) -> Current | None:
        """Return the generation of an instance and whether it is deleted; None if unknown."""
        with self._file.reading() as database:
            row = database.execute(
                "SELECT generation, state FROM instance WHERE instance = ?", (instance,)
            ).fetchone()
        return None if row is None else Current(int(row[0]), row[1] == "deleted")

    def arriving(self, older_than_seconds: float, limit: int = 1000) -> list[Arriving]:
        """Return the instances that arrived long ago and were not stored yet, oldest first."""
        with self._file.reading() as database:
            rows = database.execute(
                "SELECT instance, generation, changed FROM instance "
                "WHERE state = 'arriving' AND changed <= ? ORDER BY changed LIMIT ?",
                (self._clock() - older_than_seconds, limit),
            ).fetchall()
        return [Arriving(row[0], row[1], _utc(row[2])) for row in rows]

    def refuse(self, origin: str, reason: str) -> None:
        """Write down that an object was not taken.

        Parameters
        ----------
        origin
            Where it came from: C-STORE, REST, ...
        reason
            Why, free of any value of the data set.
        """
        with self._file.writing() as database:
            journal_refusals.refuse(database, self._clock(), origin, reason)

    def refusals(self, limit: int = 100) -> list[Refusal]:
        """Return the latest refusals, newest first; the last 1000 are kept."""
        with self._file.reading() as database:
            rows = database.execute(
                "SELECT time, origin, reason FROM refusal ORDER BY id DESC LIMIT ?", (limit,)
            ).fetchall()
        return [Refusal(_utc(row[0]), row[1], row[2]) for row in rows]

    def refused_count(self) -> int:
        """Return how many objects were refused since the journal was made."""
        with self._file.reading() as database:
            return _last_number(database, "refusal")

    # What is remembered.

    @property
    def uuid(self) -> str:
        """What tells this journal from one that replaced it."""
        return self._setting("uuid") or ""

    @property
    def key_fingerprint(self) -> str | None:
        """The fingerprint of the secret that this node works with; None before the first."""
        return self._setting("key_fingerprint")

    @key_fingerprint.setter
    def key_fingerprint(self, fingerprint: str | None) -> None:
        with self._file.writing() as database:
            if fingerprint is None:
                database.execute("DELETE FROM setting WHERE name = 'key_fingerprint'")
            else:
                database.execute(
                    "INSERT OR REPLACE INTO setting VALUES ('key_fingerprint', ?)", (fingerprint,)
                )

    def _setting(self, name: str) -> str | None:
        with self._file.reading() as database:
            row = database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    # What the forwarder needs.

    def events_after(self, seq: int, limit: int = 500) -> list[Event]:
        """Return the events behind `seq`, in their order."""
        with self._file.reading() as database:
            rows = journal_events.rows_after(database, seq, limit)
        return journal_events.read(rows, self.path)

    def prune(self, seq: int) -> None:
        """Forget the events up to `seq`: they are safe in the ledger."""
        with self._file.writing() as database:
            journal_events.forget(database, seq)

    def last_seq(self) -> int:
        """Return the number of the last event that was ever written."""
        with self._file.reading() as database:
            return _last_number(database, "event")

    def pruned(self) -> int:
        """Return the number of the last event that was forgotten."""
        return int(self._setting("pruned") or 0)

    def checkpoint(self) -> None:
        """Move what was written from the WAL into the file.

        The forwarder does this, because it syncs to the disk: a hook that had to would keep its
        sender waiting.
        """
        with self._file.reading() as database:
            database.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def adopt(self, generations: Iterable[tuple[str, int]]) -> int:
        """Take over instances from the ledger that this journal does not know.

        Parameters
        ----------
        generations
            Orthanc's ids with their generations.

        Returns
        -------
        int
            How many were unknown.
        """
        now = self._clock()
        with self._file.writing() as database:
            cursor = database.executemany(
                "INSERT OR IGNORE INTO instance (instance, generation, state, changed, record) "
                "VALUES (?, ?, 'stored', ?, NULL)",
                [(instance, generation, now) for instance, generation in generations],
            )
            return cursor.rowcount

    def rebase(self, highest: int) -> bool:
        """Raise all generations above `highest`, the highest one the ledger knows, if need be.

        Returns
        -------
        bool
            Whether they had to be.
        """
        with self._file.writing() as database:
            base = int(
                database.execute("SELECT value FROM setting WHERE name = 'base'").fetchone()[0]
            )
            if base >= highest:
                return False
            shift = highest - base
            database.execute("UPDATE instance SET generation = generation + ?", (shift,))
            database.execute("UPDATE event SET generation = generation + ?", (shift,))
            database.execute("UPDATE setting SET value = ? WHERE name = 'base'", (str(highest),))
            return True

    def replay(self) -> None:
        """Write an event for every instance again, for a ledger that lost some.

        What the ledger does know changes nothing: its generation is not a new one.
        """
        with self._file.reading() as database:
            last = database.execute("SELECT COALESCE(MAX(rowid), 0) FROM instance").fetchone()[0]
        # In pieces: a hook must not wait for all of it.
        for start in range(0, last, _REPLAYED_AT_ONCE):
            with self._file.writing() as database:
                journal_events.repeat(database, start, start + _REPLAYED_AT_ONCE)

    def renew(self) -> None:
        """Become another journal, as one that was restored from a backup must."""
        with self._file.writing() as database:
            database.execute(
                "UPDATE setting SET value = ? WHERE name = 'uuid'", (str(uuid.uuid4()),)
            )


def _is_arriving(database: sqlite3.Connection, instance: str, generation: int | None) -> bool:
    row: Sequence[object] | None = database.execute(
        "SELECT generation, state FROM instance WHERE instance = ?", (instance,)
    ).fetchone()
    return row is not None and row[1] == "arriving" and generation in (None, row[0])


def _last_number(database: sqlite3.Connection, table: str) -> int:
    row = database.execute("SELECT seq FROM sqlite_sequence WHERE name = ?", (table,)).fetchone()
    return 0 if row is None else int(row[0])


def _utc(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, UTC)
