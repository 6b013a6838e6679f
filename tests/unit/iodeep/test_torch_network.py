"""What torch makes of an architecture has the shapes and the weights that the parser foretold."""

from __future__ import annotations

import json
from typing import Any

import pytest
import torch
from torch import nn

from preread.iodeep.architecture import Architecture, parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.architecture_format import LayerKind
from preread.iodeep.torch_network import build
from tests.unit.iodeep.layer_by_layer import architectures

CONTENTS = architectures()


def _batch(architecture: Architecture, size: int = 2) -> torch.Tensor:
    torch.manual_seed(1)
    return torch.randn(size, *architecture.input_shape)


def _shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    return {
        name: tuple(tensor.shape)
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def test_every_layer_is_built_below() -> None:
    used = {name for content in CONTENTS.values() for name in content["architecture"].values()}
    assert used == {*map(str, LayerKind)}


@pytest.mark.parametrize("name", CONTENTS)
def test_shapes_and_weights_are_those_foretold(name: str) -> None:
    architecture = parse_architecture(CONTENTS[name])
    network = build(architecture)
    assert _shapes(network) == architecture.weight_shapes
    assert architecture.parameters == sum(p.numel() for p in network.parameters())
    seen: dict[int, tuple[int, ...]] = {}
    layers = network.get_submodule("layers")
    for number, layer in layers.named_children():
        layer.register_forward_hook(
            lambda _module, _given, made, number=int(number): seen.update({number: made.shape[1:]})
        )
    with torch.inference_mode():
        output = network.eval()(_batch(architecture))
    assert output.shape == (2, *architecture.output_shape)
    for stated in architecture.layers:
        own = seen[stated.number]
        assert tuple(own[1:]) == stated.gives[1:]
        joined = sum(architecture.layers[source - 1].gives[0] for source in stated.joined)
        assert own[0] + joined == stated.gives[0]


@pytest.mark.parametrize("name", ["classifier", "sequence", "last-state", "u-net", "features"])
def test_the_data_format_changes_the_order_of_the_axes_alone(name: str) -> None:
    last, first = (
        parse_architecture(CONTENTS[f"{name}-{order}"])
        for order in ("channels_last", "channels_first")
    )
    networks = build(last).eval(), build(first).eval()
    networks[1].load_state_dict(networks[0].state_dict())
    given = _batch(last)
    with torch.inference_mode():
        made = networks[0](given), networks[1](given.movedim(-1, 1))
    if "Flatten" in CONTENTS[f"{name}-channels_last"]["architecture"].values():
        # The row that Flatten makes is in the order of the data format.
        assert not torch.allclose(made[0], made[1])
    else:
        assert torch.allclose(made[0], made[1].movedim(1, -1), atol=1e-6)


def test_flatten_keeps_the_order_of_the_data_format() -> None:
    for order, shape in (("channels_last", (2, 3, 4)), ("channels_first", (4, 2, 3))):
        content: dict[str, Any] = {
            "input_shape": {f"input_shape{axis}": side for axis, side in enumerate(shape)},
            "architecture": {"1": "Flatten"},
            "data_format": order,
        }
        given = torch.arange(24.0).reshape(1, *shape)
        assert build(parse_architecture(content))(given).tolist() == [list(range(24))]


def test_what_a_source_gives_comes_before_what_the_target_gives() -> None:
    content = json.loads(example("unet-small"))
    network = build(parse_architecture(content)).eval()
    layers = network.get_submodule("layers")
    source: list[torch.Tensor] = []
    joined: list[torch.Tensor] = []
    layers.get_submodule("7").register_forward_hook(lambda _m, _g, made: source.append(made))
    layers.get_submodule("11").register_forward_pre_hook(lambda _m, given: joined.append(given[0]))
    with torch.inference_mode():
        network(torch.randn(1, 64, 64, 1))
    assert joined[0].shape[1] == 128
    assert torch.equal(joined[0][:, :64], source[0])


def test_a_double_convolution_is_twice_convolution_normalisation_rectifier() -> None:
    network = build(parse_architecture(example("unet-small")))
    kinds = [type(step) for step in network.get_submodule("layers.1").children()]
    assert kinds == [nn.Conv2d, nn.BatchNorm2d, nn.ReLU] * 2


def test_the_u_net_of_the_article_has_the_shapes_foretold() -> None:
    architecture = parse_architecture(example("unet"))
    with torch.device("meta"):
        network = build(architecture).eval()
        output = network(torch.empty(1, 224, 224, 3))
    assert output.shape == (1, 224, 224, 1)
    assert _shapes(network) == architecture.weight_shapes
    assert architecture.parameters == sum(p.numel() for p in network.parameters())


def test_a_small_u_net_can_be_trained() -> None:
    torch.manual_seed(0)
    network = build(parse_architecture(example("unet-small"))).train()
    images = torch.rand(4, 64, 64, 1)
    masks = (images > 0.5).float()
    optimizer = torch.optim.Adam(network.parameters(), lr=1e-2)
    losses = []
    for _ in range(6):
        loss = nn.functional.binary_cross_entropy_with_logits(network(images), masks)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0]
    assert all(parameter.grad is not None for parameter in network.parameters())


def test_a_batch_of_another_shape_is_refused() -> None:
    network = build(parse_architecture(example("unet-small")))
    with pytest.raises(ValueError, match=r"expected a batch of shape \(N, 64, 64, 1\)"):
        network(torch.zeros(1, 1, 64, 64))
