"""Networks of torch none of whose weights is what it starts with, as references."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from preread.iodeep.architecture import Architecture
from preread.iodeep.openvino_network import build as build_graph
from preread.iodeep.torch_network import build
from preread.models.openvino_engine import import_openvino


def trained(architecture: Architecture) -> nn.Module:
    """A network none of whose weights and statistics is what it starts with."""
    torch.manual_seed(3)
    network = build(architecture).eval()
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if tensor.is_floating_point():
                noise = 0.1 * torch.randn_like(tensor)
                tensor.add_(noise.abs() if name.endswith("running_var") else noise)
    return network


def arrays_of_module(network: nn.Module) -> dict[str, NDArray[Any]]:
    """Its weights and statistics, without the counters of training."""
    return {
        name: tensor.detach().numpy()
        for name, tensor in network.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }


def answer(network: nn.Module, batch: NDArray[Any]) -> NDArray[Any]:
    with torch.inference_mode():
        made: NDArray[Any] = network(torch.from_numpy(batch)).numpy()
    return made


def ran(
    architecture: Architecture, arrays: dict[str, NDArray[Any]], batch: NDArray[Any]
) -> NDArray[Any]:
    """What OpenVINO's graph of the same weights gives, as a node runs it."""
    compiled = (
        import_openvino()
        .Core()
        .compile_model(
            build_graph(architecture, arrays),
            "CPU",
            {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1},
        )
    )
    return np.array(compiled([batch])[0])
