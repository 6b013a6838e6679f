"""The weights of a network in ONNX, in float32, by the names that torch's libraries use.

An ONNX file of ours keeps those names. Batch normalisation that could be folded into the
convolution before it has left its shift there as a bias, under its own name: it comes back with a
scale of 1 and statistics that change nothing. What was rounded to 8 bits comes back as it is
multiplied out, no further from what it was than half a step.

Needs the package onnx, which the extras `torch` and `train` bring. Numbers that lie outside the
file are never followed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName, InvalidModelError

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    from preread.models.weights import Arrays

_WEIGHT, _BIAS = ".weight", ".bias"


def import_onnx() -> ModuleType:
    """Import onnx, or say which extra brings it.

    Raises
    ------
    InvalidModelError
        If it is not installed.
    """
    try:
        import onnx  # noqa: PLC0415 - an extra
    except ImportError:
        raise InvalidModelError(
            "reading the weights of an ONNX file needs the package onnx: install preread with its "
            "extra `torch` or `train`"
        ) from None
    module: ModuleType = onnx
    return module


def parse_network(data: bytes, name: str) -> Any:
    """Parse an ONNX file.

    Parameters
    ----------
    data
        Its bytes.
    name
        What errors call it.

    Returns
    -------
    onnx.ModelProto
        All of whose numbers lie in the file itself.

    Raises
    ------
    InvalidModelError
        If it is none, or has numbers elsewhere.
    """
    onnx = import_onnx()
    try:
        model = onnx.load_from_string(data)
    except Exception as error:  # protobuf raises classes of its own  # noqa: BLE001
        raise InvalidModelError(f"{name}: not an ONNX file ({type(error).__name__})") from None
    if not model.graph.node:
        raise InvalidModelError(f"{name}: not an ONNX file (it has no graph)")
    for tensor in model.graph.initializer:
        if tensor.data_location == onnx.TensorProto.EXTERNAL:
            raise InvalidModelError(
                f"{name}: {tensor.name[:80]!r} lies in another file; expected all in one"
            )
    return model


def arrays_of(data: bytes, architecture: ArchitectureName, name: str) -> Arrays:
    """Give the weights of a network but for its last layer.

    Parameters
    ----------
    data
        ONNX, as `preread models convert` or `preread train` makes it.
    architecture
        Of the network.
    name
        What errors call the file.

    Returns
    -------
    dict of str to ndarray
        float32, by the names of the state dictionary.

    Raises
    ------
    InvalidModelError
        If it is no ONNX file, or not one of ours.
    """
    graph = parse_network(data, name).graph
    constants = _Constants(graph, name)
    arrays: Arrays = {}
    for node in graph.node:
        if node.op_type == "Conv":
            weight = constants.name_of(node.input[1])
            arrays[weight] = constants[node.input[1]]
            if len(node.input) > 2:
                bias = constants.name_of(node.input[2])
                arrays[bias] = constants[node.input[2]]
                before = bias.removesuffix(_BIAS)
                if before != weight.removesuffix(_WEIGHT):
                    arrays |= _identity(before, len(arrays[bias]), RECORDS[architecture].epsilon)
        elif node.op_type == "BatchNormalization":
            arrays |= {constants.name_of(one): constants[one] for one in node.input[1:5]}
    return arrays


def _identity(name: str, channels: int, epsilon: float) -> Arrays:
    """Give what, besides a shift, makes batch normalisation pass on what it is given."""
    return {
        f"{name}.weight": np.ones(channels, np.float32),
        f"{name}.running_mean": np.zeros(channels, np.float32),
        f"{name}.running_var": np.full(channels, 1 - epsilon, np.float32),
    }


class _Constants:
    """The constants of a graph by the names of what reads them, multiplied out."""

    def __init__(self, graph: Any, file: str) -> None:
        self._file = file
        self._stored = {one.name: one for one in graph.initializer}
        self._rounded = {
            node.output[0]: node
            for node in graph.node
            if node.op_type == "DequantizeLinear" and node.input[0] in self._stored
        }

    def name_of(self, value: str) -> str:
        """Give the name of the stored tensor that a value comes from."""
        node = self._rounded.get(value)
        return str(value if node is None else node.input[0])

    def __getitem__(self, value: str) -> NDArray[np.float32]:
        node = self._rounded.get(value)
        if node is None:
            return self._array(value).astype(np.float32)
        whole, scale = (self._array(one).astype(np.float32) for one in node.input[:2])
        offset = self._array(node.input[2]).astype(np.float32) if len(node.input) > 2 else None
        wide = (-1, *[1] * (whole.ndim - 1))
        if offset is not None:
            whole = whole - offset.reshape(wide if offset.ndim else ())
        real: NDArray[np.float32] = whole * scale.reshape(wide if scale.ndim else ())
        return real

    def _array(self, name: str) -> NDArray[Any]:
        onnx = import_onnx()
        try:
            found: NDArray[Any] = onnx.numpy_helper.to_array(self._stored[name])
        except (KeyError, ValueError, TypeError):
            raise InvalidModelError(
                f"{self._file}: {name[:80]!r}: expected a constant of the network"
            ) from None
        return found
