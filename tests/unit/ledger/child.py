"""What the tests run as processes of their own, and kill: ``child.py WHAT ARGUMENTS...``."""

from __future__ import annotations

import hashlib
import resource
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

from preread.findings.prediction import Prediction
from preread.ledger.arrival import Arrival
from preread.ledger.forwarder import Forwarder
from preread.ledger.job import JobState
from preread.ledger.journal import Journal
from preread.ledger.sql import SqlLedger

FULL = 3


def _tell(*words: object) -> None:
    sys.stdout.write(" ".join(map(str, words)) + "\n")
    sys.stdout.flush()


def arrival(name: str) -> Arrival:
    digest = hashlib.sha1(name.encode(), usedforsecurity=False).hexdigest()
    identifier = "-".join(digest[start : start + 8] for start in range(0, 40, 8))
    return Arrival(
        instance=identifier,
        series=identifier,
        study=identifier,
        patient=identifier,
        SOPInstanceUID=name,
        SeriesInstanceUID="2.25.2",
        StudyInstanceUID="2.25.3",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.2",
        Modality="CT",
        models=("MobileNetV2",),
        fingerprint="f" * 64,
        reason="",
        body_parts=(),
        work=True,
    )


def _prediction() -> Prediction:
    return Prediction(
        model="MobileNetV2",
        version="1.0.0",
        dataset="none",
        weights_sha256="0" * 64,
        classes=("a", "b"),
        probabilities=(0.5, 0.5),
        frames=((0.5, 0.5),),
        date=datetime.now(UTC),
        engine="none",
    )


def arrive(path: str, prefix: str) -> None:
    """Arrive for ever; each line says what has returned."""
    with Journal(Path(path), busy_timeout=10) as journal:
        for number in range(1_000_000):
            one = arrival(f"2.25.{prefix}{number}")
            _tell("arrived", one.SOPInstanceUID, journal.arrive(one))
            journal.stored(one.instance)
            _tell("stored", one.SOPInstanceUID)


def fill(path: str, prefix: str, limit: str) -> None:
    """Arrive until no file may grow any more."""
    with Journal(Path(path)) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        try:
            for number in range(1_000_000):
                one = arrival(f"2.25.{prefix}{number}")
                journal.arrive(one)
                journal.stored(one.instance)
                _tell("stored", one.SOPInstanceUID)
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            _tell("error", type(error).__name__, error)
            sys.exit(FULL)


def apply(path: str, url: str, limit: str) -> None:
    """Take events into a ledger until no file may grow any more."""
    ledger = SqlLedger(url)
    with Journal(Path(path)) as journal:
        resource.setrlimit(resource.RLIMIT_FSIZE, (int(limit), int(limit)))
        seq = 0
        try:
            while events := journal.events_after(seq, 100):
                ledger.apply(journal.uuid, events)
                seq = events[-1].seq
        except Exception as error:  # noqa: BLE001 - the test looks at what it is
            _tell("error", type(error).__name__, error)
            sys.exit(FULL)


def reserve(url: str, owner: str) -> None:
    """Reserve, and acknowledge, until nothing is left."""
    ledger = SqlLedger(url)
    _tell("ready")
    sys.stdin.readline()
    first = True
    while jobs := ledger.reserve(owner, 3, 60):
        for job in jobs:
            _tell("reserved", job.id)
        if first:
            # The others get their first jobs before this one goes on.
            _tell("ready")
            sys.stdin.readline()
            first = False
        for job in jobs:
            if not ledger.acknowledge(job, [_prediction()]):
                _tell("refused", job.id)


def work(path: str, url: str) -> None:
    """Do what a runner does, until all that was stored is read."""
    ledger = SqlLedger(url)
    with Journal(Path(path), busy_timeout=10) as journal:
        forwarder = Forwarder(journal, ledger)
        ledger.release_owner("runner")
        _tell("ready")
        while True:
            moved = forwarder.step()
            jobs = ledger.reserve("runner", 4, 60)
            for job in jobs:
                ledger.acknowledge(job, [_prediction()])
                _tell("done", job.SOPInstanceUID)
            counts = ledger.counts()
            if not moved and not counts[JobState.PENDING] and not counts[JobState.RUNNING]:
                _tell("idle")
                time.sleep(0.05)


def connect(url: str) -> None:
    """Open a ledger as soon as all are ready."""
    _tell("ready")
    sys.stdin.readline()
    SqlLedger(url).close()
    _tell("opened")


if __name__ == "__main__":
    doing = {f.__name__: f for f in (arrive, fill, apply, reserve, work, connect)}
    doing[sys.argv[1]](*sys.argv[2:])
