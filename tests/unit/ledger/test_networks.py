"""The register of networks that are kept as DICOM objects."""

from __future__ import annotations

from typing import Any

import pytest

from preread.ledger.arrival import Arrival
from preread.ledger.forwarder import Forwarder
from preread.ledger.journal import Journal
from preread.ledger.network import Network, NetworkDescription, NetworkState
from preread.ledger.networks import Networks
from preread.ledger.sql import SqlLedger
from tests.unit.ledger.conftest import Clock, MakeArrival, orthanc_id

RECEIVED, VALID, INVALID = NetworkState.RECEIVED, NetworkState.VALID, NetworkState.INVALID
UNTRUSTED, DELETED = NetworkState.UNTRUSTED, NetworkState.DELETED
DESCRIBED = NetworkDescription(
    DnnUID="1.2.3",
    DnnName="unet",
    Modality="CT",
    BodyPartExamined="CHEST",
    SamplesPerPixel=1,
    PhotometricInterpretation="MONOCHROME2",
    Rows=224,
    Columns=200,
    Description="Dice 0.9",
    Layout="iodeep",
    body_parts=("816094009",),
    created="2026-01-02T03:04:05",
    parameters=17,
    weights_sha256="a" * 64,
)


class Site:
    """A register, and what may happen to the objects in it."""

    def __init__(
        self, journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: MakeArrival
    ) -> None:
        self.journal, self.register = journal, ledger.networks
        self.checks = ledger.network_checks
        self._forwarder, self._arrival_of = forwarder, arrival_of

    def arrive(self, number: int = 0, network: str = "received", **more: Any) -> None:
        facts: dict[str, Any] = {
            "models": (),
            "work": False,
            "reason": "sent by a trusted user",
            "network": network,
        }
        arrival = self._arrival_of(number, **facts | more)
        self.journal.arrive(arrival)
        self.journal.stored(arrival.instance)
        self._forward()

    def delete(self, number: int = 0) -> None:
        self.journal.deleted(orthanc_id(f"instance {number}"))
        self._forward()

    def _forward(self) -> None:
        while self._forwarder.step():
            pass

    def lend(self) -> Network:
        network = self.checks.reserve("runner", 60)
        assert network is not None
        return network

    @property
    def states(self) -> list[NetworkState]:
        return [each.state for each in self.register.all()]


@pytest.fixture
def site(
    journal: Journal, ledger: SqlLedger, forwarder: Forwarder, arrival_of: MakeArrival
) -> Site:
    return Site(journal, ledger, forwarder, arrival_of)


def test_what_arrives_is_looked_at_and_can_be_run(site: Site, clock: Clock) -> None:
    site.arrive(network_digest="d" * 64)
    network = site.lend()
    assert (network.instance, network.SOPInstanceUID) == (orthanc_id("instance 0"), "2.25.10")
    assert (network.state, network.described) == (RECEIVED, None)
    assert (network.digest, network.trust) == ("d" * 64, "sent by a trusted user")
    assert site.checks.reserve("runner", 60) is None
    assert site.register.valid() == []
    assert site.checks.accept(network, DESCRIBED)
    (valid,) = site.register.valid()
    assert (valid.state, valid.described, valid.updated) == (VALID, DESCRIBED, clock.now)
    assert site.register.of("1.2.3") == valid
    assert site.register.of("1.2.4") is None
    shown = valid.to_json()
    assert (shown["DnnUID"], shown["State"], shown["ID"]) == ("1.2.3", "valid", valid.instance)
    assert shown["Trusted"] == "sent by a trusted user"


def test_images_are_no_networks(site: Site) -> None:
    site.arrive(network="")
    assert site.register.all() == []
    assert site.checks.reserve("runner", 60) is None


def test_a_strangers_is_known_and_never_lent(site: Site, clock: Clock) -> None:
    site.arrive(network="untrusted", reason="a stranger's")
    clock.advance(1000)
    assert site.register.reconsider() == 0
    assert site.checks.reserve("runner", 60) is None
    (network,) = site.register.all()
    assert (network.state, network.reason, network.trust) == (UNTRUSTED, "a stranger's", "")
    assert site.register.counts()[UNTRUSTED] == 1


def test_what_is_invalid_says_why_and_is_looked_at_again_when_asked(site: Site) -> None:
    site.arrive()
    assert site.checks.refuse(site.lend(), "x" * 5000)
    (network,) = site.register.all()
    assert (network.state, len(network.reason)) == (INVALID, 1000)
    assert site.checks.reserve("runner", 60) is None
    assert site.register.reconsider() == 1
    again = site.lend()
    assert (again.trust, again.reason) == ("sent by a trusted user", "")
    assert site.checks.accept(again, DESCRIBED)


def test_what_is_found_to_be_another_object_is_untrusted(site: Site) -> None:
    site.arrive()
    assert site.checks.refuse(site.lend(), "another object", untrusted=True)
    assert site.states == [UNTRUSTED]
    assert site.register.reconsider() == 0


def test_what_was_deleted_is_not_run(site: Site) -> None:
    site.arrive()
    slow = site.lend()
    site.delete()
    assert not site.checks.accept(slow, DESCRIBED)
    assert site.register.all() == []
    assert site.register.counts()[DELETED] == 1
    site.arrive()
    assert site.checks.accept(site.lend(), DESCRIBED)
    site.delete()
    assert site.register.valid() == []


@pytest.mark.parametrize(("network", "state"), [("untrusted", [UNTRUSTED]), ("", [])])
def test_what_takes_the_place_of_a_network_is_not_trusted_for_it(
    site: Site, network: str, state: list[NetworkState]
) -> None:
    site.arrive()
    assert site.checks.accept(site.lend(), DESCRIBED)
    site.arrive(network=network)
    assert site.states == state
    assert site.register.valid() == []


def test_an_answer_for_what_lay_there_before_does_not_count(site: Site) -> None:
    site.arrive()
    slow = site.lend()
    site.arrive(network_digest="e" * 64)
    assert not site.checks.accept(slow, DESCRIBED)
    assert not site.checks.refuse(slow, "late")
    assert not site.checks.release(slow, 1)
    assert site.states == [RECEIVED]


def test_what_brings_runners_down_ends_as_invalid(site: Site, clock: Clock) -> None:
    site.arrive()
    site.arrive(1)
    for _ in range(5):
        first = site.lend()
        assert first.instance == orthanc_id("instance 0")
        if first.attempts == 1:
            # The others are not held up by it.
            assert site.checks.accept(site.lend(), DESCRIBED)
        clock.advance(61)
    assert site.checks.reserve("runner", 60) is None
    network = next(each for each in site.register.all() if each.instance == first.instance)
    assert network.state is INVALID
    assert "ended or hung 5 times" in network.reason


def test_what_is_given_back_is_lent_after_a_pause_as_often_as_need_be(
    site: Site, clock: Clock
) -> None:
    site.arrive()
    for _ in range(10):
        assert site.checks.release(site.lend(), 5)
        assert site.checks.reserve("runner", 60) is None
        clock.advance(6)
    assert site.lend().attempts == 1


def test_of_several_with_one_uid_the_latest_is_run(site: Site, clock: Clock) -> None:
    for number in range(3):
        site.arrive(number)
        network = site.lend()
        if number < 2:
            assert site.checks.accept(network, DESCRIBED)
        clock.advance(1)
    (valid,) = site.register.valid()
    assert valid.instance in {orthanc_id("instance 0"), orthanc_id("instance 1")}
    assert valid == next(each for each in site.register.all() if each.state is VALID)


def test_files_come_and_go(site: Site) -> None:
    site.register.keep_files({"a.dcm": "1" * 64, "b.dcm": "2" * 64})
    first, second = site.lend(), site.lend()
    assert {first.file, second.file} == {"a.dcm", "b.dcm"}
    assert "models folder" in first.trust
    for each in (first, second):
        assert site.checks.accept(each, DESCRIBED)
    site.register.keep_files({"a.dcm": "1" * 64, "b.dcm": "3" * 64})
    assert sorted(site.states) == [RECEIVED, VALID]
    assert site.lend().file == "b.dcm"
    site.register.keep_files({"b.dcm": "3" * 64})
    assert [each.file for each in site.register.all()] == ["b.dcm"]
    site.register.keep_files({"a.dcm": "1" * 64, "b.dcm": "3" * 64})
    assert site.lend().file == "a.dcm"


def test_nodes_do_not_see_each_other(site: Site, open_ledger: Any) -> None:
    site.arrive()
    ledger = open_ledger(node="another")
    other: Networks = ledger.networks
    assert other.all() == []
    assert ledger.network_checks.reserve("runner", 60) is None
    other.keep_files({})
    assert site.states == [RECEIVED]


def test_a_journal_of_an_earlier_version_is_read(arrival_of: MakeArrival) -> None:
    arrival = arrival_of(network="received", network_digest="d")
    assert Arrival.from_json(arrival.to_json()) == arrival
    old = arrival.to_json().replace('"network":"received","network_digest":"d"', '"more":1')
    assert Arrival.from_json(old).network == ""
