"""SQLite's write-ahead log, which lets readers and a writer work at the same time."""

from __future__ import annotations

import sqlite3
import time


def use_wal(connection: sqlite3.Connection, timeout: float) -> None:
    """Switch a database to WAL.

    SQLite's own busy timeout does not cover two processes that switch at the same time.

    Parameters
    ----------
    connection
        A connection outside a transaction.
    timeout
        Seconds to wait for another process.

    Raises
    ------
    sqlite3.Error
        If it cannot be switched.
    """
    deadline = time.monotonic() + timeout
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL").fetchone()
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
        else:
            return
