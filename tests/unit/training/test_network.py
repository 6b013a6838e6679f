from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from preread.models.architectures import backbone_blueprint, build
from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName
from preread.models.weights import fill
from preread.training.network import Network, blocks_of, head_arrays


@pytest.mark.parametrize(
    "architecture", [ArchitectureName.MOBILENET_V2, ArchitectureName.RESNET50_V2]
)
def test_one_set_of_it_is_a_whole_network(architecture: ArchitectureName) -> None:
    torch.manual_seed(0)
    network = Network(architecture, 5).eval()
    nn.init.normal_(network.head.bias)
    assert float(network.head.weight.detach().std()) == pytest.approx(0.01, rel=0.1)
    mine = slice(2, 5)
    arrays = head_arrays(network, mine, architecture)
    assert {name.rpartition(".")[0] for name in arrays} == {RECORDS[architecture].head}
    whole = build(architecture, 3)
    backbone = {
        name: np.asarray(tensor.numpy()) for name, tensor in network.backbone.state_dict().items()
    }
    fill(whole, backbone | arrays).eval()
    images = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        expected = network(images)[:, mine]
        found = whole(images)
    assert float(expected.std()) > 1e-3
    assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize(
    ("architecture", "count"),
    [
        (ArchitectureName.MOBILENET_V2, 19),
        (ArchitectureName.RESNET50_V2, 1 + 4),  # the stem and the stages, then what follows
        (ArchitectureName.RESNET101_V2, 1 + 4),
        (ArchitectureName.INCEPTION_V3, 18),  # five convolutions, two poolings, eleven modules
    ],
)
def test_blocks_are_in_the_order_in_which_images_pass_them(
    architecture: ArchitectureName, count: int
) -> None:
    backbone = backbone_blueprint(architecture).eval()
    blocks = blocks_of(backbone)
    assert len(blocks) >= count
    # What comes after them has no weights to speak of.
    weights = {id(one) for block in blocks[:count] for one in block.parameters() if one.ndim == 4}
    assert weights == {id(one) for one in backbone.parameters() if one.ndim == 4}
    passed: list[int] = []
    for number, block in enumerate(blocks[:count]):
        block.register_forward_hook(lambda *_, number=number: passed.append(number))
    with torch.inference_mode():
        backbone(torch.zeros(1, 3, 75, 75, device="meta"))
    assert passed == list(range(count))
