"""Weights as files held them before networks were ONNX: in 8 bits or in half precision."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import safetensors.numpy
from numpy.typing import NDArray


def in_8_bits(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file whose kernels are whole numbers with a scale for each output channel."""
    held: dict[str, NDArray[Any]] = {}
    for name, array in arrays.items():
        if array.ndim < 2:
            held[name] = array
            continue
        scale = np.abs(array).max(axis=tuple(range(1, array.ndim))).astype(np.float32) / 127
        scale[scale == 0] = 1
        steps = array / scale.reshape(-1, *[1] * (array.ndim - 1))
        held[name] = np.rint(steps).astype(np.int8)
        held[f"{name}.scale"] = scale
    return safetensors.numpy.save(held)


def in_half_precision(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """Return a file of float16."""
    return safetensors.numpy.save({name: each.astype(np.float16) for name, each in arrays.items()})
