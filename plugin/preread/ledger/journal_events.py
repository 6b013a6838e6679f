"""The journal's events: what the hooks wrote down, in the order in which the ledger takes it.

Everything here works on a connection of the caller, in its transaction where it writes.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from preread.ledger.arrival import Arrival, ArrivalError, Event, EventKind
from preread.ledger.errors import JournalCorrupt
from preread.ledger.journal_file import RECOVERY

_EVENT: Final = (
    "INSERT INTO event (kind, instance, generation, time, record) VALUES (?, ?, ?, ?, ?)"
)
_REPLAY: Final = """
INSERT INTO event (kind, instance, generation, time, record)
SELECT state, instance, generation, changed, record FROM instance
WHERE state != 'arriving' AND rowid > ? AND rowid <= ?
"""

Row = tuple[int, str, str, int, float, str | None]


def add(
    database: sqlite3.Connection,
    kind: EventKind,
    instance: str,
    generation: int,
    seconds: float,
    record: str | None,
) -> None:
    """Write an event behind all others.

    Parameters
    ----------
    seconds
        When, since 1970, UTC.
    record
        The instance's arrival as JSON, if it is known.
    """
    database.execute(_EVENT, (kind, instance, generation, seconds, record))


def rows_after(database: sqlite3.Connection, seq: int, limit: int) -> list[Row]:
    """Return the events behind `seq` as they are kept."""
    return database.execute(
        "SELECT seq, kind, instance, generation, time, record FROM event "
        "WHERE seq > ? ORDER BY seq LIMIT ?",
        (seq, limit),
    ).fetchall()


def read(rows: Sequence[Row], path: Path) -> list[Event]:
    """Return events for rows of the journal in a file, in their order.

    Raises
    ------
    JournalCorrupt
        If one is none.
    """
    try:
        return [
            Event(
                seq=row[0],
                kind=EventKind(row[1]),
                instance=row[2],
                generation=row[3],
                time=datetime.fromtimestamp(row[4], UTC),
                arrival=None if row[5] is None else Arrival.from_json(row[5]),
            )
            for row in rows
        ]
    except (ArrivalError, ValueError) as error:
        raise JournalCorrupt(
            f"journal {path}: an event cannot be read ({type(error).__name__}); {RECOVERY}"
        ) from None


def forget(database: sqlite3.Connection, seq: int) -> None:
    """Delete the events up to `seq`, and note that there were some."""
    database.execute("DELETE FROM event WHERE seq <= ?", (seq,))
    database.execute(
        "UPDATE setting SET value = MAX(CAST(value AS INTEGER), ?) WHERE name = 'pruned'", (seq,)
    )


def repeat(database: sqlite3.Connection, after: int, last: int) -> None:
    """Write an event for each instance again whose rowid is above `after`, and `last` at most."""
    database.execute(_REPLAY, (after, last))
