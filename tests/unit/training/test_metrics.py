from __future__ import annotations

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score, log_loss, precision_score, recall_score, roc_auc_score

from preread.training.metrics import areas, figures


def some(count: int = 200, classes: int = 3) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    random = np.random.default_rng(0)
    return random.dirichlet([1] * classes, size=count), random.integers(0, classes, size=count)


def test_agrees_with_scikit_learn() -> None:
    rows, labels = some()
    found = figures(torch.from_numpy(rows), torch.from_numpy(labels))
    guesses = rows.argmax(axis=1)
    assert found.micro_accuracy == pytest.approx((guesses == labels).mean(), abs=1e-6)
    for values, score in (
        (found.recall, recall_score),
        (found.precision, precision_score),
        (found.f1, f1_score),
    ):
        assert values == pytest.approx(score(labels, guesses, average=None), abs=1e-6)
    assert found.macro_accuracy == pytest.approx(
        recall_score(labels, guesses, average="macro"), abs=1e-6
    )
    assert found.log_loss == pytest.approx(log_loss(labels, rows), abs=1e-6)
    assert np.array(found.confusion).sum() == 200
    # The whole is the mean of the classes, each by its images.
    counts = np.bincount(labels)
    assert np.average(np.array(found.class_log_loss, dtype=float), weights=counts) == (
        pytest.approx(found.log_loss)
    )
    assert found.class_log_loss[1] == pytest.approx(-np.log(rows[labels == 1, 1]).mean())


def test_areas_agree_with_scikit_learn() -> None:
    rows, labels = some()
    coarse = rows.round(1)  # with many ties
    for each in (rows, coarse / coarse.sum(axis=1, keepdims=True)):
        found = areas(torch.from_numpy(each), torch.from_numpy(labels))
        for label, area in enumerate(found):
            assert area == pytest.approx(roc_auc_score(labels == label, each[:, label]), abs=1e-6)


def test_answering_the_frequencies_reduces_nothing() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    rows = torch.tensor([[0.75, 0.25]] * 4)
    found = figures(rows, labels)
    assert found.log_loss_reduction == pytest.approx(0, abs=1e-6)
    assert found.precision[1] is None
    assert found.recall == (1.0, 0.0)
    assert areas(rows, labels) == (0.5, 0.5)


def test_certainty_that_is_wrong_stays_finite() -> None:
    found = figures(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert 10 < found.log_loss < 20


def test_a_class_without_images_counts_for_nothing() -> None:
    rows = torch.tensor([[0.8, 0.1, 0.1], [0.1, 0.2, 0.7], [0.1, 0.8, 0.1]])
    found = figures(rows, torch.tensor([0, 1, 1]))  # the third is answered once, and is never true
    assert found.recall == (1.0, 0.5, None)
    assert found.macro_accuracy == 0.75
    assert found.precision == (1.0, 1.0, 0.0)
    assert found.f1 == pytest.approx((1.0, 2 / 3, 0.0))
    assert found.class_log_loss[2] is None
    assert areas(rows, torch.tensor([0, 1, 1]))[2] is None


def test_one_image_is_measured() -> None:
    found = figures(torch.tensor([[0.5, 0.5]]), torch.tensor([1]))
    assert (found.micro_accuracy, found.recall) == (0.0, (None, 0.0))
    assert found.log_loss == pytest.approx(np.log(2))
    assert found.log_loss_reduction == 0.0


def test_probabilities_that_rounding_left_above_1_are_not_taken_for_logits() -> None:
    above = np.nextafter(1.0, 2.0)
    rows = torch.tensor([[above, 0.0], [0.6, 0.4], [0.1, 0.9]], dtype=torch.float64)
    labels = torch.tensor([0, 1, 1])
    exact = rows.clamp(0, 1)
    assert figures(rows, labels) == figures(exact, labels)
    assert areas(rows, labels) == areas(exact, labels)
