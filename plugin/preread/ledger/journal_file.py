"""The journal's file: making it, opening it, and what its errors mean."""

from __future__ import annotations

import sqlite3
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from preread.ledger.errors import JournalCorrupt, JournalError
from preread.wal import use_wal

_APPLICATION_ID = 0x50524A4C  # "PRJL"
_VERSION = 1
# Above this a check of the whole file would hold up the start of Orthanc.
_LARGEST_CHECKED = 64 << 20
# The forwarder moves the WAL into the file long before it has this many pages of 4 KiB.
_AUTOCHECKPOINT = 8000

RECOVERY = (
    "stop Orthanc and restore the file, or move it away: a new one is made, and what had not "
    "reached the ledger must be analyzed again"
)

_SCHEMA = """
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE instance (
    instance TEXT PRIMARY KEY,
    generation INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('arriving', 'stored', 'deleted')),
    changed REAL NOT NULL,
    record TEXT
);
CREATE INDEX instance_arriving ON instance (changed) WHERE state = 'arriving';
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    kind TEXT NOT NULL,
    instance TEXT NOT NULL,
    generation INTEGER NOT NULL,
    time REAL NOT NULL,
    record TEXT
);
CREATE TABLE refusal (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    time REAL NOT NULL,
    origin TEXT NOT NULL,
    reason TEXT NOT NULL
);
"""

_MEANINGS = {
    "SQLITE_FULL": "the disk is full; make room",
    "SQLITE_BUSY": "another process holds it; try again",
    "SQLITE_LOCKED": "another process holds it; try again",
    "SQLITE_READONLY": "it cannot be written; check the permissions of the file and its folder",
    "SQLITE_CANTOPEN": "it cannot be opened; check the permissions of the file and its folder",
    "SQLITE_PERM": "it cannot be opened; check the permissions of the file and its folder",
    "SQLITE_IOERR": "the disk reports an error or has no room",
}


def explained(error: sqlite3.Error, path: Path) -> JournalError:
    """Turn an error of SQLite into one that says what to do."""
    name = getattr(error, "sqlite_errorname", "") or type(error).__name__
    if name.startswith(("SQLITE_CORRUPT", "SQLITE_NOTADB")):
        return JournalCorrupt(f"journal {path}: damaged ({name}); {RECOVERY}")
    for code, meaning in _MEANINGS.items():
        if name.startswith(code):
            return JournalError(f"journal {path}: {meaning} ({name})")
    return JournalError(f"journal {path}: {name}")


class JournalFile:
    """The open file of a journal; one thread at a time uses its connection.

    Parameters
    ----------
    path
        The file, made with mode 0600 (a missing folder with 0700).
    busy_timeout
        Seconds to wait for another thread or process.
    base
        What the generations of a new journal start above.

    Raises
    ------
    JournalCorrupt
        If the file is damaged or is something else.
    JournalError
        If it cannot be opened or was made by a newer Preread.
    """

    def __init__(self, path: Path, busy_timeout: float, *, base: int) -> None:
        self.path = path
        self._timeout = busy_timeout
        self._lock = threading.Lock()
        _make(path)
        try:
            self._connection = sqlite3.connect(
                path, timeout=busy_timeout, isolation_level=None, check_same_thread=False
            )
        except sqlite3.Error as error:
            raise explained(error, path) from None
        try:
            _prepare(self._connection, path, busy_timeout, base)
        except sqlite3.Error as error:
            self._connection.close()
            raise explained(error, path) from None
        except JournalError:
            self._connection.close()
            raise
        self._inode = _inode(path)

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            self._connection.close()

    @contextmanager
    def reading(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection outside a transaction."""
        if not self._lock.acquire(timeout=self._timeout):
            raise JournalError(f"journal {self.path}: busy for {self._timeout:g} s; try again")
        try:
            yield self._connection
        except sqlite3.Error as error:
            raise explained(error, self.path) from None
        finally:
            self._lock.release()

    @contextmanager
    def writing(self) -> Iterator[sqlite3.Connection]:
        """Lend the connection in a transaction, undone if an exception passes."""
        with self.reading() as database:
            if _inode(self.path) != self._inode:
                # SQLite would go on writing into a file that no longer has a name.
                raise JournalError(
                    f"journal {self.path}: the file was removed or replaced while in use; "
                    "restart Orthanc"
                )
            database.execute("BEGIN IMMEDIATE")
            try:
                yield database
                database.execute("COMMIT")
            except BaseException:
                if database.in_transaction:
                    database.execute("ROLLBACK")
                raise


def _inode(path: Path) -> tuple[int, int] | None:
    """Return what tells the file at `path` from another one; None if there is none."""
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_dev, status.st_ino


def _make(path: Path) -> None:
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        # SQLite gives its -wal and -shm files the mode of this one.
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        if not path.is_file():
            raise JournalError(f"journal {path}: expected a file") from None
    except OSError as error:
        raise JournalError(f"journal {path}: cannot be made ({error.strerror})") from None


def _prepare(connection: sqlite3.Connection, path: Path, busy_timeout: float, base: int) -> None:
    _check_kind(connection, path)
    if path.stat().st_size <= _LARGEST_CHECKED:
        found = connection.execute("PRAGMA quick_check(1)").fetchone()
        if found is None or found[0] != "ok":
            raise JournalCorrupt(f"journal {path}: damaged; {RECOVERY}")
    use_wal(connection, busy_timeout)
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute(f"PRAGMA wal_autocheckpoint = {_AUTOCHECKPOINT}")
    if _number(connection, "user_version") < _VERSION:
        _create(connection, base)
    _check_kind(connection, path)


def _check_kind(connection: sqlite3.Connection, path: Path) -> None:
    version, kind = _number(connection, "user_version"), _number(connection, "application_id")
    tables = connection.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]
    if kind != _APPLICATION_ID and (tables or version):
        raise JournalCorrupt(f"journal {path}: another program's database; move it away")
    if version > _VERSION:
        raise JournalError(
            f"journal {path}: made by a newer Preread (version {version}, this one knows "
            f"{_VERSION}); install that one again"
        )


def _create(connection: sqlite3.Connection, base: int) -> None:
    connection.execute("BEGIN IMMEDIATE")
    try:
        if _number(connection, "user_version") < _VERSION:
            for statement in _SCHEMA.split(";")[:-1]:
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO setting VALUES (?, ?)",
                [("uuid", str(uuid.uuid4())), ("base", str(base)), ("pruned", "0")],
            )
            connection.execute(f"PRAGMA application_id = {_APPLICATION_ID}")
            connection.execute(f"PRAGMA user_version = {_VERSION}")
        connection.execute("COMMIT")
    except BaseException:
        if connection.in_transaction:
            connection.execute("ROLLBACK")
        raise


def _number(connection: sqlite3.Connection, pragma: str) -> int:
    return int(connection.execute(f"PRAGMA {pragma}").fetchone()[0])
