from __future__ import annotations

from dataclasses import replace

import numpy as np
import torch
from sklearn.linear_model import LogisticRegression

from preread.training.data_set import DataSet
from preread.training.measuring import features_of
from preread.training.objective import Objective
from preread.training.probing import PENALTY, fit_last_layer
from preread.training.splits import Split
from tests.unit.training.conftest import tiny

CPU = torch.device("cpu")


def objective_of(data: DataSet, part: Split) -> Objective:
    return Objective(data.sets, part.training, balanced=False, smoothing=0.0, distillation=0.0)


def test_finds_the_optimum_of_a_penalised_logistic_regression(
    two_set_data: DataSet, two_set_split: Split
) -> None:
    data, part = replace(two_set_data, sets=two_set_data.sets[:1]), two_set_split.training
    network = tiny(3)
    found = fit_last_layer(network, data, part, objective_of(data, two_set_split), CPU)

    features = features_of(network.backbone, data, part, CPU).double().numpy()
    labels = data.labels[part]
    deviation = features.std(axis=0, ddof=1)
    deviation += 1e-3 * deviation.mean()
    standard = (features - features.mean(axis=0)) / deviation
    # scikit-learn sums the losses over the images and halves the squares.
    reference = LogisticRegression(C=3 / (2 * len(part) * PENALTY), max_iter=5000, tol=1e-8)
    expected = reference.fit(standard, labels).predict_proba(standard)
    with torch.inference_mode():
        logits = network.head(torch.from_numpy(features).float())
        answers = torch.softmax(logits, dim=1).numpy()
    assert np.abs(answers - expected).max() < 0.01
    assert abs(found + np.log(expected[np.arange(len(part)), labels]).mean()) < 0.005


def test_is_better_than_a_random_layer_for_every_set(
    two_set_data: DataSet, two_set_split: Split
) -> None:
    network, part = tiny(), two_set_split.training
    backbone = {name: tensor.clone() for name, tensor in network.backbone.state_dict().items()}
    objective = objective_of(two_set_data, two_set_split)
    labels = torch.from_numpy(np.stack([one.labels[part] for one in two_set_data.sets], axis=1))

    def loss() -> float:
        features = features_of(network.backbone, two_set_data, part, CPU)
        with torch.inference_mode():
            return float(objective.labelled(network.head(features), labels))

    before = loss()
    found = fit_last_layer(network, two_set_data, part, objective, CPU)
    assert abs(loss() - found) < 1e-4
    assert found < before / 2
    for name, tensor in network.backbone.state_dict().items():
        assert torch.equal(tensor, backbone[name]), name
