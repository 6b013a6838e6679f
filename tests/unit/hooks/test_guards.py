"""Stores under way, announcements and deletions: the receive hook's memory."""

import hashlib
import hmac
import threading
from typing import Any

import pytest

from preread.hooks.announcements import Announcements, BadAnnouncement
from preread.hooks.deletions import Deletions
from preread.hooks.inflight import Busy, InFlight

INSTANCE = "-".join(["0a1b2c3d"] * 5)
STUDY = "-".join(["11111111"] * 5)
KEY = b"k" * 32


class Clock:
    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


def announcement(data: bytes, key: bytes = KEY, generation: int = 3) -> dict[str, Any]:
    digest = hashlib.sha256(data).hexdigest()
    text = f"{INSTANCE}|{INSTANCE}|{generation}|{digest}".encode()
    return {
        "Instance": INSTANCE,
        "Source": INSTANCE,
        "Generation": generation,
        "SHA256": digest,
        "Signature": hmac.new(key, text, hashlib.sha256).hexdigest(),
    }


def test_exactly_the_announced_bytes_match_and_only_once() -> None:
    expected = Announcements(KEY)
    assert expected.empty
    expected.take(announcement(b"result"))
    assert expected.match(INSTANCE, b"another") is None
    found = expected.match(INSTANCE, b"result")
    assert found is not None
    assert found.generation == 3
    assert expected.match(INSTANCE, b"result") is None
    assert expected.empty


def test_an_announcement_signed_with_another_key_is_refused() -> None:
    with pytest.raises(BadAnnouncement, match="signature"):
        Announcements(KEY).take(announcement(b"result", key=b"x" * 32))


@pytest.mark.parametrize("field", ["Instance", "Source", "Generation", "SHA256"])
def test_a_malformed_announcement_is_refused_and_named(field: str) -> None:
    message = announcement(b"result") | {field: "../etc"}
    with pytest.raises(BadAnnouncement, match=field):
        Announcements(KEY).take(message)


def test_a_changed_field_breaks_the_signature() -> None:
    with pytest.raises(BadAnnouncement, match="signature"):
        Announcements(KEY).take(announcement(b"result") | {"Generation": 4})


def test_the_newer_announcement_of_an_instance_replaces_the_older() -> None:
    expected = Announcements(KEY)
    expected.take(announcement(b"old"))
    expected.take(announcement(b"new", generation=4))
    assert expected.match(INSTANCE, b"old") is None
    found = expected.match(INSTANCE, b"new")
    assert found is not None
    assert found.generation == 4


def test_an_arrival_waits_until_our_own_write_of_the_instance_is_stored() -> None:
    stores = InFlight()
    stores.begin_own(INSTANCE, frozenset({INSTANCE, STUDY}))
    passed = threading.Event()

    def arrive() -> None:
        stores.wait_for(INSTANCE, 5)
        passed.set()

    thread = threading.Thread(target=arrive)
    thread.start()
    assert not passed.wait(0.05)
    assert stores.end(INSTANCE)
    assert passed.wait(5)
    thread.join()
    assert not stores.end(INSTANCE)


def test_an_arrival_is_refused_when_our_own_write_hangs() -> None:
    stores = InFlight()
    stores.begin_own(INSTANCE, frozenset({INSTANCE, STUDY}))
    with pytest.raises(Busy, match="send it again"):
        stores.wait_for(INSTANCE, 0.01)
    with pytest.raises(Busy):
        stores.wait_for(STUDY, 0.01)
    stores.wait_for("-".join(["22222222"] * 5), 0.01)


def test_a_write_that_never_reached_the_database_is_forgotten() -> None:
    clock = Clock()
    stores = InFlight(lifetime=10, clock=clock)
    stores.begin_own(INSTANCE, frozenset({INSTANCE}))
    clock.now += 11
    stores.wait_for(INSTANCE, 0)


def test_overwriting_is_not_a_deletion() -> None:
    clock, deleted = Clock(), list[str]()
    deletions = Deletions(deleted.append, clock=clock)
    deletions.deleted(INSTANCE)
    deletions.created(INSTANCE)
    clock.now += 9
    assert deletions.settle() == 0
    assert deleted == []
    assert not deletions.doomed(INSTANCE, frozenset())


def test_a_deletion_dooms_at_once_and_is_reported_after_the_grace() -> None:
    clock, deleted = Clock(), list[str]()
    deletions = Deletions(deleted.append, clock=clock, grace=0.25)
    deletions.deleted(INSTANCE)
    assert deletions.doomed(INSTANCE, frozenset())
    assert deletions.settle() == 0
    clock.now += 0.3
    assert deletions.settle() == 1
    assert deleted == [INSTANCE]


@pytest.mark.parametrize("level", ["instances", "series", "studies", "patients"])
def test_a_delete_over_rest_dooms_what_lies_below(level: str) -> None:
    clock = Clock()
    deletions = Deletions(lambda _: None, clock=clock, memory=5)
    assert deletions.request(f"/{level}/{STUDY}") == STUDY
    assert deletions.doomed(INSTANCE, frozenset({STUDY}))
    clock.now += 6
    assert not deletions.doomed(INSTANCE, frozenset({STUDY}))


def test_other_deletes_are_not_ours() -> None:
    deletions = Deletions(lambda _: None)
    assert deletions.request("/modalities/x") is None
    assert deletions.request(f"/instances/{STUDY}/metadata/1024") is None


def test_what_arrives_after_a_deletion_lives() -> None:
    clock, deleted = Clock(), list[str]()
    deletions = Deletions(deleted.append, clock=clock)
    deletions.request(f"/instances/{INSTANCE}")
    deletions.deleted(INSTANCE)
    deletions.arrived(INSTANCE)
    clock.now += 1
    deletions.settle()
    assert deleted == []
    assert not deletions.doomed(INSTANCE, frozenset({STUDY}))


def test_the_runner_may_replace_what_it_derived() -> None:
    """It deletes the earlier derived instance over REST; the new one must pass."""
    derived = "-".join(["33333333"] * 5)
    deletions = Deletions(lambda _: None)
    deletions.request(f"/instances/{derived}")
    assert not deletions.doomed(INSTANCE, frozenset({STUDY}))
    assert deletions.doomed(derived, frozenset({STUDY}))


def test_an_event_that_comes_late_brings_the_instance_back() -> None:
    clock, deleted, alive = Clock(), list[str](), list[str]()
    deletions = Deletions(deleted.append, alive.append, clock=clock, grace=0.25)
    deletions.deleted(INSTANCE)
    clock.now += 1
    assert deletions.settle() == 1
    deletions.created(INSTANCE)
    deletions.created(INSTANCE)
    assert (deleted, alive) == ([INSTANCE], [INSTANCE])


def test_an_arrival_does_not_save_what_else_lies_below_a_deleted_parent() -> None:
    other = "-".join(["44444444"] * 5)
    deletions = Deletions(lambda _: None)
    deletions.request(f"/studies/{STUDY}")
    deletions.arrived(other)
    assert deletions.doomed(INSTANCE, frozenset({STUDY}))


def test_at_the_end_nothing_is_waited_for() -> None:
    deleted = list[str]()
    deletions = Deletions(deleted.append)
    deletions.deleted(INSTANCE)
    assert deletions.settle(at_once=True) == 1
    assert deleted == [INSTANCE]


def test_what_was_deleted_long_ago_and_sent_again_is_no_late_event() -> None:
    clock, alive = Clock(), list[str]()
    deletions = Deletions(lambda _: None, alive.append, clock=clock)
    deletions.deleted(INSTANCE)
    clock.now += 60
    deletions.settle()
    deletions.arrived(INSTANCE)
    deletions.created(INSTANCE)
    assert alive == []
