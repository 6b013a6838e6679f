"""A network of torch as an ONNX file: what a node runs.

Batch normalisation is folded into the convolution before it where it can be. Constants keep the
names that they have in torch, so that `preread.models.onnx_weights` finds them again.
"""

from __future__ import annotations

import io
import warnings
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch
from torch import Tensor, nn

from preread.models.backbones import RECORDS
from preread.models.engine import FEATURES, MAP
from preread.models.onnx_weights import import_onnx

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from preread.models.card import ArchitectureName

INPUT: Final = "images"
_OPSET: Final = 17
_WITHIN: Final = "network."
"""How the wrapper below has torch's names begin."""


def onnx_of(backbone: nn.Module, architecture: ArchitectureName) -> bytes:
    """Write a network without its last layer as ONNX, in float32.

    Parameters
    ----------
    backbone
        As `preread.models.architectures.build_backbone` makes it. It is left as it is.
    architecture
        Which that is.

    Returns
    -------
    bytes
        ONNX that takes float32 (N, 3, H, W) for any N, H and W, and gives the features (N, D) and
        the last feature map (N, D, h, w). The same bytes for the same weights.
    """
    model = _exported(backbone, architecture)
    for tensor in model.graph.initializer:
        tensor.name = tensor.name.removeprefix(_WITHIN)
    for node in model.graph.node:
        node.input[:] = [one.removeprefix(_WITHIN) for one in node.input]
    fold(model)
    return bytes_of(model)


def bytes_of(model: Any) -> bytes:
    """Give a checked graph as bytes, without what tells of the machine that it was made on."""
    onnx = import_onnx()
    model.producer_name, model.producer_version = "preread", ""
    for node in model.graph.node:
        del node.metadata_props[:]
        node.ClearField("doc_string")
    onnx.checker.check_model(model)
    data: bytes = model.SerializeToString(deterministic=True)
    return data


class _Both(nn.Module):
    """Gives the last feature map besides the features."""

    def __init__(self, network: nn.Module, layer: str) -> None:
        super().__init__()
        self.network = network
        self._layer = layer

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        seen: list[Tensor] = []
        layer = self.network.get_submodule(self._layer)
        handle = layer.register_forward_hook(lambda _m, _i, given: seen.append(given))
        try:
            return self.network(images), seen[0]
        finally:
            handle.remove()


def _exported(backbone: nn.Module, architecture: ArchitectureName) -> Any:
    onnx = import_onnx()
    side = RECORDS[architecture].smallest_side
    example = torch.zeros(1, 3, side, side, device=next(backbone.parameters()).device)
    training = backbone.training
    written = io.BytesIO()
    try:
        with warnings.catch_warnings():
            # torch tells whoever traces that its newer exporter is to be had, which renames.
            warnings.simplefilter("ignore")
            torch.onnx.export(
                _Both(backbone.eval(), RECORDS[architecture].last_features),
                (example,),
                written,  # type: ignore[arg-type]  # it takes a file object too
                dynamo=False,
                input_names=[INPUT],
                output_names=[FEATURES, MAP],
                # Batch normalisation is left alone: folded by torch, weights lose their names.
                training=torch.onnx.TrainingMode.PRESERVE,
                do_constant_folding=False,
                opset_version=_OPSET,
                dynamic_axes={
                    INPUT: {0: "N", 2: "H", 3: "W"},
                    FEATURES: {0: "N"},
                    MAP: {0: "N", 2: "h", 3: "w"},
                },
            )
    finally:
        backbone.train(training)
    return onnx.load_from_string(written.getvalue())


def fold(model: Any) -> None:
    """Fold batch normalisation into the convolutions before it, in place.

    What follows an addition stays. A convolution gets the shift as its bias, under the name that
    it had.
    """
    graph = model.graph
    constants = {one.name: one for one in graph.initializer}
    makes = {name: node for node in graph.node for name in node.output}
    read: list[str] = [name for node in graph.node for name in node.input]
    read += [one.name for one in graph.output]
    folded = [
        (makes[node.input[0]], node)
        for node in graph.node
        if node.op_type == "BatchNormalization"
        and node.input[0] in makes
        and makes[node.input[0]].op_type == "Conv"
        and read.count(node.input[0]) == 1
    ]
    for convolution, normalisation in folded:
        _fold_one(constants, convolution, normalisation)
        graph.node.remove(normalisation)
    used = {name for node in graph.node for name in node.input}
    for tensor in [one for one in graph.initializer if one.name not in used]:
        graph.initializer.remove(tensor)


def _fold_one(constants: dict[str, Any], convolution: Any, normalisation: Any) -> None:
    helper = import_onnx().numpy_helper

    def numbers(name: str) -> NDArray[np.float64]:
        found: NDArray[np.float64] = helper.to_array(constants[name]).astype(np.float64)
        return found

    weight, shift = convolution.input[1], normalisation.input[2]
    scale, bias, mean, variance = (numbers(name) for name in normalisation.input[1:5])
    epsilon = next(one.f for one in normalisation.attribute if one.name == "epsilon")
    slope = scale / np.sqrt(variance + epsilon)
    own = sum((numbers(name) for name in convolution.input[2:]), np.zeros(len(slope)))
    for name, values in (
        (weight, numbers(weight) * slope.reshape(-1, 1, 1, 1)),
        (shift, bias + (own - mean) * slope),
    ):
        constants[name].CopyFrom(helper.from_array(values.astype(np.float32), name))
    convolution.input[:] = [convolution.input[0], weight, shift]
    convolution.output[:] = list(normalisation.output)
