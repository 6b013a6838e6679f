"""What Orthanc stored although the receive hook did not let it pass."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from pydicom.data import get_testdata_file

from preread.deidentify.quarantine import Quarantine, QuarantineError
from preread.ledger.journal import Journal
from preread.settings import Mode
from tests.unit.hooks.test_receive import Node, instance_of
from tests.unit.hooks.test_supervisor import eventually

ELSEWHERE = "-".join(["0a1b2c3d"] * 5)


@pytest.fixture
def ct() -> bytes:
    return Path(str(get_testdata_file("CT_small.dcm"))).read_bytes()


@pytest.fixture
def node(orthanc: ModuleType, tmp_path: Path) -> Node:
    return Node(orthanc, tmp_path, Mode.INCOMING)


def test_what_the_hook_let_pass_is_queued(node: Node, ct: bytes) -> None:
    _, made = node.arrive(ct)
    assert made is not None
    node.store(made)
    assert node.escaped == []
    assert [event.instance for event in node.journal.events_after(0)] == [instance_of(made)]


def test_an_original_that_is_stored_has_escaped_and_is_never_read(node: Node, ct: bytes) -> None:
    node.arrive(ct)
    node.store(ct)
    assert node.escaped == [instance_of(ct)]
    assert node.journal.events_after(0) == []
    assert node.journal.current(instance_of(ct)) is None


def test_it_has_escaped_again_after_its_deletion_was_seen(node: Node, ct: bytes) -> None:
    node.journal.deleted(instance_of(ct))
    node.store(ct)
    assert node.escaped == [instance_of(ct)]


def test_a_refused_object_that_is_stored_all_the_same_has_escaped(node: Node, ct: bytes) -> None:
    node.arrive(ct[: len(ct) // 2])
    node.store(ct[: len(ct) // 2], ELSEWHERE)
    assert node.escaped == [ELSEWHERE]


def test_an_original_under_the_id_of_what_was_let_pass_has_escaped(node: Node, ct: bytes) -> None:
    """Pseudonyms are kept when they come back, and with them Orthanc's id."""
    _, made = node.arrive(ct)
    assert made is not None
    node.store(made + b"JANE", instance_of(made))
    assert node.escaped == [instance_of(made)]


def test_orthanc_may_be_told_to_transcode_what_it_takes_in(node: Node, ct: bytes) -> None:
    passed = importlib.import_module("preread.hooks.passed").Passed(by_size=False)
    passed.note(ELSEWHERE, 7)
    assert passed.take(ELSEWHERE, 5).size == 7
    assert passed.take(ELSEWHERE, 5) is None


def test_an_id_that_the_hook_could_not_foresee_is_no_escape(node: Node, ct: bytes) -> None:
    _, made = node.arrive(ct)
    assert made is not None
    node.store(made, ELSEWHERE)
    assert node.escaped == []
    assert [event.instance for event in node.journal.events_after(0)] == [ELSEWHERE]


def test_our_own_result_is_none_however_late_it_is_stored(node: Node, ct: bytes) -> None:
    _, made = node.arrive(ct)
    assert made is not None
    current = node.journal.current(instance_of(made))
    assert current is not None
    node.store(made)
    node.write(made, current.generation)
    node.memory.inflight.end(instance_of(made))  # forgotten after some seconds
    node.store(made)
    assert node.escaped == []
    assert len(node.journal.events_after(0)) == 1


def test_a_large_file_is_refused_where_there_is_no_memory_for_its_copy(
    node: Node, ct: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed = importlib.import_module("preread.hooks.passed")
    monkeypatch.setattr(passed, "_LARGE", 0)
    assert node.arrive(ct)[1] is not None
    monkeypatch.setattr(passed, "_MARGIN", 1 << 60)
    _, answer = node.arrive(ct)
    assert answer is not None
    assert answer.startswith(b"Preread refused")
    assert "no memory" in node.journal.refusals()[0].reason


@pytest.mark.parametrize("mode", [Mode.COPY, Mode.OFF])
def test_where_originals_are_stored_nothing_escapes(
    orthanc: ModuleType, tmp_path: Path, ct: bytes, mode: Mode
) -> None:
    node = Node(orthanc, tmp_path, mode)
    node.store(ct)
    assert node.escaped == []
    assert [event.instance for event in node.journal.events_after(0)] == [instance_of(ct)]


class Orthanc:
    """This Orthanc, as the thread meets it."""

    def __init__(self, error: type[Exception]) -> None:
        self._error = error
        self.files = {ELSEWHERE: b"JANE"}
        self.failures = self.undeleted = 0
        self.since = datetime.now(UTC)

    def received(self, instance: str) -> datetime | None:
        if self.failures:
            self.failures -= 1
            raise self._error("Orthanc answers HTTP 500")
        return self.since if instance in self.files else None

    def file(self, instance: str) -> bytes | None:
        return self.files.get(instance)

    def delete(self, instance: str) -> bool:
        if self.undeleted:
            self.undeleted -= 1
            raise self._error("Orthanc answers HTTP 500")
        return self.files.pop(instance, None) is not None


@pytest.fixture
def at_work(orthanc: ModuleType, tmp_path: Path) -> Iterator[Callable[..., Any]]:
    made: list[Any] = []

    def make() -> tuple[Any, Orthanc, Quarantine, Journal]:
        module = importlib.import_module("preread.hooks.escapes")
        failures = importlib.import_module("preread.hooks.failures")
        archive = Orthanc(module.OrthancError)
        quarantined = Quarantine(tmp_path / "quarantine", b"k" * 32)
        journal = Journal(tmp_path / "journal.sqlite")
        escapes = module.Escapes(archive, quarantined, failures.Failures(journal), journal.watch)
        made.append(escapes)
        return escapes, archive, quarantined, journal

    yield make
    for escapes in made:
        escapes.stop()


def test_it_is_deleted_kept_encrypted_and_told(at_work: Callable[..., Any], orthanc: Any) -> None:
    escapes, archive, quarantined, journal = at_work()
    archive.failures = archive.undeleted = 2
    escapes.add(ELSEWHERE, "C-STORE")
    escapes.start()
    eventually(journal.watch.escaped_count)
    assert archive.files == {}
    (entry,) = quarantined.entries()
    assert quarantined.read(entry.id) == b"JANE"
    (told,) = journal.refusals()
    assert told.origin == "C-STORE"
    assert "past de-identification" in told.reason
    assert entry.id in told.reason
    assert "past de-identification" in str(orthanc.called("LogError")[0])


def test_it_is_deleted_though_it_cannot_be_kept(
    at_work: Callable[..., Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    escapes, archive, quarantined, journal = at_work()

    tries: list[int] = []

    def full(*_: Any, **__: Any) -> str:
        tries.append(len(archive.files))
        raise QuarantineError("the disk is full")

    monkeypatch.setattr(quarantined, "put", full)
    escapes.add(ELSEWHERE, "REST")
    escapes.start()
    eventually(journal.watch.escaped_count)
    assert archive.files == {}
    assert tries == [1, 1, 1, 1]
    assert "send it again" in journal.refusals()[0].reason


def test_an_older_file_that_stayed_in_its_place_is_left_alone(at_work: Callable[..., Any]) -> None:
    escapes, archive, _, journal = at_work()
    archive.since -= timedelta(hours=1)
    escapes.add(ELSEWHERE, "REST")
    escapes.add("-".join(["ffffffff"] * 5), "REST")
    escapes.start()
    eventually(escapes._found.empty)
    escapes.stop()
    escapes._thread.join(10)
    assert archive.files == {ELSEWHERE: b"JANE"}
    assert journal.watch.escaped_count() == 0
