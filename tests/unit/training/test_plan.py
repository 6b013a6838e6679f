from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest

from preread.training.errors import TrainingError
from preread.training.plan import PAPER, RECOMMENDED, Optimizer, Precision, Transfer


def test_the_papers_settings_are_the_papers() -> None:
    plan = PAPER.plan
    assert (plan.epochs, plan.batch_size, plan.learning_rate) == (100, 25, 0.01)
    assert plan.optimizer is Optimizer.SGD
    # All epochs run, on images as they are, and each counts as much as the other.
    assert (plan.patience, plan.augmentation, plan.balanced) == (0, 0.0, False)
    assert (plan.weight_decay, plan.smoothing, plan.averaging, plan.distillation) == (0, 0, 0, 0)
    assert (plan.frozen, plan.probing, plan.transfer) == (0, False, Transfer.FINE_TUNING)
    assert plan.precision is Precision.FLOAT32
    assert (PAPER.kind, PAPER.validation, PAPER.size) == ("random", 0.0, None)


def test_the_recommended_settings_keep_look_alikes_apart_and_choose_on_held_out_images() -> None:
    assert RECOMMENDED.kind == "grouped"
    assert 0 < RECOMMENDED.validation < 1


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"epochs": 0}, "epochs and batch size must be 1 or more"),
        ({"batch_size": 0}, "epochs and batch size must be 1 or more"),
        ({"patience": -1}, "patience and frozen blocks 0 or more"),
        ({"frozen": -1}, "patience and frozen blocks 0 or more"),
        ({"learning_rate": 0.0}, "the learning rate above 0"),
        ({"learning_rate": math.nan}, "the learning rate above 0"),
        ({"smoothing": 1.1}, "smoothing must be a number in 0..1"),
        ({"averaging": -0.1}, "averaging must be a number in 0..1"),
        ({"distillation": 2.0}, "distillation must be a number in 0..1"),
        ({"distillation": math.nan}, "distillation must be a number in 0..1"),
    ],
)
def test_refuses_an_impossible_plan(change: dict[str, Any], told: str) -> None:
    with pytest.raises(TrainingError, match=told):
        replace(PAPER.plan, **change)
