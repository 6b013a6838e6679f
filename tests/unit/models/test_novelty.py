from __future__ import annotations

import subprocess
import sys
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from preread.models.card import InvalidModelError
from preread.models.novelty import FEWEST, Novelty
from preread.models.weights import parse_weights, weights_bytes

WIDTH, RANK = 300, 12


def directions(seed: int) -> NDArray[np.float64]:
    random = np.random.default_rng(seed)
    return np.linalg.qr(random.normal(size=(WIDTH, RANK)))[0].T


def images(count: int, seed: int, *, along: int = 1, spread: float = 1.0) -> NDArray[np.float32]:
    """Draw features that vary in a few directions, with a little noise in all, above zero."""
    random = np.random.default_rng(seed)
    strengths = spread * np.linspace(3, 0.5, RANK)
    rows = 10 + random.normal(size=(count, RANK)) * strengths @ directions(along)
    rows += random.normal(0, 0.02, (count, WIDTH))
    return np.asarray(rows, dtype=np.float32)


@pytest.fixture(scope="module")
def novelty() -> Novelty:
    return Novelty.fit(images(400, 0))


def test_what_is_like_the_training_images_is_near(novelty: Novelty) -> None:
    trained, held_out = novelty.score(images(400, 0)), novelty.score(images(400, 1))
    assert np.sqrt((trained**2).mean()) == pytest.approx(1, abs=0.01)
    assert held_out.shape == (400,)
    assert held_out.min() > 0
    assert np.median(held_out) < 1.3
    threshold = np.quantile(held_out, 0.99)
    assert (novelty.score(images(400, 2)) > threshold).mean() < 0.04


@pytest.mark.parametrize(
    "unlike",
    [
        pytest.param(images(50, 3, along=2), id="other directions"),
        pytest.param(images(50, 3, spread=8), id="too far along its own"),
        pytest.param(np.random.default_rng(0).random((50, WIDTH), np.float32), id="noise"),
        pytest.param(np.zeros((1, WIDTH), np.float32), id="nothing at all"),
        pytest.param(np.eye(5, WIDTH, dtype=np.float32), id="single features"),
        pytest.param(-images(50, 3), id="turned around"),
    ],
)
def test_what_is_unlike_them_is_far(novelty: Novelty, unlike: NDArray[np.float32]) -> None:
    threshold = np.quantile(novelty.score(images(400, 1)), 0.99)
    assert (novelty.score(unlike) > 1.5 * threshold).mean() > 0.9


def test_how_long_features_are_says_nothing(novelty: Novelty) -> None:
    rows = images(20, 4)
    assert np.allclose(novelty.score(rows * np.float32(7)), novelty.score(rows), rtol=1e-4)


def test_a_fit_is_the_same_each_time_and_comes_back_from_a_file(novelty: Novelty) -> None:
    again = Novelty.fit(images(400, 0))
    kept = parse_weights(weights_bytes(again.arrays()), "w")
    assert kept.keys() == novelty.arrays().keys()
    for name, array in novelty.arrays().items():
        assert name.startswith("novelty.")
        assert np.array_equal(array, kept[name])
    read = Novelty.from_arrays(kept)
    assert np.array_equal(read.score(images(20, 5)), novelty.score(images(20, 5)))
    assert np.array_equal(
        np.concatenate([read.score(row[None]) for row in images(20, 5)]).round(9),
        read.score(images(20, 5)).round(9),
    )


@pytest.mark.parametrize("count", [FEWEST, 30, 1000])
def test_few_and_many_images_can_be_described(count: int) -> None:
    found = Novelty.fit(images(count, 0))
    expected = np.sqrt(1 - 1 / count)
    assert np.sqrt((found.score(images(count, 0)) ** 2).mean()) == pytest.approx(expected, abs=0.01)
    assert sum(array.nbytes for array in found.arrays().values()) < 66 * WIDTH * 2 + 2000


@pytest.mark.parametrize(
    ("features", "message"),
    [
        (images(FEWEST - 1, 0), "expected 8 rows or more"),
        (np.ones(WIDTH, np.float32), "expected 8 rows or more"),
        (np.ones((20, WIDTH), np.float32), "do not vary"),
        (np.full((20, WIDTH), np.nan, np.float32), "not finite"),
    ],
)
def test_what_cannot_be_described_is_refused(features: Any, message: str) -> None:
    with pytest.raises(InvalidModelError, match=message):
        Novelty.fit(features)


def test_other_features_are_refused(novelty: Novelty) -> None:
    for features, message in (
        (images(3, 0)[:, 1:], "expected 300 for each image"),
        (images(3, 0)[0], "expected 300 for each image"),
        (images(3, 0) * np.float32(np.inf), "not finite"),
    ):
        with pytest.raises(InvalidModelError, match=message):
            novelty.score(features)


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("mean", None, r"f: novelty\.mean is missing"),
        ("directions", None, r"f: novelty\.directions is missing"),
        ("other", np.ones(1, np.float32), r"f: novelty\.other is none of a model's"),
        ("mean", np.ones(7, np.float32), r"novelty\.mean: float32 of shape \(7,\), expected"),
        ("mean", np.ones(WIDTH, np.float16), r"novelty\.mean: float16"),
        ("mean", np.full(WIDTH, np.nan, np.float32), r"novelty\.mean: .* not finite"),
        ("directions", np.ones(WIDTH, np.float16), r"novelty\.\w+: .* expected"),
        ("directions", np.ones((0, WIDTH), np.float16), r"novelty\.\w+: .* expected"),
        ("rest", np.zeros(1, np.float32), r"expected numbers above 0"),
        ("rest", np.ones(2, np.float32), r"novelty\.rest: float32 of shape \(2,\), expected"),
        ("variances", np.full(64, -1, np.float32), r"expected numbers above 0"),
    ],
)
def test_broken_files_are_refused(name: str, change: Any, message: str, novelty: Novelty) -> None:
    arrays = novelty.arrays()
    if change is None:
        del arrays[f"novelty.{name}"]
    else:
        arrays[f"novelty.{name}"] = change
    with pytest.raises(InvalidModelError, match=message):
        Novelty.from_arrays(arrays, "f")


def test_scoring_needs_no_torch() -> None:
    program = (
        "import sys, preread.models.novelty, preread.models.head\n"
        "assert not {'torch', 'openvino', 'timm', 'sklearn'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
