"""What a run remembers in its destination, so that the next one goes on where it ended.

Nothing here leads back to the source: its paths are kept as keyed HMACs.
"""

from __future__ import annotations

import dataclasses
import fcntl
import hmac
import json
import os
import sqlite3
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from preread.deidentify import DeidentifyOptions, Secret
from preread.deidentify.folders.errors import FolderError
from preread.deidentify.folders.listing import Found

FOLDER: Final = ".preread-deidentify"
_FORMAT: Final = "1"
_TABLES: Final = """
CREATE TABLE IF NOT EXISTS run (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS result (
    source BLOB PRIMARY KEY, version BLOB NOT NULL, location TEXT NOT NULL, size INTEGER NOT NULL,
    patient TEXT NOT NULL, study TEXT NOT NULL, series TEXT NOT NULL, instance TEXT NOT NULL
) WITHOUT ROWID;
CREATE INDEX IF NOT EXISTS result_instance ON result (instance);
CREATE INDEX IF NOT EXISTS result_location ON result (location);
"""
_COLUMNS: Final = "source, version, location, size, patient, study, series, instance"


@dataclasses.dataclass(frozen=True, slots=True)
class Result:
    """A source that is done.

    Attributes
    ----------
    source
        HMAC of its path relative to the source folder.
    version
        HMAC of that with its size and time of change.
    location
        Path of the result relative to the destination; two sources with the same content share it.
    size
        Of the result, in bytes.
    patient, study, series, instance
        The new PatientID and UIDs.
    """

    source: bytes
    version: bytes
    location: str
    size: int
    patient: str
    study: str
    series: str
    instance: str


class FolderState:
    """The record of one destination; one process holds it at a time.

    Parameters
    ----------
    destination
        The folder, made with mode 0700 if it is missing.
    secret
        The key of this run.
    options
        What is chosen in this run.

    Raises
    ------
    FolderError
        If the folder holds something else, another run works in it, or an earlier one used another
        key or other options.
    """

    def __init__(self, destination: Path, secret: Secret, options: DeidentifyOptions) -> None:
        self._key = secret.derive("folder state")
        self._destination = destination
        self._lock = _locked(destination)
        try:
            self._database = sqlite3.connect(_file(destination), isolation_level=None)
            self._database.execute("PRAGMA journal_mode=WAL")
            self._database.execute("PRAGMA synchronous=NORMAL")
            self._database.executescript(_TABLES)
            self._agree("format", _FORMAT, "this version of Preread cannot read")
            self._agree("key", secret.fingerprint, "was made with another key")
            self._agree("options", self._mac(_canonical(options)).hex(), "has other options")
        except sqlite3.Error:
            os.close(self._lock)
            raise FolderError(
                f"{destination}: the record of what is done ({FOLDER}) is damaged; choose another "
                "destination"
            ) from None
        except FolderError:
            self.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let the folder go."""
        self._database.close()
        os.close(self._lock)

    @property
    def unfinished(self) -> Path:
        """The folder for results that are not yet where they belong."""
        return self._destination / FOLDER / "unfinished"

    def layout(self, wanted: str) -> str:
        """Return the layout that the first run chose, which is the wanted one if this is it."""
        self._database.execute("INSERT OR IGNORE INTO run VALUES ('layout', ?)", (wanted,))
        return self._value("layout") or wanted

    def identify(self, found: Found) -> tuple[bytes, bytes]:
        """Return what stands for a file's path, and for its path with its content's age."""
        name = os.fsencode(found.name)
        return self._mac(name), self._mac(name + b"\0%d %d" % (found.size, found.modified))

    def result_of(self, source: bytes) -> Result | None:
        """Return what came of a source, if anything did."""
        return next(self._results("source = ?", source), None)

    def results_with(self, instance: str) -> list[Result]:
        """Return the results that have a SOPInstanceUID."""
        return list(self._results("instance = ?", instance))

    def results_at(self, location: str) -> list[Result]:
        """Return the results that lie at a place."""
        return list(self._results("location = ?", location))

    def all_results(self) -> list[Result]:
        """Return all results by their places."""
        return list(self._results("1 ORDER BY location, source"))

    def is_there(self, result: Result) -> bool:
        """Tell whether a result's file is still there, in full."""
        try:
            return (self._destination / result.location).stat().st_size == result.size
        except OSError:
            return False

    def put(self, result: Result) -> None:
        """Remember a result in place of what was known of its source."""
        marks = ", ".join("?" * 8)
        self._database.execute(
            f"INSERT OR REPLACE INTO result ({_COLUMNS}) VALUES ({marks})",  # noqa: S608
            dataclasses.astuple(result),
        )

    def _results(self, condition: str, *values: object) -> Iterator[Result]:
        query = f"SELECT {_COLUMNS} FROM result WHERE {condition}"  # noqa: S608 - own words only
        for row in self._database.execute(query, values):
            yield Result(*row)

    def _value(self, name: str) -> str | None:
        row = self._database.execute("SELECT value FROM run WHERE name = ?", (name,)).fetchone()
        return None if row is None else str(row[0])

    def _agree(self, name: str, value: str, otherwise: str) -> None:
        self._database.execute("INSERT OR IGNORE INTO run VALUES (?, ?)", (name, value))
        if self._value(name) != value:
            raise FolderError(
                f"{self._destination}: what an earlier run left there {otherwise}; use the same "
                "again or choose another destination"
            )

    def _mac(self, message: bytes) -> bytes:
        return hmac.digest(self._key, message, "sha256")


def patients_file(destination: Path) -> Path:
    """Return the file of a destination that tells whose a study is."""
    return destination / FOLDER / "patients.sqlite"


def earlier_key(destination: Path) -> str | None:
    """Return the fingerprint of the key that an earlier run used, None if there was none."""
    file = _file(destination)
    if not file.is_file():
        return None
    try:
        database = sqlite3.connect(file)
        try:
            row = database.execute("SELECT value FROM run WHERE name = 'key'").fetchone()
        finally:
            database.close()
    except sqlite3.Error:
        return None
    return None if row is None else str(row[0])


def _file(destination: Path) -> Path:
    return destination / FOLDER / "state.sqlite"


def _locked(destination: Path) -> int:
    try:
        destination.mkdir(mode=0o700, parents=True, exist_ok=True)
        own = destination / FOLDER
        if not own.is_dir() and any(destination.iterdir()):
            raise FolderError(
                f"{destination}: expected a new or empty folder, or one that an earlier run made"
            )
        own.mkdir(mode=0o700, exist_ok=True)
        (own / "unfinished").mkdir(mode=0o700, exist_ok=True)
        descriptor = os.open(own / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise FolderError(f"{destination}: cannot be written ({error.strerror})") from None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise FolderError(f"{destination}: another run works in it; wait for its end") from None
    for left in (own / "unfinished").iterdir():
        left.unlink()  # of a run that was killed
    return descriptor


def _canonical(options: object) -> bytes:
    """Write options so that equal ones give equal bytes in every process."""
    return json.dumps(_plain(options), sort_keys=True).encode()


def _plain(value: Any) -> Any:
    if dataclasses.is_dataclass(value):
        fields = dataclasses.fields(value)
        value = {field.name: getattr(value, field.name) for field in fields}
    if isinstance(value, Mapping):
        value = sorted(([_plain(key), _plain(one)] for key, one in value.items()), key=repr)
    elif isinstance(value, set | frozenset):
        value = sorted((_plain(one) for one in value), key=repr)
    elif isinstance(value, list | tuple):
        value = [_plain(one) for one in value]
    elif not isinstance(value, str | int | float | None):
        value = str(value)  # of what is left only paths
    return value
