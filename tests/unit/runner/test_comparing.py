"""What Orthanc stored, beside what the journal knows."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from io import BytesIO
from pathlib import Path

import pydicom
import pytest

from preread.archive.pacs import PacsUnreachableError
from preread.deidentify import Pseudonyms, Secret
from preread.deidentify.quarantine import Quarantine
from preread.ledger.arrival import Event, EventKind
from preread.ledger.journal import Journal
from preread.runner import comparing as module
from preread.runner.comparing import Comparing
from tests.unit.runner.archive import id_of
from tests.unit.runner.bench import Bench, arrival_of, ct

SECRET = Secret(b"s" * 32)


class Node:
    """An Orthanc whose hooks have been at work since a minute ago."""

    def __init__(self, bench: Bench, folder: Path) -> None:
        self.now = datetime.now(UTC)
        self.archive = bench.archive
        self.ledger = bench.ledger
        self.journal = Journal(folder / "journal.sqlite")
        self.watch = Journal(
            folder / "journal.sqlite", clock=lambda: self.now.timestamp() - 60
        ).watch
        self.watch.begin()
        self.journal.watch.go_on()
        self.quarantined = Quarantine(folder / "quarantine", b"k" * 32)
        self.comparing = Comparing(
            self.journal,
            bench.ledger,
            bench.archive,
            self.quarantined,
            Pseudonyms(SECRET),
            bench.meter,
        )

    def store(self, data: bytes, seconds_ago: float = 30) -> str:
        """Have Orthanc store a file, at some time."""
        instance = id_of(data)
        self.archive.files[instance] = data
        when = self.now - timedelta(seconds=seconds_ago)
        self.archive.changes.append(
            {
                "Seq": len(self.archive.changes) + 1,
                "ChangeType": "NewInstance",
                "ID": instance,
                "Date": when.strftime("%Y%m%dT%H%M%S"),
            }
        )
        return instance


@pytest.fixture
def node(bench: Bench, tmp_path: Path) -> Iterator[Node]:
    made = Node(bench, tmp_path)
    yield made
    made.journal.close()


def test_what_nobody_let_in_is_taken_out_and_told(node: Node) -> None:
    escaped, arrived = node.store(ct(1)), node.store(ct(2))
    node.journal.arrive(arrival_of(ct(2), ["small"]))
    assert not node.comparing.step()
    assert set(node.archive.files) == {arrived}
    (entry,) = node.quarantined.entries()
    assert id_of(node.quarantined.read(entry.id)) == escaped
    assert node.journal.watch.escaped_count() == 1
    assert entry.id in node.journal.refusals()[0].reason
    node.comparing.step()
    assert node.journal.watch.escaped_count() == 1


def pseudonymous() -> bytes:
    dataset = pydicom.dcmread(BytesIO(ct(3)))
    dataset.PatientID = Pseudonyms(SECRET).patient("JANE")
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def test_what_may_be_somebody_elses_is_left_alone(node: Node) -> None:
    """Before the hooks, in the place of a lost journal, of another Orthanc, a result of ours."""
    data = ct(1)
    before = node.store(data, seconds_ago=3600)
    ours = node.store(pseudonymous())
    other = node.store(ct(4))
    arrival = arrival_of(ct(4), ["small"])
    node.ledger.apply("another", [Event(1, EventKind.STORED, other, 7, node.now, arrival)])
    own = node.store(ct(5))
    node.journal.watch.own(own)
    node.comparing.step()
    assert set(node.archive.files) == {before, ours, other, own}
    assert node.journal.watch.escaped_count() == 0


def test_what_was_stored_just_now_is_left_to_the_hooks(node: Node) -> None:
    escaped = node.store(ct(1), seconds_ago=5)
    node.comparing.step()
    assert escaped in node.archive.files
    node.journal.watch.go_on()
    node.comparing.step(node.now + timedelta(seconds=20))
    assert escaped not in node.archive.files


def test_long_lists_are_compared_in_pages(node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_PAGE", 2)
    for number in range(5):
        node.store(ct(number))
    steps = 1
    while node.comparing.step():
        steps += 1
    assert steps == 3
    assert node.archive.files == {}
    assert node.journal.watch.compared == 5


def test_an_index_that_was_made_anew_is_compared_from_its_beginning(node: Node) -> None:
    node.journal.watch.compared = 1000
    escaped = node.store(ct(1))
    assert node.comparing.step()
    node.comparing.step()
    assert escaped not in node.archive.files


def test_a_page_that_could_not_be_compared_is_compared_again(node: Node) -> None:
    escaped = node.store(ct(1))

    def away(name: str, _about: str) -> None:
        if name == "delete":
            raise PacsUnreachableError("Orthanc does not answer")

    node.archive.on_call = away
    with pytest.raises(PacsUnreachableError):
        node.comparing.step()
    node.archive.on_call = lambda *_: None
    node.comparing.step()
    assert escaped not in node.archive.files
