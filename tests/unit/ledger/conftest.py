from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Protocol

import pytest

from preread.findings.prediction import Prediction
from preread.ledger.arrival import Arrival
from preread.ledger.forwarder import Forwarder
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger
from tests.postgres_server import PostgresServer


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
