"""Weights come back from ONNX by the names that they had, and are the network that they were."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch

from preread.models.architectures import backbone_blueprint, shapes, without_head
from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName, InvalidModelError
from preread.models.onnx_weights import arrays_of, parse_network
from preread.models.weights import fill
from tests.unit.models.conftest import random_network, taken_apart

SMALL = ArchitectureName.MOBILENET_V2


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_what_is_read_back_is_the_same_network(architecture: ArchitectureName) -> None:
    data, _ = taken_apart(architecture)
    network = backbone_blueprint(architecture)
    arrays = arrays_of(data, architecture, "n")
    assert {name: array.shape for name, array in arrays.items()} == shapes(network)
    assert {array.dtype for array in arrays.values()} == {np.dtype(np.float32)}
    found = fill(network, arrays).eval()
    expected = without_head(random_network(architecture), architecture)
    batch = torch.randn(2, 3, 96, 96, generator=torch.Generator().manual_seed(2))
    with torch.inference_mode():
        wanted = expected(batch)
        assert float((found(batch) - wanted).abs().max() / wanted.abs().max()) < 1e-4


@pytest.mark.parametrize("architecture", list(ArchitectureName))
def test_epsilon_is_that_of_the_network(architecture: ArchitectureName) -> None:
    found = {
        module.eps
        for module in random_network(architecture).modules()
        if isinstance(module, torch.nn.BatchNorm2d)
    }
    assert found == {RECORDS[architecture].epsilon}


def changed(change: Any) -> bytes:
    model = onnx.load_from_string(taken_apart()[0])
    change(model)
    return bytes(model.SerializeToString())


def test_numbers_in_another_file_are_refused(tmp_path: Path) -> None:
    (tmp_path / "numbers").write_bytes(bytes(1000))

    def elsewhere(model: Any) -> None:
        tensor = model.graph.initializer[0]
        tensor.ClearField("raw_data")
        tensor.data_location = onnx.TensorProto.EXTERNAL
        for key, value in (("location", str(tmp_path / "numbers")), ("length", "1000")):
            tensor.external_data.add(key=key, value=value)

    with pytest.raises(InvalidModelError, match="lies in another file; expected all in one"):
        arrays_of(changed(elsewhere), SMALL, "n")


@pytest.mark.parametrize("data", [b"", b"none", b"\x08\x08", b"\0" * 100, b"\x0a\xff"])
def test_what_is_no_onnx_is_refused(data: bytes) -> None:
    with pytest.raises(InvalidModelError, match="n: not an ONNX file"):
        parse_network(data, "n")


def test_a_kernel_that_is_computed_is_refused() -> None:
    def computed(model: Any) -> None:
        model.graph.node[0].input[1] = "made up"

    with pytest.raises(InvalidModelError, match="'made up': expected a constant"):
        arrays_of(changed(computed), SMALL, "n")
