from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from preread.training.errors import TrainingError
from preread.training.quotas import quotas


def test_one_set_gives_its_share() -> None:
    one = np.ones((1, 3), dtype=bool)
    found = quotas(np.array([120, 561, 416]), one, np.eye(3, dtype=bool), 0.3, exact=[None])
    assert found.sum() == 329
    assert np.abs(found - 0.3 * np.array([120, 561, 416])).max() < 1


def test_no_numbers_can_be_so() -> None:
    """The second set is within the first, and cannot give more than it."""
    sets = np.array([[1, 1], [0, 1]], dtype=bool)
    with pytest.raises(TrainingError, match=r"^no division has 5 and 6 images of these sets"):
        quotas(np.array([20, 20]), sets, sets, 0.3, exact=[5, 6])
    assert quotas(np.array([20, 20]), sets, sets, 0.3, exact=[6, 6]).tolist() == [0, 6]


def test_a_small_class_is_on_both_sides() -> None:
    one = np.ones((1, 2), dtype=bool)
    classes = np.eye(2, dtype=bool)
    few, many = np.array([2, 98]), np.array([98, 2])
    assert quotas(few, one, classes, 0.1, exact=[None]).tolist() == [1, 9]
    assert quotas(many, one, classes, 0.9, exact=[None]).tolist() == [89, 1]
    assert quotas(np.array([3, 97]), one, classes, 0.9, exact=[None], parts_left=2)[0] == 1


@settings(deadline=None, max_examples=60)
@given(
    sizes=st.lists(st.integers(1, 300), min_size=1, max_size=12),
    share=st.floats(0.05, 0.9),
    seed=st.integers(0, 2**32 - 1),
)
def test_sizes_are_near_the_share_in_every_set(sizes: list[int], share: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    held = np.array(sizes)
    member = random.integers(1, 4, size=len(sizes))  # in the first set, the second, both
    sets = np.array([member & 1, member >> 1], dtype=bool)
    found = quotas(held, sets, np.zeros((0, len(sizes)), dtype=bool), share, exact=[None, None])
    assert ((found >= 0) & (found <= held)).all()
    assert (np.abs(sets @ found - share * (sets @ held)) <= 1).all()
    assert (np.abs(found - share * held) <= 2).all()


@settings(deadline=None, max_examples=60)
@given(seed=st.integers(0, 2**32 - 1))
def test_numbers_that_can_be_come_out(seed: int) -> None:
    random = np.random.default_rng(seed)
    held = random.integers(2, 400, size=9)
    sets = np.array([[1] * 6 + [0] * 3, [0] * 3 + [1] * 6], dtype=bool)
    possible = [random.integers(0, held[part] + 1).sum() for part in (slice(3), slice(3, 6))]
    second = possible[1] + random.integers(0, held[6:] + 1).sum()
    exact = [int(sum(possible)), int(second)]
    found = quotas(held, sets, np.zeros((0, 9), dtype=bool), 0.3, exact=exact)
    assert (sets @ found).tolist() == exact
    assert ((found >= 0) & (found <= held)).all()
