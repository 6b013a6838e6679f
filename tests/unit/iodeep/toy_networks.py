"""Networks of one layer or two whose output is known, as objects."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from preread.iodeep.iod import IODeep
from preread.iodeep.making import make, safetensors_of
from preread.iodeep.weights import Safetensors

UID = "1.2.826.0.1.3680043.8.498.77"


def document(
    layers: list[str], rows: int, columns: int, channels: int = 1, **more: Any
) -> dict[str, Any]:
    """Describe layers; channels first unless `data_format` says otherwise."""
    last = more.get("data_format") == "channels_last"
    sides = (rows, columns, channels) if last else (channels, rows, columns)
    return {
        "input_shape": {f"input_shape{number}": side for number, side in enumerate(sides)},
        "architecture": {str(number): kind for number, kind in enumerate(layers, start=1)},
        "data_format": "channels_first",
    } | more


def network(
    described: dict[str, Any], arrays: dict[str, NDArray[np.float32]], **facts: Any
) -> IODeep:
    """Make the object."""
    usual: dict[str, Any] = {
        "DnnUID": UID,
        "DnnName": "toy",
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "SamplesPerPixel": 1,
        "PhotometricInterpretation": "MONOCHROME2",
    }
    return make(described, Safetensors(safetensors_of(arrays)), **usual | facts)


def pointwise(
    rows: int,
    columns: int,
    weight: float = 40.0,
    bias: float = -20.0,
    *,
    channels: int = 1,
    ends: tuple[str, ...] = (),
    more: dict[str, Any] | None = None,
    **facts: Any,
) -> IODeep:
    """Make a network of one 1 x 1 convolution: each pixel's logit follows from its level alone."""
    described = document(
        ["cnn2d", *ends],
        rows,
        columns,
        channels,
        convolutional={"cn1": 1},
        kernel={"kernel1": 1},
        **(more or {}),
    )
    arrays = {
        "layers.1.0.weight": np.full((1, channels, 1, 1), weight / channels, np.float32),
        "layers.1.0.bias": np.array([bias], np.float32),
    }
    return network(described, arrays, **facts)


def answering(numbers: list[float], *, ends: tuple[str, ...] = ()) -> IODeep:
    """Make a network that answers the same numbers to every image of 4 x 4 pixels."""
    described = document(["Flatten", "dense", *ends], 4, 4, convolutional={"cn1": len(numbers)})
    arrays = {
        "layers.2.0.weight": np.zeros((len(numbers), 16), np.float32),
        "layers.2.0.bias": np.array(numbers, np.float32),
    }
    return network(described, arrays)
