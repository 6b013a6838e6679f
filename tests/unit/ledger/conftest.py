from __future__ import annotations

import getpass
import hashlib
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import psycopg
import pytest
from psycopg import sql

from preread.ledger.arrival import Arrival
from preread.ledger.forwarder import Forwarder
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from preread.models.prediction import Prediction


def orthanc_id(text: str) -> str:
    digest = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
    return "-".join(digest[start : start + 8] for start in range(0, 40, 8))


class MakeArrival(Protocol):
    def __call__(self, number: int = 0, **changes: Any) -> Arrival: ...


@pytest.fixture(scope="session")
def arrival_of() -> MakeArrival:
    def make(number: int = 0, **changes: Any) -> Arrival:
        fields: dict[str, Any] = {
            "instance": orthanc_id(f"instance {number}"),
            "series": orthanc_id("series"),
            "study": orthanc_id("study"),
            "patient": orthanc_id("patient"),
            "SOPInstanceUID": f"2.25.1{number}",
            "SeriesInstanceUID": "2.25.2",
            "StudyInstanceUID": "2.25.3",
            "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
            "Modality": "CT",
            "models": ("MobileNetV2", "InceptionV3"),
            "fingerprint": "f" * 64,
            "reason": "",
            "body_parts": ("51185008",),
            "work": True,
        }
        return Arrival(**(fields | changes))

    return make


@pytest.fixture
def prediction() -> Prediction:
    return Prediction(
        model="MobileNetV2",
        version="1.0.0",
        dataset="IQ-OTH/NCCD",
        weights_sha256="0" * 64,
        classes=("Benign", "Malignant"),
        probabilities=(0.3, 0.7),
        frames=((0.2, 0.8), (0.4, 0.6)),
        date=datetime(2026, 11, 21, 9, 23, 52, 123000, tzinfo=UTC),
        engine="torch",
    )


class Clock:
    """A clock that only a test moves."""

    def __init__(self) -> None:
        self.now = datetime(2026, 11, 21, 9, 0, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now

    def seconds(self) -> float:
        return self.now.timestamp()

    def advance(self, seconds: float) -> None:
        self.now += timedelta(seconds=seconds)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    with Journal(tmp_path / "journal.sqlite", clock=clock.seconds) as journal:
        yield journal


def _programs() -> Path | None:
    """Find the newest PostgreSQL server on this machine."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: p.parts[-3])
    if found:
        return found[-1].parent
    program = shutil.which("initdb")
    return None if program is None else Path(program).resolve().parent


class PostgresServer:
    """A private PostgreSQL that listens on a socket in its own folder only."""

    def __init__(self, programs: Path, folder: Path) -> None:
        self._programs = programs
        self._folder = folder
        self._options: dict[str, Any] = {}
        self._places = 0
        if os.geteuid() == 0:
            # The server refuses to run as root.
            user = _unprivileged()
            os.chown(folder, user.pw_uid, user.pw_gid)
            self._options = {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        self._call("initdb", "-D", f"{folder}/data", "-U", "preread", "-A", "trust", "--no-sync")
        self.start()

    def _call(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            [str(self._programs / program), *arguments],
            capture_output=True,
            text=True,
            check=False,
            cwd=self._folder,
            **self._options,
        )
        assert done.returncode == 0, done.stderr

    def start(self) -> None:
        with (self._folder / "log").open("ab") as log:
            self._process = subprocess.Popen(
                [
                    str(self._programs / "postgres"),
                    *("-D", f"{self._folder}/data", "-k", str(self._folder)),
                    # Safe against kills, if not against power failures, and much faster.
                    *("-c", "listen_addresses=", "-c", "fsync=off"),
                ],
                stdout=log,
                stderr=log,
                cwd=self._folder,
                **self._options,
            )
        deadline = time.monotonic() + 60
        while True:
            try:
                self._connect().close()
            except psycopg.OperationalError:
                assert self._process.poll() is None, (self._folder / "log").read_text()
                assert time.monotonic() < deadline, "PostgreSQL does not answer"
                time.sleep(0.05)
            else:
                return

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        self._process.send_signal(how)
        self._process.wait(timeout=60)

    def _connect(self) -> psycopg.Connection[tuple[Any, ...]]:
        return psycopg.connect(
            host=str(self._folder), user="preread", dbname="postgres", autocommit=True
        )

    def url(self) -> str:
        """Return the URL of an empty place: a schema, which is made faster than a database."""
        self._places += 1
        name = f"place{self._places}"
        with self._connect() as connection:
            connection.execute(sql.SQL("CREATE SCHEMA {}").format(sql.Identifier(name)))
        return f"postgresql://preread@/postgres?host={self._folder}&options=-csearch_path%3D{name}"


def _unprivileged() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam("postgres")
    except KeyError:
        return pwd.getpwnam("nobody")


@pytest.fixture(scope="session")
def postgres_server() -> Iterator[PostgresServer]:
    programs = _programs()
    if programs is None:
        pytest.skip("the PostgreSQL server programs (initdb, postgres) are not installed")
    # Not below pytest's own folder, which only the present user may enter.
    folder = Path(tempfile.mkdtemp(prefix=f"preread-{getpass.getuser()}-"))
    server = PostgresServer(programs, folder)
    try:
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder)


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The URL of an empty ledger, once for each kind of database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/ledger.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres_server")
    return server.url()


OpenLedger = Callable[..., SqlLedger]


@pytest.fixture
def open_ledger(url: str, clock: Clock) -> Iterator[OpenLedger]:
    opened = []

    def make(**changes: Any) -> SqlLedger:
        ledger = SqlLedger(url, **({"clock": clock} | changes))
        opened.append(ledger)
        return ledger

    yield make
    for ledger in opened:
        ledger.close()


@pytest.fixture
def ledger(open_ledger: OpenLedger) -> SqlLedger:
    return open_ledger()


@pytest.fixture
def forwarder(journal: Journal, ledger: SqlLedger) -> Forwarder:
    return Forwarder(journal, ledger)
