from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from preread.training.errors import TrainingError
from preread.training.splits import LOOK_ALIKE, SplitKind, look_alike_groups, split


def rows(groups: list[int], width: int = 64) -> NDArray[np.float32]:
    """Make thumbnails: those of a group correlate above the threshold, others do not."""
    random = np.random.default_rng(1)
    centres = random.standard_normal((max(groups) + 1, width))
    made = np.stack([centres[group] + 0.05 * random.standard_normal(width) for group in groups])
    made -= made.mean(axis=1, keepdims=True)
    scaled: NDArray[np.float32] = (made / np.linalg.norm(made, axis=1, keepdims=True)).astype(
        np.float32
    )
    return scaled


def test_finds_the_groups() -> None:
    groups = [0, 1, 0, 2, 1, 3, 2, 0]
    found = look_alike_groups(rows(groups))
    assert found.tolist() == groups


def test_chains_belong_together() -> None:
    angles = np.radians([0, 12, 24, 90])  # cos 12 deg > 0.97 > cos 24 deg
    chain = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float32)
    assert chain[0] @ chain[2] < LOOK_ALIKE
    assert look_alike_groups(chain).tolist() == [0, 0, 0, 1]


def test_more_rows_than_a_block() -> None:
    groups = [number % 600 for number in range(1300)]
    assert look_alike_groups(rows(groups, 256)).tolist() == groups


@settings(deadline=None, max_examples=30)
@given(seed=st.integers(0, 2**32 - 1), kind=st.sampled_from(list(SplitKind)))
def test_parts_cover_all_once_and_keep_groups(seed: int, kind: SplitKind) -> None:
    random = np.random.default_rng(seed)
    groups = random.integers(0, 90, size=240)
    labels = (groups % 3).astype(np.int64)
    thumbnails = rows(groups.tolist())
    parts = split(labels, thumbnails, kind, test=0.3, validation=0.15, seed=seed)
    indices = np.concatenate([parts.training, parts.validation, parts.test])
    assert sorted(indices.tolist()) == list(range(240))
    assert abs(len(parts.test) - 72) <= 8
    if kind is SplitKind.GROUPED:
        sides = [set(groups[part].tolist()) for part in (parts.training, parts.validation)]
        tested = set(groups[parts.test].tolist())
        assert not sides[0] & sides[1]
        assert not tested & (sides[0] | sides[1])
        assert parts.groups == len(set(groups.tolist()))
    else:
        assert parts.groups is None


def test_the_same_seed_divides_alike() -> None:
    labels = np.arange(60, dtype=np.int64) % 2
    thumbnails = rows(list(range(60)))
    options = {"test": 0.3, "validation": 0.2}
    one, two = (split(labels, thumbnails, SplitKind.RANDOM, seed=5, **options) for _ in range(2))
    other = split(labels, thumbnails, SplitKind.RANDOM, seed=6, **options)
    assert one.test.tolist() == two.test.tolist() != other.test.tolist()


def test_too_few_groups_is_an_error() -> None:
    labels = np.array([0] * 10 + [1] * 10, dtype=np.int64)
    thumbnails = rows([0] * 10 + list(range(1, 11)))
    with pytest.raises(TrainingError, match=r"class 0 .* has no image in the .* part"):
        split(labels, thumbnails, SplitKind.GROUPED, test=0.3, validation=0.2, seed=0)
