"""Queues that are bounded by number and by weight, and the jobs in hand."""

from __future__ import annotations

import threading

from preread.runner.channel import Channel
from preread.runner.hand import Hand
from tests.unit.runner.bench import Bench, ct


def test_items_come_out_in_their_order() -> None:
    channel: Channel[int] = Channel(10, 10)
    assert all(channel.put(number) for number in range(5))
    assert [channel.get() for _ in range(5)] == [0, 1, 2, 3, 4]
    assert channel.get(timeout=0) is None


def test_a_full_channel_holds_the_sender_back() -> None:
    for channel, weight in ((Channel[int](2, 1000), 1), (Channel[int](100, 10), 5)):
        channel.put(1, weight)
        channel.put(2, weight)
        third = threading.Thread(target=channel.put, args=(3, weight))
        third.start()
        third.join(0.1)
        assert third.is_alive()
        assert channel.get() == 1
        third.join(5)
        assert not third.is_alive()
        assert len(channel) == 2


def test_what_is_heavier_than_the_bound_passes_alone() -> None:
    channel: Channel[str] = Channel(10, 10)
    assert channel.put("heavy", 1000)
    second = threading.Thread(target=channel.put, args=("light", 1))
    second.start()
    second.join(0.1)
    assert second.is_alive()
    assert channel.get() == "heavy"
    second.join(5)
    assert channel.get() == "light"


def test_a_closed_channel_gives_out_what_it_holds_and_takes_nothing() -> None:
    channel: Channel[int] = Channel(10, 10)
    channel.put(1)
    channel.close()
    assert not channel.put(2)
    assert channel.get() == 1
    assert channel.get() is None


def test_cancelling_wakes_both_sides() -> None:
    full: Channel[int] = Channel(1, 10)
    full.put(1)
    empty: Channel[int] = Channel(1, 10)
    threads = [
        threading.Thread(target=full.put, args=(2,)),
        threading.Thread(target=empty.get),
    ]
    for thread in threads:
        thread.start()
    full.cancel()
    empty.cancel()
    for thread in threads:
        thread.join(5)
        assert not thread.is_alive()
    assert full.get() is None


def test_a_dropped_job_is_no_longer_in_hand(bench: Bench) -> None:
    for number in range(2):
        bench.arrive(ct(number))
    first, second = bench.ledger.reserve("runner", 2, 60)
    hand = Hand()
    hand.take(first)
    hand.take(second)
    assert first in hand
    assert hand.drop([first, first]) == [first]
    assert first not in hand
    assert hand.drop([first]) == []
    assert hand.jobs == [second]
    assert not hand.wait_below(1, 0.01)
    assert hand.wait_below(2, 0.01)
