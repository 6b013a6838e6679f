from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.metrics import log_loss, recall_score

from preread.training.metrics import figures


def test_agrees_with_scikit_learn() -> None:
    random = np.random.default_rng(0)
    rows = random.dirichlet((1, 1, 1), size=200)
    labels = random.integers(0, 3, size=200)
    found = figures(torch.from_numpy(rows), torch.from_numpy(labels))
    guesses = rows.argmax(axis=1)
    assert found.micro_accuracy == pytest.approx((guesses == labels).mean(), abs=1e-6)
    assert found.recall == pytest.approx(recall_score(labels, guesses, average=None), abs=1e-6)
    assert found.macro_accuracy == pytest.approx(
        recall_score(labels, guesses, average="macro"), abs=1e-6
    )
    assert found.log_loss == pytest.approx(log_loss(labels, rows), abs=1e-6)
    assert np.array(found.confusion).sum() == 200


def test_answering_the_frequencies_reduces_nothing() -> None:
    labels = torch.tensor([0, 0, 0, 1])
    rows = torch.tensor([[0.75, 0.25]] * 4)
    found = figures(rows, labels)
    assert found.log_loss_reduction == pytest.approx(0, abs=1e-6)
    assert found.precision[1] is None
    assert found.recall == (1.0, 0.0)


def test_certainty_that_is_wrong_stays_finite() -> None:
    found = figures(torch.tensor([[1.0, 0.0], [1.0, 0.0]]), torch.tensor([0, 1]))
    assert 10 < found.log_loss < 20
