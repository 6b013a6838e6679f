from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from preread.models.card import (
    CARD,
    LARGEST_CARD,
    InputKind,
    InvalidModelError,
    card_text,
    parse_card,
    read_card,
)


@pytest.fixture
def document(add_card: Any) -> dict[str, Any]:
    text = (add_card("net") / CARD).read_text()
    loaded: dict[str, Any] = json.loads(text)
    return loaded


def refused(document: dict[str, Any]) -> str:
    with pytest.raises(InvalidModelError) as caught:
        parse_card(json.dumps(document), "net/card.json")
    message = str(caught.value)
    assert "\n" not in message
    assert message.startswith("net/card.json: ")
    return message


def test_a_card_comes_back_as_it_was(document: dict[str, Any]) -> None:
    card = parse_card(json.dumps(document), "net/card.json")
    assert json.loads(card_text(card)) == document


def test_body_parts_become_codes(document: dict[str, Any]) -> None:
    document["AppliesTo"]["BodyPartExamined"] = ["CHEST", "Thorax", "T-28000"]
    card = parse_card(json.dumps(document), "net/card.json")
    assert card.AppliesTo.BodyPartExamined == ("816094009", "39607008")


def test_the_kind_of_image_is_stated(document: dict[str, Any]) -> None:
    document["Input"] = "hounsfield"
    assert parse_card(json.dumps(document), "net/card.json").Input is InputKind.HOUNSFIELD
    del document["Input"]
    assert "Input: expected pictures or hounsfield, the kind of image" in refused(document)
    document["Input"] = "x-rays"
    assert "net/card.json: Input: " in refused(document)


def test_each_missing_key_is_named(document: dict[str, Any]) -> None:
    optional = {"IntendedUse", "Quantization", "Calibration", "OutOfDistribution"}
    optional.add("Outside")
    for key in document.keys() - optional:
        without = {k: v for k, v in document.items() if k != key}
        assert f"card.json: {key}: " in refused(without)


@pytest.mark.parametrize(
    ("path", "value", "message"),
    [
        (("Colour",), 1, "Colour: is not a key of a model's card"),
        (("Preprocessing", "Sise"), 1, "Preprocessing.Sise: is not a key"),
        (("Architecture",), "VGG16", "Architecture: Input should be 'InceptionV3', 'Mob"),
        (("Classes",), ["A"], "Classes: "),
        (("Classes",), ["A", "A"], "Classes: expected each name once"),
        (("Classes",), ["A", "{B}"], "Classes.1: "),
        (("Name",), "a : b", "Name: "),
        (("Version",), "one", "Version: "),
        (("WeightsSHA256",), "abc", "WeightsSHA256: "),
        (("AppliesTo", "Modality"), [], "AppliesTo.Modality: "),
        (("AppliesTo", "BodyPartExamined"), ["elsewhere"], "BodyPartExamined: 'elsewhere' is no"),
        (("Preprocessing", "Size"), [16, 16], "Preprocessing.Size: MobileNetV2 needs 32"),
        (("Preprocessing", "Channels"), 1, "Preprocessing.Channels: the architectures take 3"),
        (("Limits",), [], "Limits: "),
        (("Training", "Seconds"), "long", "Training.Seconds: "),
        (("Backbone",), None, "Backbone: expected a network in ONNX"),
        (("Backbone", "File"), "../b.onnx", "Backbone.File: expected a network in ONNX"),
        (("Backbone", "File"), "backbones/../b.onnx", "Backbone.File: expected a network in ONNX"),
        (("Backbone", "File"), "other.onnx", "Backbone.File: expected a network in ONNX"),
        (("Backbone", "File"), "backbones/b.safetensors", "older one: preread models convert"),
        (("Backbone",), {"File": "backbones/b.onnx"}, "Backbone.SHA256: "),
        (("Calibration",), {"Temperature": 0}, "Calibration.Temperature: "),
        (("OutOfDistribution",), {"Method": "m", "Threshold": 0}, "OutOfDistribution.Threshold: "),
    ],
)
def test_wrong_values_are_named(
    path: tuple[str, ...], value: object, message: str, document: dict[str, Any]
) -> None:
    place = document
    for key in path[:-1]:
        place = place[key]
    place[path[-1]] = value
    assert message in refused(document)


def test_what_is_no_card(folder: Path, add_card: Any) -> None:
    with pytest.raises(InvalidModelError, match=r"^gone/card\.json: cannot be read"):
        read_card(folder / "gone")
    place = add_card("net")
    for content in (b"", b"{", b"[]", b"\xff\xfe", b"[" * 100_000):
        (place / CARD).write_bytes(content)
        with pytest.raises(InvalidModelError, match=r"^net/card\.json: "):
            read_card(place)
    (place / CARD).write_bytes(b" " * (LARGEST_CARD + 1))
    with pytest.raises(InvalidModelError, match=r"^net/card\.json: larger than"):
        read_card(place)


def test_catalogue_needs_no_torch() -> None:
    program = (
        "import sys, preread.models.catalogue, preread.findings.prediction\n"
        "import preread.models.ensemble\n"
        "assert not {'torch', 'openvino', 'timm', 'torchvision'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
