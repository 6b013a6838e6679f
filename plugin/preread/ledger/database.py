"""The database under the ledger: SQLite on this machine, or PostgreSQL for several.

All that differs between the two is in this module.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path

from sqlalchemy import (
    URL,
    Connection,
    Engine,
    create_engine,
    event,
    func,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.engine.interfaces import DBAPIConnection
from sqlalchemy.exc import ArgumentError, DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.orm import Session
from sqlalchemy.pool import ConnectionPoolEntry

from preread.ledger.errors import LedgerError
from preread.wal import use_wal

# The newest step of the migrations; a test compares it with them.
HEAD = "v0011"
_MIGRATION_LOCK = 0x5052_4C47  # any number will do, as long as every Preread has the same
_POSTGRESQL = "postgresql+psycopg"


class Database:
    """An open ledger database whose tables are up to date.

    Parameters
    ----------
    url
        An SQLAlchemy URL of SQLite or PostgreSQL.
    busy_timeout
        Seconds to wait for a lock.

    Raises
    ------
    LedgerError
        If it cannot be reached, opened or brought up to date, or a newer Preread made it.
    """

    def __init__(self, url: str, *, busy_timeout: float = 10.0) -> None:
        self._url = _checked(url)
        self.shown = self._url.render_as_string(hide_password=True)
        if self._url.drivername == "sqlite":
            _make_file(self._url)
        self._engine = _engine(self._url, busy_timeout)
        try:
            with self._errors():
                self._bring_up_to_date()
        except BaseException:
            self._engine.dispose()
            raise

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()

    @property
    def engine(self) -> Engine:
        """The engine, for tests and inspection."""
        return self._engine

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """Open a transaction that only reads."""
        with self._errors(), Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def writing(self) -> Iterator[Session]:
        """Open a transaction that is committed at the end, or undone if an exception passes.

        On SQLite it holds the only write lock from its beginning: a transaction that reads first
        and writes later could not get it any more.
        """
        engine = self._engine.execution_options(preread_writes=True)
        with (
            self._errors(),
            Session(engine, expire_on_commit=False) as session,
            session.begin(),
        ):
            yield session

    def now(self, session: Session) -> datetime:
        """Return the time by the one clock that all users of this database share."""
        if self._engine.dialect.name == "sqlite":
            return datetime.now(UTC)
        moment: datetime = session.scalars(select(func.clock_timestamp())).one()
        return moment.astimezone(UTC)

    def _bring_up_to_date(self) -> None:
        with self._engine.connect() as connection:
            if _revision(connection) == HEAD:
                return
        engine = self._engine.execution_options(preread_writes=True)
        with engine.begin() as connection:
            if connection.dialect.name != "sqlite":
                connection.execute(text("SET LOCAL statement_timeout = 0"))
                connection.execute(text("SET LOCAL lock_timeout = 0"))
                connection.execute(select(func.pg_advisory_xact_lock(_MIGRATION_LOCK)))
            # Another process may have been first.
            if _revision(connection) != HEAD:
                _migrate(connection, self.shown)

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except SQLAlchemyError as error:
            raise LedgerError(f"ledger {self.shown}: {_meaning(error)}") from None


def _checked(url: str) -> URL:
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError):
        raise LedgerError(
            "Preread.Ledger.Url: not a database URL; expected sqlite:////absolute/path or "
            "postgresql://user:password@host/database"
        ) from None
    if parsed.drivername in ("postgresql", "postgres"):
        parsed = parsed.set(drivername=_POSTGRESQL)
    if parsed.drivername not in ("sqlite", _POSTGRESQL):
        raise LedgerError(
            f"Preread.Ledger.Url: {parsed.drivername} is not supported; use sqlite or postgresql"
        )
    if parsed.drivername == "sqlite" and not Path(parsed.database or "").is_absolute():
        raise LedgerError(
            "Preread.Ledger.Url: an SQLite ledger needs a file, sqlite:////absolute/path"
        )
    return parsed


def _make_file(url: URL) -> None:
    path = Path(url.database or "")
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        path.touch(mode=0o600, exist_ok=False)
    except FileExistsError:
        if not path.is_file():
            raise LedgerError(f"ledger {path}: not a file") from None
    except OSError as error:
        raise LedgerError(f"ledger {path}: cannot be made ({error.strerror})") from None


def _engine(url: URL, busy_timeout: float) -> Engine:
    return (_sqlite if url.drivername == "sqlite" else _postgresql)(url, busy_timeout)


def _sqlite(url: URL, busy_timeout: float) -> Engine:
    engine = create_engine(url, connect_args={"timeout": busy_timeout})

    def connected(connection: sqlite3.Connection, _entry: ConnectionPoolEntry) -> None:
        # The driver must not begin transactions by itself: see _sqlite_begin.
        connection.isolation_level = None
        use_wal(connection, busy_timeout)
        # What is acknowledged here is forgotten by the journal: it must be on the disk.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")

    event.listen(engine, "connect", connected)
    event.listen(engine, "begin", _sqlite_begin)
    return engine


def _postgresql(url: URL, busy_timeout: float) -> Engine:
    milliseconds = int(busy_timeout * 1000)
    engine = create_engine(
        url,
        pool_pre_ping=True,
        connect_args={"connect_timeout": max(2, int(busy_timeout)), "application_name": "preread"},
    )

    def connected(connection: DBAPIConnection, _entry: ConnectionPoolEntry) -> None:
        # Nothing that the ledger asks takes long: what does is stuck.
        cursor = connection.cursor()
        cursor.execute(f"SET lock_timeout = {milliseconds}")
        cursor.execute(f"SET statement_timeout = {6 * milliseconds}")
        cursor.close()
        connection.commit()

    event.listen(engine, "connect", connected)
    return engine


def _sqlite_begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get("preread_writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _revision(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()


def _migrate(connection: Connection, shown: str) -> None:
    # Alembic is imported only where it has something to do: this module is loaded in Orthanc.
    from alembic import command  # noqa: PLC0415 - see above
    from alembic.config import Config  # noqa: PLC0415 - see above
    from alembic.script import ScriptDirectory  # noqa: PLC0415 - see above

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    config.attributes["connection"] = connection
    known = {step.revision for step in ScriptDirectory.from_config(config).walk_revisions()}
    revision = _revision(connection)
    if revision is not None and revision not in known:
        raise LedgerError(
            f"ledger {shown}: made by a newer Preread (its tables are at {revision}, this one "
            f"knows {HEAD}); install that one again"
        )
    command.upgrade(config, "head")


def _meaning(error: SQLAlchemyError) -> str:
    """Say what went wrong without a value: the drivers' other messages may quote one."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return type(error).__name__
    cause = error.orig
    if isinstance(cause, sqlite3.Error):
        # SQLite's own messages name tables and columns, never values.
        name = getattr(cause, "sqlite_errorname", "")
        return f"{cause} ({name}){_advice(name)}"
    state = getattr(cause, "sqlstate", None)
    if isinstance(error, OperationalError) and state is None:
        # No statement ran: this is about the connection.
        return f"cannot be reached: {' '.join(str(cause).split())[:300]}"
    return f"{type(cause).__name__} (SQLSTATE {state})"


def _advice(name: str) -> str:
    for code, advice in (
        ("SQLITE_FULL", "make room on the disk"),
        ("SQLITE_READONLY", "check the permissions of the file and its folder"),
        ("SQLITE_CANTOPEN", "check the permissions of the file and its folder"),
        ("SQLITE_CORRUPT", "restore the file from a backup, or move it away"),
        ("SQLITE_NOTADB", "restore the file from a backup, or move it away"),
        ("SQLITE_BUSY", "another process holds it; try again"),
        ("SQLITE_IOERR", "the disk reports an error or has no room"),
    ):
        if name.startswith(code):
            return f"; {advice}"
    return ""
