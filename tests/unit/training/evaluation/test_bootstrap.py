from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from preread.training.evaluation import bootstrap
from preread.training.evaluation.bootstrap import intervals
from preread.training.evaluation.reliability import calibration_error
from preread.training.metrics import areas, figures

CLASSES = ("A", "B", "C")


def answers(
    random: np.random.Generator, count: int
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    labels = random.integers(0, 3, count)
    logits = random.normal(0, 1, (count, 3)) + 1.5 * np.eye(3)[labels]
    rows = np.exp(logits)
    return rows / rows.sum(axis=1, keepdims=True), labels


def test_a_draw_of_each_image_once_measures_what_all_measure() -> None:
    rows, labels = answers(np.random.default_rng(0), 90)
    rows = rows.round(2) + 1e-9  # with ties
    rows /= rows.sum(axis=1, keepdims=True)
    found = bootstrap._figures(np.ones((1, 90)), rows, labels, CLASSES)
    whole = figures(torch.from_numpy(rows), torch.from_numpy(labels))
    known = [area for area in areas(torch.from_numpy(rows), torch.from_numpy(labels)) if area]
    expected = {
        "MicroAccuracy": whole.micro_accuracy,
        "MacroAccuracy": whole.macro_accuracy,
        "LogLoss": whole.log_loss,
        "LogLossReduction": whole.log_loss_reduction,
        "ROCAUC": sum(known) / 3,
        "ECE": calibration_error(rows, labels),
        **{f"Recall.{name}": whole.recall[label] for label, name in enumerate(CLASSES)},
    }
    assert {name: values[0] for name, values in found.items()} == pytest.approx(expected, abs=1e-6)


def test_a_draw_of_some_images_measures_those() -> None:
    rows, labels = answers(np.random.default_rng(1), 40)
    times = np.random.default_rng(2).integers(0, 3, 40)
    found = bootstrap._figures(times[np.newaxis].astype(float), rows, labels, CLASSES)
    again, true = np.repeat(rows, times, axis=0), np.repeat(labels, times)
    whole = figures(torch.from_numpy(again), torch.from_numpy(true))
    assert found["LogLoss"][0] == pytest.approx(whole.log_loss)
    assert found["LogLossReduction"][0] == pytest.approx(whole.log_loss_reduction)
    assert found["ECE"][0] == pytest.approx(calibration_error(again, true))
    known = [area for area in areas(torch.from_numpy(again), torch.from_numpy(true)) if area]
    assert found["ROCAUC"][0] == pytest.approx(sum(known) / 3, abs=1e-6)


def coverage(*, by_groups: bool) -> float:
    """Give how often the interval holds the true accuracy, of images that come in fives."""
    random = np.random.default_rng(5)
    truth, held, trials = 0.7, 0, 400
    for trial in range(trials):
        right = np.repeat(random.random(40) < truth, 5)
        rows = np.where(right[:, np.newaxis], (0.9, 0.1), (0.2, 0.8))
        groups = np.repeat(np.arange(40), 5) if by_groups else np.arange(200)
        labels = np.zeros(200, dtype=np.int64)
        found = intervals(rows, labels, groups, classes=("A", "B"), draws=150, seed=trial)
        low, high = found["MicroAccuracy"]
        held += low <= truth <= high
    return held / trials


def test_intervals_hold_what_is_true_19_times_of_20() -> None:
    assert 0.92 <= coverage(by_groups=True) <= 0.985
    # Single images would be drawn as if they knew nothing of each other.
    assert coverage(by_groups=False) < 0.75


def test_draws_come_from_the_seed_however_many_fit_at_a_time(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    rows, labels = answers(np.random.default_rng(0), 50)
    arguments = (rows, labels, np.arange(50))
    one = intervals(*arguments, classes=CLASSES, draws=100, seed=1)
    monkeypatch.setattr(bootstrap, "_MOST_CELLS", 7 * 50)
    again = intervals(*arguments, classes=CLASSES, draws=100, seed=1)
    assert list(again) == list(one)
    for name, bounds in one.items():
        assert again[name] == pytest.approx(bounds)
    assert intervals(*arguments, classes=CLASSES, draws=100, seed=2) != one


def test_nothing_is_said_of_what_cannot_be_drawn() -> None:
    rows, labels = answers(np.random.default_rng(0), 30)
    together = np.zeros(30, dtype=np.int64)
    assert intervals(rows, labels, together, classes=CLASSES, draws=100, seed=0) == {}
    assert intervals(rows, labels, np.arange(30), classes=CLASSES, draws=0, seed=0) == {}
    only = np.zeros(30, dtype=np.int64)
    found = intervals(rows, only, np.arange(30), classes=CLASSES, draws=100, seed=0)
    assert set(found) == {"MicroAccuracy", "MacroAccuracy", "LogLoss", "ECE", "Recall.A"}
