"""What is held for a look at its pixels: stored, quarantined, tried again, never lost."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from structlog.typing import EventDict

from preread.archive.pacs import (
    PacsFailedError,
    PacsUnreachableError,
    Refused,
    Stored,
    StoreOutcome,
    Superseded,
)
from preread.deidentify import DeidentificationError
from preread.deidentify.pixels.policy import Look
from preread.deidentify.quarantine import Quarantine, QuarantineError
from preread.ledger.arrival import Arrival
from preread.ledger.choices import HeldChoices
from preread.runner.holding import Holding
from preread.runner.meter import Meter
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
        self.fails_for: set[bytes] = set()
        self.asked: list[bytes] = []
        self.on_store: Callable[[], None] = lambda: None

    def store(self, data: bytes) -> StoreOutcome:
        self.asked.append(data)
        self.on_store()
        if isinstance(self.outcome, Exception):
            raise self.outcome
        if data in self.fails_for:
            raise PacsFailedError("POST /instances: Orthanc answers HTTP 500")
        self.taken.append(data)
        return self.outcome


class Place:
    """The folders, Orthanc and the thread's body."""

    def __init__(self, folder: Path) -> None:
        self.held = Quarantine(folder / "held", KEY)
        self.quarantined = Quarantine(folder / "quarantine", KEY)
        self.node, self.cleaner = Node(), Cleaner()
        self.meter = Meter()
        self.choices = HeldChoices.within(folder / "held")
        self.now = 0.0
        self.holding = self.another_process()

    def another_process(self) -> Holding:
        return Holding(
            self.held,
            self.quarantined,
            self.choices,
            self.node,
            lambda: self.cleaner,
            self.meter,
            lambda: self.now,
        )

    def hold(self, data: bytes, arrival: Arrival | None = None) -> str:
        told = arrival.to_json() if arrival is not None else ""
        return self.held.put(data, reason="TEXT", look="TEXT", origin="C-STORE", arrival=told)

    def pass_later(self) -> str:
        """Work when nothing is put off any more."""
        self.now += 1000.0
        return self.holding.work()

    def reasons(self) -> list[str]:
        return [entry.reason for entry in self.quarantined.entries()]


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_the_oldest_is_cleaned_and_stored_first(place: Place) -> None:
    for number in range(3):
        place.held.put(b"image %d" % number, reason="TEXT|FACE", look="TEXT|FACE", origin="C-STORE")
    assert place.holding.work() == ""
    assert place.node.taken == [b"image %d clean" % number for number in range(3)]
    assert place.cleaner.seen == [Look.TEXT | Look.FACE] * 3
    assert place.held.entries() == place.quarantined.entries() == []


def test_what_is_to_take_the_way_again_is_not_looked_at(place: Place) -> None:
    place.held.put(b"original", reason="again", origin="C-STORE")
    place.node.outcome = Superseded()  # the hook has taken it into its own keeping
    place.holding.work()
    assert place.node.taken == [b"original"]
    assert place.cleaner.seen == []
    assert place.held.entries() == []


def test_what_cannot_be_cleaned_is_quarantined_as_it_was(place: Place) -> None:
    place.held.put(b"video", reason="TEXT", look="TEXT", origin="C-STORE")
    place.held.put(b"image", reason="TEXT", look="TEXT", origin="C-STORE")
    place.cleaner.failure = DeidentificationError(None, "nobody can decode it")
    place.holding.work()
    assert place.reasons() == ["cannot be de-identified: nobody can decode it"] * 2
    assert {place.quarantined.read(e.id) for e in place.quarantined.entries()} == {
        b"video",
        b"image",
    }
    assert place.held.entries() == []


def test_what_orthanc_refuses_is_quarantined(place: Place) -> None:
    place.held.put(b"image", reason="TEXT", look="TEXT", origin="REST")
    place.node.outcome = Refused("Bad file format")
    place.holding.work()
    (entry,) = place.quarantined.entries()
    assert (entry.reason, entry.origin) == ("Bad file format", "REST")


@pytest.mark.parametrize("error", [PacsUnreachableError("down"), PacsFailedError("disk full")])
@pytest.mark.parametrize("count", [1, 2, 6])
def test_an_outage_blames_nobody(place: Place, error: Exception, count: int) -> None:
    for _ in range(count):
        place.hold(b"image")
    place.node.outcome = error
    said = {place.pass_later() for _ in range(20)} | {place.meter.status.last_error}
    assert str(error) in said
    assert {(entry.tries, entry.last_failure) for entry in place.held.entries()} <= {
        (0, str(error)),
        (0, ""),
    }
    place.node.outcome = Stored("an-id")
    assert place.pass_later() == ""
    assert place.held.entries() == place.quarantined.entries() == []


def test_tries_of_its_own_outlast_an_outage(place: Place) -> None:
    place.hold(b"odd")
    place.cleaner.failure = RuntimeError("PLANTED")
    place.holding.work()
    place.cleaner.failure, place.node.outcome = None, PacsUnreachableError("down")
    assert place.holding.work() == "down"
    (entry,) = place.held.entries()
    assert (entry.tries, entry.last_failure) == (1, "down")


def test_an_orthanc_that_is_out_of_reach_is_asked_once_a_pass(place: Place) -> None:
    for _ in range(3):
        place.hold(b"image")
    place.node.outcome = PacsUnreachableError("down")
    assert place.holding.work() == place.holding.work() == "down"
    assert len(place.node.asked) == 2


def test_an_orthanc_that_fails_for_all_is_not_asked_for_each(place: Place) -> None:
    for number in range(9):
        place.hold(b"%d" % number)
    place.node.outcome = PacsFailedError("disk full")
    assert place.holding.work() == "disk full"
    assert len(place.node.asked) == 4
    assert place.holding.work() == "disk full"
    assert len(set(place.node.asked)) == 8  # those that failed are put off, the next ones tried
    assert place.holding.work() == place.holding.work() == ""
    assert len(place.node.asked) == 9


@pytest.mark.parametrize("count", [1, 5])
def test_what_orthanc_fails_for_is_in_nobody_s_way(place: Place, count: int) -> None:
    place.node.fails_for = {b"poison %d clean" % number for number in range(count)}
    for number in range(count):
        place.hold(b"poison %d" % number)
    for number in range(3):
        place.hold(b"good %d" % number)
    for _ in range(10):
        place.holding.work()
    assert place.node.taken == [b"good %d clean" % number for number in range(3)]
    assert len(place.node.asked) == count + 3  # put off, and not cleaned anew each time
    assert place.quarantined.entries() == []
    rounds = 5 if count == 1 else 9
    for number in range(rounds):
        place.hold(b"good %d" % number)
        place.pass_later()
    place.pass_later()
    assert len(place.node.taken) == 3 + rounds
    assert place.reasons() == ["POST /instances: Orthanc answers HTTP 500"] * count
    assert place.held.entries() == []
    assert len(place.node.asked) == 5 * count + 3 + rounds


def test_the_pauses_of_what_fails_grow(place: Place) -> None:
    place.hold(b"poison")
    place.node.outcome = PacsFailedError("disk full")
    tried = []
    for second in range(600):
        place.now = float(second)
        before = len(place.node.asked)
        place.holding.work()
        if len(place.node.asked) > before:
            tried.append(second)
    assert tried == [0, 2, 6, 14, 30, 62, 126, 246, 366, 486]


def test_a_defect_costs_one_file_five_tries_and_the_others_nothing(place: Place) -> None:
    place.held.put(b"odd", reason="TEXT", look="TEXT", origin="C-STORE")
    place.cleaner.failure = RuntimeError("PLANTED")
    for _ in range(5):
        place.holding.work()
        assert len(place.held.entries()) == 1
    place.holding.work()
    assert len(place.cleaner.seen) == 5
    assert place.reasons() == ["unexpected RuntimeError; see the runner's log, and report it"]


def test_what_ends_the_process_is_not_tried_for_ever(place: Place) -> None:
    place.held.put(b"poison", reason="TEXT", look="TEXT", origin="C-STORE")

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
    identity = place.held.put(b"image", reason="TEXT", look="TEXT", origin="C-STORE")
    path = tmp_path / "held" / f"{identity}.held"
    path.write_bytes(path.read_bytes()[:-1] + last)
    place.held.put(b"other", reason="TEXT", look="TEXT", origin="C-STORE")
    place.holding.work()
    assert path.exists()
    assert place.node.taken == [b"other clean"]
    assert identity in place.meter.status.last_error


def test_damage_is_told_once_and_what_is_put_back_is_taken(
    place: Place,
    tmp_path: Path,
    logged: list[EventDict],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = place.hold(b"x" * 3_000_000)
    path = tmp_path / "held" / f"{identity}.held"
    content = path.read_bytes()
    path.write_bytes(content[:-100] + bytes((content[-100] ^ 1,)) + content[-99:])
    (entry,) = place.held.entries()
    assert not entry.damage  # it shows only when all of it is read
    reads: list[str] = []
    read = place.held.read

    def counted(identity: str) -> bytes:
        reads.append(identity)
        return read(identity)

    monkeypatch.setattr(place.held, "read", counted)
    for _ in range(20):
        place.holding.work()
    assert reads == [identity]
    for _ in range(3):
        place.pass_later()
    assert [line["event"] for line in logged] == ["cannot be read"]
    path.write_bytes(content)
    place.pass_later()
    assert place.node.taken == [b"x" * 3_000_000 + b" clean"]


def test_what_is_given_up_keeps_its_look_and_its_choice(place: Place) -> None:
    arrival = arrival_of("a")
    place.hold(b"face", arrival)
    place.cleaner.failure = DeidentificationError(None, "a face cannot be removed")
    place.holding.work()
    (entry,) = place.quarantined.entries()
    assert (entry.look, entry.arrival) == ("TEXT", arrival.to_json())
    assert place.choices.recall(arrival.instance) is None
    assert place.node.asked == []


def test_the_choice_lies_there_for_each_of_two_sendings(place: Place) -> None:
    first, second = arrival_of("a", body_parts=("T-D3000",)), arrival_of("a")
    place.hold(b"image", first)
    place.hold(b"image", second)
    seen: list[Arrival | None] = []
    place.node.on_store = lambda: seen.append(place.choices.recall(first.instance))
    place.holding.work()
    assert seen == [first, second]
    assert place.choices.recall(first.instance) is None


def test_an_older_sending_that_was_put_off_does_not_win(place: Place) -> None:
    arrival = arrival_of("a")
    place.hold(b"older", arrival)
    place.node.fails_for = {b"older clean"}
    place.holding.work()
    place.hold(b"newer", arrival)
    place.hold(b"other", arrival_of("b"))
    place.holding.work()
    place.node.fails_for = set()
    place.pass_later()
    assert place.node.taken == [b"newer clean", b"other clean"]
    assert place.held.entries() == place.quarantined.entries() == []


def test_the_choice_outlasts_failures_and_kills(place: Place) -> None:
    arrival = arrival_of("a")
    place.hold(b"image", arrival)
    seen: list[Arrival | None] = []
    # As Orthanc's hook looks it up, and then the store fails.
    place.node.on_store = lambda: seen.append(place.choices.recall(arrival.instance))
    place.node.outcome = PacsFailedError("disk full")
    place.pass_later()
    place.choices.clear()  # as after a kill
    place.node.outcome = Stored("an-id")
    place.holding = place.another_process()
    place.holding.work()
    assert seen == [arrival, arrival]


def test_an_object_waits_where_its_choice_cannot_be_laid_down(place: Place, tmp_path: Path) -> None:
    place.hold(b"image", arrival_of("a"))
    (tmp_path / "held" / "choices").write_bytes(b"no folder")
    with pytest.raises(QuarantineError, match="what was chosen"):
        place.holding.work()
    (entry,) = place.held.entries()
    assert entry.tries == 0
    assert place.node.asked == []


def arrival_of(digit: str, body_parts: tuple[str, ...] = ()) -> Arrival:
    orthanc_id = "-".join([digit * 8] * 5)
    return Arrival(
        instance=orthanc_id,
        series=orthanc_id,
        study=orthanc_id,
        patient=orthanc_id,
        SOPInstanceUID="2.25.1",
        SeriesInstanceUID="2.25.2",
        StudyInstanceUID="2.25.3",
        SOPClassUID="1.2.840.10008.5.1.4.1.1.7",
        Modality="OT",
        models=(),
        fingerprint="",
        reason="no model",
        body_parts=body_parts,
        work=False,
    )
