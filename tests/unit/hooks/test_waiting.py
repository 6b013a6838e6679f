"""How many calls may wait at a time, and what the others are answered."""

from __future__ import annotations

import importlib
import time
from types import ModuleType
from typing import Any

import pytest


@pytest.fixture
def waiting(orthanc: ModuleType) -> Any:
    return importlib.import_module("preread.hooks.waiting")


@pytest.mark.parametrize(("threads", "places"), [(50, 12), (8, 2), (4, 1), (1, 1)])
def test_a_quarter_of_orthancs_threads_may_wait(waiting: Any, threads: int, places: int) -> None:
    assert waiting.places_of(threads) == places


def test_who_finds_no_place_does_not_wait_and_a_place_is_given_back(waiting: Any) -> None:
    room = waiting.Waiting(2)
    with room.patience(60) as first, room.patience(60) as second:
        assert min(first, second) > time.monotonic() + 30
        for _ in range(3):
            with room.patience(60) as third:
                assert third <= time.monotonic()
    with pytest.raises(ValueError, match="x"), room.patience(60):
        raise ValueError("x")
    with room.patience(60) as first, room.patience(60) as second:
        assert min(first, second) > time.monotonic() + 30


def test_who_is_not_patient_takes_no_place(waiting: Any) -> None:
    room = waiting.Waiting(1)
    with room.patience(0) as first, room.patience(60) as second:
        assert first <= time.monotonic() < second


def test_few_convert_at_a_time_few_wait_and_the_others_are_told_when_to_come_back(
    waiting: Any,
) -> None:
    rest = importlib.import_module("preread.hooks.rest")
    pool = waiting.Pool(at_once=1, places=2, seconds=0.05)
    with pool.turn():
        for _ in range(2):
            # It waits for its turn, in vain.
            with pytest.raises(rest.RestError) as told, pool.turn():
                pass
            assert told.value.status == 503
            assert int(told.value.headers["Retry-After"]) > 0
    with pool.turn():
        pass
    full = waiting.Pool(at_once=1, places=1, seconds=60)
    with full.turn(), pytest.raises(rest.RestError), full.turn():
        pass
    with full.turn():
        pass
