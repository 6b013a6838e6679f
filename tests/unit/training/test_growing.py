from __future__ import annotations

import re
from pathlib import Path

import pytest
import torch
from torch import nn

from preread.models.architectures import build_backbone
from preread.models.card import ArchitectureName, read_card
from preread.training.errors import TrainingError
from preread.training.growing import GROWS_INTO, grow
from preread.training.normalisation import remeasure
from tests.unit.training.conftest import TwoSets, refused, trained

SHALLOW, DEEP = ArchitectureName.RESNET50_V2, ArchitectureName.RESNET101_V2
SMALL = ("--size", 32, "--epochs", 1, "--threads", 1, "--batch-size", 16)


@pytest.fixture(scope="module")
def images() -> torch.Tensor:
    return torch.randn(4, 3, 48, 48, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def shallow(images: torch.Tensor) -> nn.Module:
    torch.manual_seed(1)
    network = build_backbone(SHALLOW)
    remeasure(network, [images])
    return network.eval()


@pytest.fixture
def deep() -> nn.Module:
    torch.manual_seed(2)
    return build_backbone(DEEP).eval()


def test_the_deeper_network_begins_as_the_shallower(
    shallow: nn.Module, deep: nn.Module, images: torch.Tensor
) -> None:
    with torch.inference_mode():
        expected = shallow(images)
        assert not torch.allclose(deep(images), expected, atol=0.1)
        added = grow(shallow, deep)
        found = deep(images)
    assert added == 17  # 23 blocks in place of 6 in the third stage
    assert float(expected.std()) > 0.05
    assert torch.allclose(found, expected, atol=1e-5)


def test_the_gradient_reaches_the_new_blocks(
    shallow: nn.Module, deep: nn.Module, images: torch.Tensor
) -> None:
    known = set(shallow.state_dict())
    grow(shallow, deep)
    deep.train()
    optimizer = torch.optim.SGD(deep.parameters(), lr=1e-3)
    for step in range(2):
        optimizer.zero_grad()
        deep(images).square().sum().backward()
        added = {n: one.grad for n, one in deep.named_parameters() if n not in known}
        # The last convolution of a new block learns at once, and once it has, all of the block.
        wanted = "conv3.weight" if step == 0 else ""
        reached = {n for n, gradient in added.items() if gradient is not None and gradient.any()}
        assert {n for n in added if n.endswith(wanted)} <= reached
        optimizer.step()
    assert len([n for n in added if n.endswith("conv3.weight")]) == 17


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (ArchitectureName.MOBILENET_V2, DEEP),
        (DEEP, SHALLOW),
        (SHALLOW, SHALLOW),
        (SHALLOW, ArchitectureName.MOBILENET_V2),
    ],
)
def test_refuses_networks_that_are_no_forms_of_each_other(
    one: ArchitectureName, other: ArchitectureName
) -> None:
    with torch.device("meta"):
        pair = build_backbone(one), build_backbone(other)
    with pytest.raises(TrainingError, match=r"deeper form: ResNet101V2 from ResNet50V2$"):
        grow(*pair)
    assert GROWS_INTO == {SHALLOW: DEEP}


def test_grows_from_models_of_the_same_split_alone(two_sets: TwoSets, tmp_path: Path) -> None:
    common = (two_sets.listing, *two_sets.descriptions, *SMALL)
    small, grown = tmp_path / "small", tmp_path / "grown"
    done = trained(*common, "--output", small, "--architecture", "ResNet50V2")
    before = re.findall(r"(Shapes|Two), test part .*? log-loss ([0-9.]+)", _flat(done.output))
    # A rate at which nothing moves: what is measured is what it began as.
    onwards = (*common, "--grown-from", small)
    done = trained(
        *onwards, "--output", grown, "--architecture", "ResNet101V2", "--learning-rate", 1e-8,
        "--transfer", "feature-extraction",
    )  # fmt: skip
    after = re.findall(r"(Shapes|Two), test part .*? log-loss ([0-9.]+)", _flat(done.output))
    for (name, one), (other_name, other) in zip(before, after, strict=True):
        assert name == other_name
        assert float(one) == pytest.approx(float(other), abs=0.002)
    for name in ("Shapes", "Two"):
        card, theirs = read_card(tmp_path / f"grown-{name}"), read_card(tmp_path / f"small-{name}")
        facts = card.Training.GrownFrom
        assert facts is not None
        assert facts.WeightsSHA256 == theirs.Backbone.SHA256
        assert facts.SplitSHA256 == card.Training.SplitSHA256 == theirs.Training.SplitSHA256
        assert "the added blocks begin as the identity" in card.Training.InitialWeights
        assert "--grown-from small" in card.Training.Command

    # The network is told apart from others before a split is.
    told = refused(*onwards, "--output", tmp_path / "x", "--architecture", "ResNet50V2")
    assert "ResNet101V2 from ResNet50V2" in told
    told = refused(
        *onwards, "--output", tmp_path / "x", "--architecture", "ResNet101V2", "--seed", 9
    )
    assert told.startswith("--grown-from small-Shapes/card.json: Training.SplitSHA256")
    assert not list(tmp_path.glob("x*"))


def _flat(output: str) -> str:
    return " ".join(output.split())
