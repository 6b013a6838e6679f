"""A network in ONNX rounded to 8 bits, which processors compute several times as fast.

Kernels become whole numbers with one scale for each output channel, and what flows between the
layers is rounded to steps whose width comes from images (quantize and dequantize, QDQ). It is one
graph: an engine without 8 bits multiplies it out and gives the same but for the rounding.

Left in float are the first layers, whose rounding goes through all others and which are a hundredth
of a network's size, and sums of branches with what normalises them, where rounding would add up
from block to block.
"""

from __future__ import annotations

import importlib.util
import logging
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from preread.models.onnx_weights import import_onnx, parse_network
from preread.models.openvino_engine import import_openvino
from preread.training.errors import TrainingError
from preread.training.onnx_making import INPUT, bytes_of

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from numpy.typing import NDArray

CALIBRATION_IMAGES: Final = 200
METHOD: Final = (
    "post-training quantisation by NNCF, 8-bit kernels with a scale for each output channel, 8-bit "
    "activations but for small layers, sums and their normalisation"
)
"""For the card."""

_SMALL_KERNEL: Final = 40_000
"""Weights below which a layer stays in float."""
_IN_FLOAT: Final = ["Add", "BatchNormalization"]
_MOST: Final = 127


class Ranges(StrEnum):
    """How the range of a layer's values is told from images."""

    HISTOGRAM = "histogram"
    """Where rounding costs least over all values; rare large ones are cut off."""
    MINMAX = "minmax"
    """From the least to the largest; for networks whose values are far apart."""


def check_nncf() -> None:
    """Refuse to begin what could not be finished.

    Raises
    ------
    TrainingError
        If NNCF is not installed.
    """
    import_openvino()
    if any(importlib.util.find_spec(one) is None for one in ("nncf", "onnxruntime")):
        raise TrainingError(
            "rounding to 8 bits needs NNCF and ONNX Runtime: install preread with its extra `train`"
        )


def rounded(
    data: bytes,
    images: Sequence[NDArray[np.float32]],
    ranges: Ranges = Ranges.HISTOGRAM,
    in_float: Collection[str] = (),
) -> bytes:
    """Round a network to 8 bits.

    Parameters
    ----------
    data
        ONNX in float32, as `preread.training.onnx_making.onnx_of` gives it.
    images
        (1, C, H, W) each, of the training part: they set the ranges.
    ranges
        How.
    in_float
        Beginnings of the names of further layers that stay in float, such as ``Mixed_5``.

    Returns
    -------
    bytes
        ONNX with the same names.

    Raises
    ------
    TrainingError
        If NNCF is not installed, or no layer has such a name.
    """
    check_nncf()
    import nncf  # noqa: PLC0415 - an extra, and slow to import
    from nncf.quantization.advanced_parameters import (  # noqa: PLC0415 - as above
        AdvancedQuantizationParameters,
    )
    from nncf.quantization.range_estimator import (  # noqa: PLC0415 - as above
        RangeEstimatorParametersSet,
    )

    logging.getLogger("nncf").setLevel(logging.ERROR)
    model = parse_network(data, "network")
    kernels = _Kernels(model.graph)
    made = nncf.quantize(
        model,
        nncf.Dataset([{INPUT: image} for image in images]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
        ignored_scope=nncf.IgnoredScope(
            names=kernels.in_float(in_float), types=_IN_FLOAT, validate=False
        ),
        advanced_parameters=AdvancedQuantizationParameters(
            # The shifts of a network that was fitted with rounded kernels are right already.
            disable_bias_correction=True,
            activations_range_estimator_params=getattr(RangeEstimatorParametersSet, ranges.name),
        ),
    )
    kernels.keep(made.graph)
    return bytes_of(made)


class _Kernels:
    """The kernels of a network's convolutions as they were, by the names of their nodes."""

    def __init__(self, graph: Any) -> None:
        helper = import_onnx().numpy_helper
        stored = {one.name: one for one in graph.initializer}
        self._names = {
            node.name: str(node.input[1]) for node in graph.node if node.op_type == "Conv"
        }
        self._arrays: dict[str, NDArray[np.float64]] = {
            name: helper.to_array(stored[name]).astype(np.float64) for name in self._names.values()
        }

    def in_float(self, beginnings: Collection[str]) -> list[str]:
        """Give the nodes that stay in float."""
        for beginning in beginnings:
            if not any(name.startswith(beginning) for name in self._arrays):
                raise TrainingError(f"{beginning[:60]!r}: no layer's name begins with that")
        return [
            node
            for node, name in self._names.items()
            if self._arrays[name].size < _SMALL_KERNEL or name.startswith(tuple(beginnings))
        ]

    def keep(self, graph: Any) -> None:
        """Give rounded kernels back their names, and the whole numbers that they may have been.

        Where a network was fitted with kernels in 8 bits, nothing is rounded a second time.
        """
        helper = import_onnx().numpy_helper
        makes = {name: node for node in graph.node for name in node.output}
        stored = {one.name: one for one in graph.initializer}
        names: dict[str, str] = {}
        for node in graph.node:
            multiplied = makes.get(node.input[1]) if node.op_type == "Conv" else None
            if multiplied is None:
                continue
            kernel = self._names[node.name]
            whole, scale = _whole(self._arrays[kernel])
            values = (whole, scale, np.zeros(len(scale), np.int8))
            for old, array in zip(multiplied.input, values, strict=True):
                stored[old].CopyFrom(helper.from_array(array, old))
            ends = ("", ".scale", ".zero")
            names |= {old: kernel + end for old, end in zip(multiplied.input, ends, strict=True)}
            names[multiplied.output[0]] = f"{kernel}.real"
        for tensor in graph.initializer:
            tensor.name = names.get(tensor.name, tensor.name)
        for node in graph.node:
            node.input[:] = [names.get(one, one) for one in node.input]
            node.output[:] = [names.get(one, one) for one in node.output]


def _whole(kernel: NDArray[np.float64]) -> tuple[NDArray[np.int8], NDArray[np.float32]]:
    """Round a kernel to whole numbers with one scale for each output channel."""
    largest = np.abs(kernel).reshape(len(kernel), -1).max(axis=1)
    scale = np.where(largest > 0, largest / _MOST, 1).astype(np.float32)
    wide = scale.reshape(-1, *[1] * (kernel.ndim - 1))
    return np.rint(kernel / wide).clip(-_MOST, _MOST).astype(np.int8), scale
