"""A network whose numbers lie in another file is refused, wherever in it the tensor hides."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from preread.models.card import (
    CARD,
    NETWORK,
    BackboneFacts,
    InvalidModelError,
    card_text,
    read_card,
)
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.one_file import check_one_file
from preread.models.weights import sha256_of
from tests.unit.models.conftest import taken_apart

NUMBERS = "numbers.bin"


def elsewhere(name: str = "w") -> Any:
    """Make a tensor that names a file beside it."""
    tensor = numpy_helper.from_array(np.zeros((2, 3, 1, 1), np.float32), name)
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    for key, value in (("location", NUMBERS), ("length", "24")):
        tensor.external_data.add(key=key, value=value)
    return tensor


def graph_of(*nodes: Any, initializer: Any = ()) -> Any:
    rest = (
        helper.make_node("Conv", ["images", "w"], ["map"]),
        helper.make_node("GlobalAveragePool", ["map"], ["pooled"]),
        helper.make_node("Flatten", ["pooled"], ["features"]),
    )
    value = helper.make_tensor_value_info
    return helper.make_graph(
        [*nodes, *rest],
        "g",
        [value("images", TensorProto.FLOAT, ["N", 3, "H", "W"])],
        [
            value("features", TensorProto.FLOAT, ["N", 2]),
            value("map", TensorProto.FLOAT, ["N", 2, "h", "w"]),
        ],
        list(initializer),
    )


def model_of(graph: Any) -> Any:
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return model


def as_constant() -> Any:
    return model_of(graph_of(helper.make_node("Constant", [], ["w"], value=elsewhere())))


def as_initializer() -> Any:
    return model_of(graph_of(initializer=[elsewhere()]))


def in_a_branch() -> Any:
    branch = helper.make_graph([], "branch", [], [], [elsewhere()])
    return model_of(
        graph_of(helper.make_node("If", ["c"], ["w"], then_branch=branch, else_branch=branch))
    )


def in_a_list_of_tensors() -> Any:
    return model_of(graph_of(helper.make_node("Made", [], ["w"], values=[elsewhere()])))


def as_sparse() -> Any:
    model = model_of(graph_of())
    model.graph.sparse_initializer.add().values.CopyFrom(elsewhere())
    return model


def in_a_function() -> Any:
    model = model_of(graph_of())
    constant = helper.make_node("Constant", [], ["w"], value=elsewhere())
    opset = [helper.make_opsetid("", 17)]
    model.functions.append(helper.make_function("d", "f", [], ["w"], [constant], opset))
    return model


def in_the_training_part() -> Any:
    model = model_of(graph_of())
    model.training_info.add().algorithm.initializer.append(elsewhere())
    return model


HIDDEN = (
    as_constant,
    as_initializer,
    in_a_branch,
    in_a_list_of_tensors,
    as_sparse,
    in_a_function,
    in_the_training_part,
)


@pytest.mark.parametrize("hidden", HIDDEN)
def test_numbers_in_another_file_are_found(hidden: Any) -> None:
    with pytest.raises(InvalidModelError, match="n: a tensor of it lies in another file"):
        check_one_file(hidden().SerializeToString(), "n")


@pytest.mark.parametrize("left", ["data_location", "external_data"])
def test_half_of_what_names_a_file_is_enough(left: str) -> None:
    model = as_initializer()
    for field in {"data_location", "external_data"} - {left}:
        model.graph.initializer[0].ClearField(field)
    with pytest.raises(InvalidModelError, match="lies in another file"):
        check_one_file(model.SerializeToString(), "n")


def test_a_network_of_ours_is_one_file() -> None:
    check_one_file(taken_apart()[0], "n")
    # That numbers lie here may be said aloud.
    model = onnx.load_from_string(taken_apart()[0])
    model.graph.initializer[0].data_location = TensorProto.DEFAULT
    check_one_file(model.SerializeToString(), "n")


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"none",
        b"<?xml version='1.0'?><net/>",
        b"\x08\x08",
        b"\0" * 100,
        b"\x3a\xff\xff\xff\xff\x0f",
        b"\x3a\x02\x08",
        b"\x08" + b"\xff" * 20,
    ],
)
def test_what_is_no_onnx_is_refused_in_one_line(data: bytes) -> None:
    with pytest.raises(InvalidModelError, match="n: not an ONNX file") as told:
        check_one_file(data, "n")
    assert "\n" not in str(told.value)


def test_graphs_in_graphs_end() -> None:
    inner = helper.make_graph([], "g", [], [])
    for _ in range(20):
        node = helper.make_node("If", ["c"], ["w"], then_branch=inner)
        inner = helper.make_graph([node], "g", [], [])
    with pytest.raises(InvalidModelError, match="nested more than 32 deep"):
        check_one_file(model_of(inner).SerializeToString(), "n")


@pytest.mark.parametrize("engine", ["openvino", "onnxruntime", "torch"])
def test_no_engine_follows_a_file_in_the_working_folder(
    engine: str, add_network: Any, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """OpenVINO would: it reads names below the folder that the process was started in."""
    (tmp_path / NUMBERS).write_bytes(np.arange(6, dtype=np.float32).tobytes())
    monkeypatch.chdir(tmp_path)
    place = add_network("net")
    data = as_constant().SerializeToString()
    (place / NETWORK).write_bytes(data)
    facts = BackboneFacts(File=NETWORK, SHA256=sha256_of(data), Precision="float32")
    card = read_card(place).model_copy(update={"Backbone": facts})
    (place / CARD).write_text(card_text(card))
    with pytest.raises(InvalidModelError, match=r"net/model\.onnx: .* lies in another file"):
        make_engine(engine, 1).load(Catalogue.load(folder)["net"])
