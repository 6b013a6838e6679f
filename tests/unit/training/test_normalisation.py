from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from preread.training.data_set import DataSet
from preread.training.measuring import batches_of
from preread.training.normalisation import is_folded, remeasure, unfold
from tests.unit.training.conftest import Tiny, tiny


@pytest.fixture
def images(two_set_data: DataSet) -> Tensor:
    return torch.cat(list(batches_of(two_set_data, np.arange(24), 24)))


def layers_of(network: nn.Module) -> list[nn.BatchNorm2d]:
    return [module for module in network.modules() if isinstance(module, nn.BatchNorm2d)]


@pytest.fixture
def network() -> Tiny:
    made = tiny().eval()
    with torch.no_grad():
        for layer in layers_of(made):
            layer.bias.normal_()
    return made


def test_unfolding_changes_no_output(network: Tiny, images: Tensor) -> None:
    expected = network(images)
    assert is_folded(network)

    unfold(network, torch.chunk(images, 3))

    assert not is_folded(network)
    assert torch.allclose(network(images), expected, atol=1e-4)
    # And now the statistics of a batch are near the running ones, as training needs it.
    network.train()
    for module in network.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    assert torch.allclose(network(images), expected, atol=0.05)


def test_unfolding_measures_all_batches_together(network: Tiny, images: Tensor) -> None:
    seen = network.block(0)[0](images).double()
    unfold(network, torch.split(images, 7))
    layer = layers_of(network)[0]
    assert layer.running_mean is not None
    assert layer.running_var is not None
    assert torch.allclose(layer.running_mean.double(), seen.mean(dim=(0, 2, 3)), atol=1e-5)
    assert torch.allclose(
        layer.running_var.double(), seen.var(dim=(0, 2, 3), correction=0), rtol=1e-3, atol=1e-3
    )


def test_remeasured_statistics_are_those_of_the_images(network: Tiny, images: Tensor) -> None:
    # However they come: the last batch here is a small one, and one of a single image has none.
    remeasure(network, [*torch.split(images, 10), images[:1]])
    layer = layers_of(network)[0]
    assert layer.running_mean is not None
    mean = network.block(0)[0](images).mean(dim=(0, 2, 3))
    assert torch.allclose(layer.running_mean, mean, atol=1e-4)
    assert layer.momentum == 0.1
    assert not network.training


def test_frozen_layers_keep_their_statistics(network: Tiny, images: Tensor) -> None:
    first, second = layers_of(network)
    before = {name: tensor.clone() for name, tensor in first.state_dict().items()}
    remeasure(network, [images], frozen=[network.block(0)])
    for name, tensor in first.state_dict().items():
        assert torch.equal(tensor, before[name]), name
    assert second.running_mean is not None
    mean = network.block(1)[0](network.block(0)(images)).mean(dim=(0, 2, 3))
    assert torch.allclose(second.running_mean, mean, atol=1e-4)
