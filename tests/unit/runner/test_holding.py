"""What is held for a look at its pixels: stored, quarantined, tried again, never lost."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest

from preread.deidentify import DeidentificationError
from preread.deidentify.pixels.policy import Look
from preread.deidentify.quarantine import Quarantine
from preread.runner.holding import AGAIN, Holding
from preread.runner.meter import Meter
from preread.runner.pacs import (
    PacsFailedError,
    PacsUnreachableError,
    Refused,
    Stored,
    StoreOutcome,
    Superseded,
)
from tests.unit.runner.archive import Archive

KEY = b"k" * 32


@dataclass
class Made:
    data: bytes


@dataclass
class Cleaner:
    """Marks what it has looked at, or fails."""

    failure: Exception | None = None
    seen: list[Look] = field(default_factory=list)

    def clean(self, data: bytes, look: Look) -> Made:
        self.seen.append(look)
        if self.failure is not None:
            raise self.failure
        return Made(data + b" clean")


class Node(Archive):
    """An Orthanc that says what it is told to say."""

    def __init__(self) -> None:
        super().__init__()
        self.taken: list[bytes] = []
        self.outcome: StoreOutcome | Exception = Stored("an-id")

    def store(self, data: bytes) -> StoreOutcome:
        if isinstance(self.outcome, Exception):
            raise self.outcome
        self.taken.append(data)
        return self.outcome


class Place:
    """The folders, Orthanc and the thread's body."""

    def __init__(self, folder: Path) -> None:
        self.held = Quarantine(folder / "held", KEY)
        self.quarantined = Quarantine(folder / "quarantine", KEY)
        self.node, self.cleaner = Node(), Cleaner()
        self.meter = Meter()
        self.holding = Holding(
            self.held, self.quarantined, self.node, lambda: self.cleaner, self.meter
        )

    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.quarantined.entries()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_oldest_is_cleaned_and_stored_first(place: Place) -> None:
    for number in range(3):
        place.held.put(b"image %d" % number, reason="TEXT|FACE", origin="C-STORE")
    assert place.holding.work() == ""
    assert place.node.taken == [b"image %d clean" % number for number in range(3)]
    assert place.cleaner.seen == [Look.TEXT | Look.FACE] * 3
    assert place.held.entries() == place.quarantined.entries() == []


def test_what_is_to_take_the_way_again_is_not_looked_at(place: Place) -> None:
    place.held.put(b"original", reason=AGAIN, origin="C-STORE")
    place.node.outcome = Superseded()  # the hook has taken it into its own keeping
    place.holding.work()
    assert place.node.taken == [b"original"]
    assert place.cleaner.seen == []
    assert place.held.entries() == []


def test_what_cannot_be_cleaned_is_quarantined_as_it_was(place: Place) -> None:
    place.held.put(b"video", reason="TEXT", origin="C-STORE")
    place.held.put(b"image", reason="TEXT", origin="C-STORE")
    place.cleaner.failure = DeidentificationError(None, "nobody can decode it")
    place.holding.work()
    assert place.reasons() == ["cannot be de-identified: nobody can decode it"] * 2
    assert {place.quarantined.read(e.id) for e in place.quarantined.entries()} == {
        b"video",
        b"image",
    }
    assert place.held.entries() == []


def test_what_orthanc_refuses_is_quarantined(place: Place) -> None:
    place.held.put(b"image", reason="TEXT", origin="REST")
    place.node.outcome = Refused("Bad file format")
    place.holding.work()
    (entry,) = place.quarantined.entries()
    assert (entry.reason, entry.origin) == ("Bad file format", "REST")


@pytest.mark.parametrize("error", [PacsUnreachableError("down"), PacsFailedError("disk full")])
def test_an_outage_blames_nobody(place: Place, error: Exception) -> None:
    place.held.put(b"image", reason="TEXT", origin="C-STORE")
    place.node.outcome = error
    for _ in range(20):
        assert place.holding.work() == str(error)
    (entry,) = place.held.entries()
    assert entry.tries == 0
    place.node.outcome = Stored("an-id")
    assert place.holding.work() == ""
    assert place.held.entries() == place.quarantined.entries() == []


def test_a_defect_costs_one_file_five_tries_and_the_others_nothing(place: Place) -> None:
    place.held.put(b"odd", reason="TEXT", origin="C-STORE")
    place.cleaner.failure = RuntimeError("PLANTED")
    for _ in range(5):
        place.holding.work()
        assert len(place.held.entries()) == 1
    place.holding.work()
    assert len(place.cleaner.seen) == 5
    assert place.reasons() == ["unexpected RuntimeError; see the runner's log, and report it"]


def test_what_ends_the_process_is_not_tried_for_ever(place: Place) -> None:
    place.held.put(b"poison", reason="TEXT", origin="C-STORE")

    class Killed(BaseException):
        pass

    for _ in range(5):
        place.cleaner.failure = Killed()  # type: ignore[assignment]
        with pytest.raises(Killed):
            place.holding.work()
    assert place.holding.work() == ""
    assert place.reasons() == ["the process that looked at it ended"]


@pytest.mark.parametrize("last", [b"", b"?"])
def test_a_damaged_entry_stays_and_is_in_nobody_s_way(
    place: Place, tmp_path: Path, last: bytes
) -> None:
    identity = place.held.put(b"image", reason="TEXT", origin="C-STORE")
    path = tmp_path / "held" / f"{identity}.held"
    path.write_bytes(path.read_bytes()[:-1] + last)
    place.held.put(b"other", reason="TEXT", origin="C-STORE")
    place.holding.work()
    assert path.exists()
    assert place.node.taken == [b"other clean"]
