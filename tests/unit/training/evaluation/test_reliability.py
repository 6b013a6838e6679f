from __future__ import annotations

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_calibration_error

from preread.training.evaluation.reliability import BINS, calibration_error, reliability


def test_bins_by_hand() -> None:
    rows = np.array([[0.95, 0.05], [0.97, 0.03], [0.45, 0.55], [1.0, 0.0]])
    counts, confidence, accuracy = reliability(rows, np.array([0, 1, 1, 0]))
    assert np.flatnonzero(counts).tolist() == [8, 14]
    assert counts[[8, 14]].tolist() == [1, 3]
    assert confidence[14] == pytest.approx((0.95 + 0.97 + 1.0) / 3)
    assert accuracy[[8, 14]] == pytest.approx([1, 2 / 3])
    error = (1 * abs(0.55 - 1) + 3 * abs((0.95 + 0.97 + 1) / 3 - 2 / 3)) / 4
    assert calibration_error(rows, np.array([0, 1, 1, 0])) == pytest.approx(error)


def test_agrees_with_torchmetrics() -> None:
    random = np.random.default_rng(1)
    rows = random.dirichlet((0.4, 0.4, 0.4), size=500)
    labels = random.integers(0, 3, size=500)
    expected = multiclass_calibration_error(
        torch.from_numpy(rows), torch.from_numpy(labels), 3, n_bins=BINS
    )
    assert calibration_error(rows, labels) == pytest.approx(float(expected), abs=1e-6)


def test_who_is_as_sure_as_right_has_no_error() -> None:
    rows = np.array([[0.75, 0.25]] * 4)
    assert calibration_error(rows, np.array([0, 0, 0, 1])) == pytest.approx(0)
    assert calibration_error(rows, np.array([1, 1, 1, 1])) == pytest.approx(0.75)
