from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from preread.training.data_set import LabelSet
from preread.training.objective import TEMPERATURE, Objective

# Two sets of two and three classes; the third image is in the second set alone.
FIRST = LabelSet("first", ("a", "b"), np.array([0, 1, -1, 0]))
SECOND = LabelSet("second", ("p", "q", "r"), np.array([-1, 2, 0, 1]))
LABELS = torch.tensor([[0, -1], [1, 2], [-1, 0], [0, 1]])
LOGITS = torch.tensor(
    [
        [1.0, -1.0, 0.3, 0.2, 0.1],
        [0.5, 0.0, 0.0, 1.0, 2.0],
        [9.0, -9.0, 1.5, 0.0, -0.5],
        [-0.2, 0.4, 0.0, 0.7, 0.1],
    ]
)


def objective(**changes: Any) -> Objective:
    options: dict[str, Any] = {"balanced": False, "smoothing": 0.0, "distillation": 0.0} | changes
    return Objective((FIRST, SECOND), np.arange(4), **options)


def surprises(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    """Give minus the log of each probability."""
    found: NDArray[np.float64] = np.log(np.exp(rows).sum(axis=1, keepdims=True)) - rows
    return found


def test_an_image_counts_in_the_sets_that_it_is_in() -> None:
    logits = LOGITS.double().numpy()
    one, two = surprises(logits[:, :2]), surprises(logits[:, 2:])
    first = (one[0, 0] + one[1, 1] + one[3, 0]) / 3
    second = (two[1, 2] + two[2, 0] + two[3, 1]) / 3
    # Each set weighs by its share of the batch, so that three of four images count.
    expected = 0.75 * first + 0.75 * second
    assert float(objective().labelled(LOGITS, LABELS)) == pytest.approx(expected, rel=1e-5)

    alone = objective().labelled(LOGITS[:1], LABELS[:1])
    assert float(alone) == pytest.approx(one[0, 0], rel=1e-5)


def test_balance_makes_each_class_weigh_the_same() -> None:
    # In the training part: 3 a, 1 b; 2 p, 1 q, 1 r.
    labels = np.array([0, 0, 0, 1]), np.array([0, 0, 1, 2])
    sets = [
        LabelSet("first", ("a", "b"), labels[0]),
        LabelSet("second", ("p", "q", "r"), labels[1]),
    ]
    balanced = Objective(sets, np.arange(4), balanced=True, smoothing=0.0, distillation=0.0)
    logits = LOGITS.double().numpy()
    one, two = surprises(logits[:, :2]), surprises(logits[:, 2:])
    expected = (
        one[:3, 0].mean() / 2 + one[3, 1] / 2 + (two[:2, 0].mean() + two[2, 1] + two[3, 2]) / 3
    )
    found = balanced.labelled(LOGITS, torch.from_numpy(np.stack(labels, axis=1)))
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_class_weights_are_of_the_training_part_alone() -> None:
    sets = (LabelSet("first", ("a", "b"), np.array([0, 0, 0, 1, 1, 1, 1, 1])),)
    some = Objective(sets, np.arange(4), balanced=True, smoothing=0.0, distillation=0.0)
    assert some.get_buffer("weights0").tolist() == pytest.approx([4 / 6, 4 / 2])


def test_smoothing_spreads_a_share_of_the_label_over_all_classes() -> None:
    logits = LOGITS.double().numpy()
    two = surprises(logits[2:3, 2:])
    expected = 0.9 * two[0, 0] + 0.1 * two[0].mean()
    found = objective(smoothing=0.1).labelled(LOGITS[2:3], LABELS[2:3])
    assert float(found) == pytest.approx(expected, rel=1e-5)


def test_a_student_that_equals_its_teacher_loses_nothing() -> None:
    features = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    taught = objective(distillation=1.0)
    assert float(taught.taught(LOGITS, LABELS, features, (LOGITS, features))) == pytest.approx(
        0, abs=1e-6
    )
    half = objective(distillation=0.5)
    assert float(half.taught(LOGITS, LABELS, features, (LOGITS, features))) == pytest.approx(
        float(half.labelled(LOGITS, LABELS)) / 2, rel=1e-5
    )


def test_a_teachers_answers_count_in_every_set() -> None:
    taught = objective(distillation=1.0)
    features = torch.randn(4, 7, generator=torch.Generator().manual_seed(1))
    told = LOGITS.flip(0)
    found = float(taught.taught(LOGITS, LABELS, features, (told, features)))
    expected = 0.0
    for outputs in (slice(0, 2), slice(2, 5)):
        student = surprises(LOGITS.double().numpy()[:, outputs] / TEMPERATURE)
        teacher = surprises(told.double().numpy()[:, outputs] / TEMPERATURE)
        divergences = (np.exp(-teacher) * (student - teacher)).sum(axis=1)
        expected += TEMPERATURE**2 * divergences.mean() / 2
    assert found == pytest.approx(expected, rel=1e-4)

    # Features that point elsewhere cost, those that are only longer do not.
    same = float(taught.taught(LOGITS, LABELS, 3 * features, (LOGITS, features)))
    against = float(taught.taught(LOGITS, LABELS, -features, (LOGITS, features)))
    assert same == pytest.approx(0, abs=1e-6)
    assert against == pytest.approx(4, rel=1e-5)


@pytest.mark.parametrize("distillation", [0.0, 0.5, 1.0])
def test_the_gradient_reaches_answers_and_features(distillation: float) -> None:
    random = torch.Generator().manual_seed(1)
    logits, features = (torch.randn(4, width, generator=random) for width in (5, 7))
    told, shown = torch.randn(4, 5, generator=random), torch.randn(4, 7, generator=random)
    logits.requires_grad_()
    features.requires_grad_()
    loss = objective(distillation=distillation).taught(logits, LABELS, features, (told, shown))
    loss.backward()  # type: ignore[no-untyped-call]  # torch leaves it untyped
    assert logits.grad is not None
    assert logits.grad[:2].abs().sum() > 0
    # The first image is not in the second set: the labels alone teach nothing there.
    assert bool(logits.grad[0, 2:].any()) == (distillation > 0)
    assert features.grad is not None
    assert bool(features.grad.any()) == (distillation > 0)
    assert math.isfinite(float(loss.detach()))
