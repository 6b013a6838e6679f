from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from preread.training.belonging import LOOK_ALIKE, groups_of, look_alike_groups
from preread.training.data_set import DataSet, LabelSet
from preread.training.errors import TrainingError
from preread.training.splits import SplitKind, split_sets


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


def data_of(
    labels: dict[str, list[int]],
    alike: list[int] | None = None,
    patients: list[str] | None = None,
    digests: list[str] | None = None,
    groups: list[int] | None = None,
) -> DataSet:
    """Make a data set of which no image looks like another unless told so."""
    count = len(next(iter(labels.values())))
    sets = tuple(
        LabelSet(name, tuple("ABCDEFG"[: max(of) + 1]), np.array(of, dtype=np.int64))
        for name, of in labels.items()
    )
    return DataSet(
        sets=sets,
        files=tuple(f"{number}.png" for number in range(count)),
        digests=tuple(digests or map(str, range(count))),
        images=(np.zeros((1, 1, 1), dtype=np.float32),) * count,
        thumbnails=rows(alike or list(range(count)), 256),
        duplicates=0,
        contradictions=0,
        patients=tuple((one,) if one else () for one in patients or [""] * count),
        groups=tuple((one,) for one in groups) if groups else None,
    )


def paper(scale: int = 10) -> DataSet:
    """The seed paper's two sets, a tenth of them: 110 images and 146, 85 of them in both."""
    both = [(0, 80), (1, 460), (2, 307)]
    iq_only = [(0, 40), (1, 101), (2, 109)]
    chest = [(3, 195), (4, 115), (2, 148), (5, 155)]
    first, second = [], []
    for label, count in both:
        first += [label] * (count // scale)
        second += [label] * (count // scale)
    for label, count in iq_only:
        first += [label] * (count // scale)
        second += [-1] * (count // scale)
    for label, count in chest:
        first += [-1] * (count // scale)
        second += [label] * (count // scale)
    return data_of({"IQ": first, "CT": second})


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
    data = data_of({"class": (groups % 3).tolist()}, alike=groups.tolist())
    parts = split_sets(data, kind, test=0.3, validation=0.15, seed=seed)
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


def test_too_few_groups_is_an_error() -> None:
    data = data_of({"class": [0] * 10 + [1] * 10}, alike=[0] * 10 + list(range(1, 11)))
    with pytest.raises(TrainingError, match=r"class A has no image in the .* part"):
        split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.2, seed=0)


def test_alike_or_of_one_patient_or_the_same_belong_together() -> None:
    data = data_of(
        {"class": [0, 1] * 5},
        alike=[0, 1, 2, 3, 4, 5, 6, 7, 8, 0],
        patients=["", "p", "", "p", "", "q", "", "", "", "q"],
        digests=[*"abcdefcghi"],
        groups=[0, 1, 2, 3, 4, 5, 6, 7, 7, 9],
    )
    # 0 and 9 look alike, 5 and 9 are of one patient; so are 1 and 3; 2 and 6 are the same; 7 and 8
    # are listed as a group.
    assert groups_of(data).tolist() == [0, 1, 2, 1, 3, 0, 2, 4, 4, 0]


def test_images_of_unknown_patients_do_not_belong_together() -> None:
    assert groups_of(data_of({"class": [0, 1, 0]})).tolist() == [0, 1, 2]


@pytest.mark.parametrize("kind", list(SplitKind))
@pytest.mark.parametrize("seed", range(4))
def test_several_sets_are_divided_at_once(kind: SplitKind, seed: int) -> None:
    data = paper()
    parts = split_sets(data, kind, test=0.3, validation=0.15, seed=seed)
    indices = np.concatenate([parts.training, parts.validation, parts.test])
    assert sorted(indices.tolist()) == list(range(len(data)))
    for one in data.sets:
        there = one.labels[parts.test]
        assert abs((there != -1).sum() - 0.3 * len(one)) <= (1 if kind is SplitKind.RANDOM else 4)
        for label, count in enumerate(one.counts().values()):
            assert abs((there == label).sum() - 0.3 * count) <= 2
    both = list(zip(*(one.labels.tolist() for one in data.sets), strict=True))
    tested = [both[index] for index in parts.test]
    for combination in set(both):
        assert abs(tested.count(combination) - 0.3 * both.count(combination)) <= 1


def test_each_combination_may_be_of_one_group_alone() -> None:
    group = np.arange(54) // 2
    data = data_of(
        {name: (group // 3**digit % 3).tolist() for digit, name in enumerate(("a", "b", "c"))},
        patients=[f"p{number}" for number in group],
    )
    parts = split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.2, seed=0)
    for one in data.sets:
        assert np.abs(np.bincount(one.labels[parts.test]) - 0.3 * 18).max() <= 4


def test_a_group_is_in_one_part_for_all_sets() -> None:
    random = np.random.default_rng(3)
    patients = random.integers(0, 40, size=200)
    data = data_of(
        {"one": (patients % 2).tolist(), "two": (patients % 3 - 1).tolist()},
        patients=[f"p{number}" for number in patients],
    )
    parts = split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.2, seed=1)
    sides = [
        set(patients[part].tolist()) for part in (parts.training, parts.validation, parts.test)
    ]
    assert sum(map(len, sides)) == len(set(patients.tolist())) == parts.groups
    for patient in set(patients.tolist()):
        assert len(set(parts.group_of[patients == patient].tolist())) == 1


@pytest.mark.parametrize("seed", range(3))
def test_numbers_asked_for_come_out(seed: int) -> None:
    data = paper()
    parts = split_sets(
        data, SplitKind.RANDOM, test=0.3, validation=0, seed=seed, test_images={"IQ": 37, "CT": 41}
    )
    assert [(one.labels[parts.test] != -1).sum() for one in data.sets] == [37, 41]
    assert len(parts.validation) == 0
    assert parts.groups is None
    assert parts.group_of.tolist() == list(range(len(data)))


def test_other_seeds_draw_other_images() -> None:
    data = paper()
    drawn = [
        split_sets(data, SplitKind.RANDOM, test=0.3, validation=0.1, seed=seed).test.tolist()
        for seed in (1, 1, 2)
    ]
    assert drawn[0] == drawn[1] != drawn[2]


def test_what_cannot_be_divided_is_told() -> None:
    data = data_of({"class": [0] * 10 + [1] * 10}, patients=["p"] * 10 + [""] * 10)
    with pytest.raises(
        TrainingError, match=r"^class A has no image in the .* part: too few images"
    ):
        split_sets(data, SplitKind.GROUPED, test=0.3, validation=0.2, seed=0)
    one = data_of({"IQ": [0] * 30 + [1], "CT": [0, 1] * 15 + [-1]})
    with pytest.raises(TrainingError, match=r"^class B of IQ has no image in the training part"):
        split_sets(one, SplitKind.RANDOM, test=0.3, validation=0, seed=0)
    lone = data_of({"IQ": [0, 1, 2, 3] * 5 + [4, 5], "CT": [0] * 20 + [1, 1]})
    with pytest.raises(TrainingError, match=r"^class E of IQ has no image in the test part"):
        split_sets(lone, SplitKind.RANDOM, test=0.3, validation=0, seed=0)
    options = {"test": 0.3, "validation": 0.0}
    with pytest.raises(TrainingError, match=r"'XY': the data has no such set$"):
        split_sets(paper(), SplitKind.RANDOM, seed=0, test_images={"XY": 3}, **options)
    with pytest.raises(TrainingError, match=r"for the random split alone$"):
        split_sets(paper(), SplitKind.GROUPED, seed=0, test_images={"IQ": 30}, **options)
    with pytest.raises(TrainingError, match=r"^no division has 300 images"):
        split_sets(paper(), SplitKind.RANDOM, seed=0, test_images={"IQ": 300}, **options)
