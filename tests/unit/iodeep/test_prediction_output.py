"""What a network's numbers mean, by its last layer and the shape of its output."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from scipy import special

from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.errors import PredictionError
from preread.iodeep.prediction_output import Boxes, Masks, Meaning
from tests.unit.iodeep.toy_networks import document


def mask_network(*ends: str, channels: int = 1, order: str = "channels_first") -> Architecture:
    return parse_architecture(
        document(
            ["cnn2d", *ends],
            2,
            4,
            convolutional={"cn1": channels},
            kernel={"kernel1": 1},
            data_format=order,
        )
    )


def box_network(count: int, *ends: str, **more: Any) -> Architecture:
    return parse_architecture(
        document(["Flatten", "dense", *ends], 2, 4, convolutional={"cn1": count}, **more)
    )


VALUES = np.array([[[-2, -0.5, 0, 0.25], [0.5, 0.75, 1, 3]]], dtype=np.float32)


@pytest.mark.parametrize(
    ("ends", "expected"),
    [
        ((), special.expit(VALUES)),
        (("prelu",), special.expit(VALUES)),
        (("batchNorm2d",), special.expit(VALUES)),
        (("sigmoid",), np.clip(VALUES, 0, 1)),
        (("sigmoid", "dropout"), np.clip(VALUES, 0, 1)),
        (("relu",), np.clip(VALUES, 0, 1)),
        (("tanh",), np.clip((VALUES + 1) / 2, 0, 1)),
    ],
)
def test_one_channel_is_how_probable_a_region_is(
    ends: tuple[str, ...], expected: np.ndarray[Any, Any]
) -> None:
    masks = Meaning(mask_network(*ends)).read(VALUES)
    assert isinstance(masks, Masks)
    assert not masks.exclusive
    assert masks.probabilities == pytest.approx(expected)
    assert masks.probabilities.dtype == np.float32


@pytest.mark.parametrize("order", ["channels_first", "channels_last"])
@pytest.mark.parametrize("ends", [(), ("softmax",)])
def test_several_channels_exclude_each_other(ends: tuple[str, ...], order: str) -> None:
    logits = np.random.default_rng(0).standard_normal((3, 2, 4)).astype(np.float32)
    given = special.softmax(logits, axis=0) if ends else logits
    if order == "channels_last":
        given = np.moveaxis(given, 0, -1)
    masks = Meaning(mask_network(*ends, channels=3, order=order)).read(given)
    assert isinstance(masks, Masks)
    assert masks.exclusive
    assert masks.probabilities == pytest.approx(special.softmax(logits, axis=0), abs=1e-6)


def test_several_channels_with_a_sigmoid_do_not() -> None:
    values = np.full((3, 2, 4), 0.75, np.float32)
    masks = Meaning(mask_network("sigmoid", channels=3)).read(values)
    assert isinstance(masks, Masks)
    assert not masks.exclusive
    assert masks.probabilities == pytest.approx(values)


def test_infinite_logits_are_certain() -> None:
    logits = np.zeros((2, 2, 4), np.float32)
    logits[0, 0, 0], logits[1, 0, 1] = np.inf, np.inf
    masks = Meaning(mask_network(channels=2)).read(logits)
    assert isinstance(masks, Masks)
    assert masks.probabilities[:, 0, 0].tolist() == [1, 0]
    assert masks.probabilities[:, 0, 1].tolist() == [0, 1]


def test_five_numbers_are_a_box_and_its_score() -> None:
    numbers = np.array([0.1, 0.2, 0.5, 0.6, 0.9, 0.8, 0.3, 0.7, 0.1, 0.4], np.float32)
    boxes = Meaning(box_network(10, "sigmoid")).read(numbers)
    assert isinstance(boxes, Boxes)
    assert boxes.sides == pytest.approx(np.array([[0.1, 0.2, 0.5, 0.6], [0.7, 0.1, 0.8, 0.3]]))
    assert boxes.scores == pytest.approx([0.9, 0.4])


def test_without_an_activation_sides_are_as_they_stand_and_the_score_is_a_logit() -> None:
    numbers = np.array([-0.1, 0.2, 0.5, 1.6, 2.0], np.float32)
    boxes = Meaning(box_network(5)).read(numbers)
    assert isinstance(boxes, Boxes)
    assert boxes.sides == pytest.approx(np.array([[0, 0.2, 0.5, 1]]))
    assert boxes.scores == pytest.approx([special.expit(2.0)])


def test_four_numbers_are_a_box_without_a_score() -> None:
    boxes = Meaning(box_network(8, "tanh")).read(np.zeros(8, np.float32))
    assert isinstance(boxes, Boxes)
    assert boxes.sides == pytest.approx(np.full((2, 4), 0.5))
    assert boxes.scores.tolist() == [1, 1]


@pytest.mark.parametrize(
    ("architecture", "reason"),
    [
        (box_network(3), "neither masks nor boxes"),
        (box_network(4, "softmax"), "neither masks nor boxes"),
        (mask_network("softmax"), "1 everywhere"),
        (mask_network(channels=65), "65 masks; at most 64"),
    ],
)
def test_networks_that_say_where_nothing_is_are_refused(
    architecture: Architecture, reason: str
) -> None:
    with pytest.raises(PredictionError, match=reason):
        Meaning(architecture)


def test_values_that_are_no_numbers_are_refused() -> None:
    with pytest.raises(PredictionError, match="not numbers"):
        Meaning(mask_network()).read(np.full((1, 2, 4), np.nan, np.float32))
