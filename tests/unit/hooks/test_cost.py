"""Costly objects that come one upon another share what one of them may cost."""

from __future__ import annotations

from pathlib import Path
from types import ModuleType

from preread.elements import Budget
from preread.hooks.cost import Allowance
from preread.settings import Mode
from tests.unit.hooks.test_budget import OPTIONS, ct, uids
from tests.unit.hooks.test_receive import Node as Hooks


class Watched:
    """An allowance with a clock of its own, that writes down what it allows."""

    def __init__(self) -> None:
        self.now = 0.0
        self.allowed: list[float] = []
        self.allowance = Allowance(self._budget, lambda: self.now)

    def _budget(self, seconds: float) -> Budget:
        self.allowed.append(round(seconds, 3))
        return Budget(seconds)

    def next(self) -> float:
        self.allowance.budget()
        return self.allowed[-1]


def test_what_one_has_cost_the_next_may_not() -> None:
    watched = Watched()
    assert watched.next() == 0.5
    watched.allowance.spent(0.3)
    assert watched.next() == 0.2
    watched.allowance.spent(0.3)
    assert watched.next() == 0.03


def test_ten_at_once_cost_less_than_two_did() -> None:
    watched = Watched()
    spent = 0.0
    for _ in range(10):
        allowed = watched.next()
        watched.allowance.spent(allowed)
        spent += allowed
    assert spent < 0.8


def test_it_is_regained_as_time_passes_and_never_more() -> None:
    watched = Watched()
    watched.allowance.spent(0.5)
    watched.now += 1.0
    assert watched.next() == 0.25
    watched.now += 100.0
    assert watched.next() == 0.5


def test_ordinary_images_take_nothing_from_anybody() -> None:
    watched = Watched()
    for _ in range(10_000):
        watched.allowance.spent(0.004)
    assert watched.next() == 0.5


def test_what_must_be_judged_at_once_gets_the_whole() -> None:
    watched = Watched()
    watched.allowance.spent(0.5)
    watched.allowance.whole()
    assert watched.allowed[-1] == 0.5


def test_the_hook_counts_what_it_has_spent(orthanc: ModuleType, tmp_path: Path) -> None:
    watched = Watched()
    hooks = Hooks(orthanc, tmp_path, Mode.INCOMING, OPTIONS, allowance=watched.allowance)
    for _ in range(3):
        assert hooks.arrive(ct())[0] == orthanc.ReceivedInstanceAction.MODIFY
    assert watched.allowed == [0.5] * 3
    for _ in range(4):
        assert hooks.arrive(uids(250_000))[0] == orthanc.ReceivedInstanceAction.DISCARD
    assert watched.allowed[-1] == 0.03
    assert hooks.keeping.held.count() >= 1
    # An ordinary image needs no more than the least.
    assert hooks.arrive(ct())[0] == orthanc.ReceivedInstanceAction.MODIFY
