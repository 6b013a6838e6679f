"""What tells an instance that went through the receive hook from one that got past it.

All of it lies in the journal: the times at which the hooks were at work, the results of our own,
how far Orthanc's list of changes was compared with the journal, and how many were found.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from preread.ledger.journal_file import JournalFile
from preread.ledger.journal_refusals import refuse

GRACE = 10.0
"""Seconds after the last sign of life for which hooks that ended without a word were at work."""

_KEPT_LIVES = 20


class Watch:
    """The part of a journal by which escaped instances are known; see `Journal.watch`.

    Parameters
    ----------
    file
        The journal's file.
    clock
        Seconds since 1970, UTC.
    """

    def __init__(self, file: JournalFile, clock: Callable[[], float] = time.time) -> None:
        self._file = file
        self._clock = clock

    def begin(self) -> None:
        """Note that the hooks begin to de-identify all that comes."""
        lives = [*self._lives(), [self._clock(), self._clock(), GRACE]]
        self._set("watched", json.dumps(lives[-_KEPT_LIVES:]))

    def go_on(self, *, ends: bool = False) -> None:
        """Note that the hooks are still at work, or that they end; call this every few seconds."""
        lives = self._lives()
        if lives:
            lives[-1] = [lives[-1][0], self._clock(), 0.0 if ends else GRACE]
            self._set("watched", json.dumps(lives))

    def covers(self, moment: datetime) -> bool:
        """Tell whether the hooks were at work in the whole of a second.

        What was stored at any other time was never theirs to see.
        """
        seconds = math.floor(moment.timestamp())
        return any(began <= seconds <= seen + grace for began, seen, grace in self._lives())

    def _lives(self) -> list[list[float]]:
        found = self._get("watched")
        lives = [] if found is None else json.loads(found)
        return [[float(each) for each in life] for life in lives]

    def own(self, instance: str) -> None:
        """Note that an instance that is stored is a result of our own.

        One that is known by its arrival stays as it is.
        """
        with self._file.writing() as database:
            database.execute(
                "INSERT INTO instance (instance, generation, state, changed, record) VALUES "
                "(?, (SELECT CAST(value AS INTEGER) FROM setting WHERE name = 'base') + 1, "
                "'stored', ?, NULL) ON CONFLICT (instance) DO UPDATE "
                "SET state = 'stored', changed = excluded.changed WHERE record IS NULL",
                (instance, self._clock()),
            )

    def unknown(self, instances: Iterable[str]) -> set[str]:
        """Return those of some instances that neither arrived here nor are results of our own.

        The deletion of an instance that never arrived does not make it known.
        """
        asked = set(instances)
        if not asked:
            return asked
        with self._file.reading() as database:
            known = database.execute(
                "SELECT instance FROM instance "
                "WHERE instance IN (SELECT value FROM json_each(?)) "
                "AND (record IS NOT NULL OR state != 'deleted')",
                (json.dumps(sorted(asked)),),
            ).fetchall()
        return asked - {row[0] for row in known}

    def escaped(self, origin: str, reason: str) -> None:
        """Write down that an instance had escaped, where refusals are told."""
        with self._file.writing() as database:
            refuse(database, self._clock(), origin, reason)
            database.execute(
                "INSERT INTO setting VALUES ('escaped', '1') ON CONFLICT (name) "
                "DO UPDATE SET value = CAST(value AS INTEGER) + 1"
            )

    def escaped_count(self) -> int:
        """Return how many have escaped since the journal was made."""
        return int(self._get("escaped") or 0)

    @property
    def compared(self) -> int:
        """How far Orthanc's list of changes was compared with the journal: a sequence number."""
        return int(self._get("compared") or 0)

    @compared.setter
    def compared(self, seq: int) -> None:
        self._set("compared", str(seq))

    def _get(self, name: str) -> str | None:
        with self._file.reading() as database:
            row = database.execute("SELECT value FROM setting WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _set(self, name: str, value: str) -> None:
        with self._file.writing() as database:
            database.execute("INSERT OR REPLACE INTO setting VALUES (?, ?)", (name, value))


def moment_of(text: str) -> datetime | None:
    """Return the UTC time that Orthanc writes as ``20260131T235959``; None if it is none.

    >>> moment_of("20260131T235959")
    datetime.datetime(2026, 1, 31, 23, 59, 59, tzinfo=datetime.timezone.utc)
    >>> moment_of("yesterday")
    """
    try:
        return datetime.strptime(text[:15], "%Y%m%dT%H%M%S").replace(tzinfo=UTC)
    except ValueError:
        return None
