"""The 8-bit copy of a backbone: where it lies, what it must be, and what runs without one."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import structlog.testing

from preread.models.card import CARD, InvalidModelError, QuantizationFacts, card_text
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.models.loading import load_backbone, load_whole
from preread.models.model import Model
from preread.models.openvino_engine import convert, int8_files, ir_bytes
from preread.models.weights import sha256_of
from tests.unit.models.test_engines import EQUAL, images

NOW = datetime(2026, 11, 21, tzinfo=UTC)


def with_copy(model: Model, network: Any, size: int = 96) -> None:
    """Put a copy beside a model's backbone. How many bits it has is not the engine's business."""
    pair = ir_bytes(convert(network, size, size))
    for place, data in zip(int8_files(model), pair, strict=True):
        place.write_bytes(data)
    facts = QuantizationFacts(
        Method="none",
        ModelSHA256=sha256_of(pair[0]),
        WeightsSHA256=sha256_of(pair[1]),
        CalibrationImages=0,
        TestImages=0,
        MicroAccuracy=0,
        AccuracyLoss=0,
        LogLoss=0,
        LargestDifference=0,
    )
    card = model.card.model_copy(update={"Quantization": facts})
    (model.folder / CARD).write_text(card_text(card))


def test_a_copy_lies_beside_what_it_is_a_copy_of(
    add_network: Any, add_sharing: Any, folder: Path
) -> None:
    add_network("own")
    add_sharing("shared")
    catalogue = Catalogue.load(folder)
    names = {
        name: [str(p.relative_to(folder)) for p in int8_files(catalogue[name])]
        for name in catalogue.names
    }
    assert names["own"] == ["own/int8.xml", "own/int8.bin"]
    assert names["shared"] == ["backbones/MobileNetV2.int8.xml", "backbones/MobileNetV2.int8.bin"]


@pytest.mark.parametrize("kind", ["own", "shared"])
def test_the_copy_is_what_runs(
    kind: str, add_network: Any, add_sharing: Any, folder: Path, tmp_path: Path
) -> None:
    add_network("net") if kind == "own" else add_sharing("net")
    model, batch = Catalogue.load(folder)["net"], images(2, 96)
    with_copy(model, load_backbone(model))
    ensemble = Ensemble(Catalogue.load(folder), "openvino-int8", 1, tmp_path / "cache")
    found = ensemble.predict("net", batch).probabilities
    expected = Ensemble(Catalogue.load(folder), "torch", 1).predict("net", batch).probabilities
    assert np.abs(found - expected).max() <= EQUAL
    assert not (tmp_path / "cache").exists()
    assert ensemble.prediction("net", found, (), NOW).engine == "openvino-int8"


def test_a_model_without_a_copy_runs_in_float32_and_the_log_says_so(
    add_network: Any, add_sharing: Any, folder: Path, tmp_path: Path
) -> None:
    add_sharing("a", "b")
    add_network("own")
    own = Catalogue.load(folder)["own"]
    with_copy(own, load_backbone(own))
    catalogue, batch = Catalogue.load(folder), images(2, 96)
    with structlog.testing.capture_logs() as logs:
        ensemble = Ensemble(catalogue, "openvino-int8", 1, tmp_path / "cache")
        answers = ensemble.predict_together(("a", "b", "own"), batch)
    assert [(line["log_level"], line["model"]) for line in logs] == [("warning", "a")]
    reference = Ensemble(catalogue, "openvino", 1, tmp_path / "cache")
    for name in ("a", "b"):
        found = answers[name].probabilities
        assert np.array_equal(found, reference.predict(name, batch).probabilities)
        assert ensemble.prediction(name, found, (), NOW).engine == "openvino"
    rows = answers["own"].probabilities
    assert ensemble.prediction("own", rows, (), NOW).engine == "openvino-int8"


def test_a_copy_of_a_whole_network_is_refused(
    add_network: Any, folder: Path, tmp_path: Path
) -> None:
    add_network("net")
    model = Catalogue.load(folder)["net"]
    with_copy(model, load_whole(model))
    with pytest.raises(InvalidModelError, match=r"net/int8\.xml: makes \[\[1, 3\]\] .* --int8"):
        Ensemble(Catalogue.load(folder), "openvino-int8", 1, tmp_path / "cache")


def test_a_copy_for_images_of_another_size_is_refused(
    add_network: Any, folder: Path, tmp_path: Path
) -> None:
    add_network("net")
    model = Catalogue.load(folder)["net"]
    with_copy(model, load_backbone(model), size=64)
    with pytest.raises(InvalidModelError, match=r"of \[\[1, 3, 64, 64\]\], expected"):
        Ensemble(Catalogue.load(folder), "openvino-int8", 1, tmp_path / "cache")


@pytest.mark.parametrize("which", [0, 1])
@pytest.mark.parametrize("change", ["damaged", "missing", "linked"])
def test_a_copy_that_is_not_on_the_card_is_refused(
    which: int, change: str, add_sharing: Any, folder: Path, tmp_path: Path
) -> None:
    add_sharing("net")
    model = Catalogue.load(folder)["net"]
    with_copy(model, load_backbone(model))
    place = int8_files(model)[which]
    match change:
        case "damaged":
            place.write_bytes(place.read_bytes()[:-1] + b"?")
        case "missing":
            place.unlink()
        case "linked":
            place.rename(tmp_path / "elsewhere")
            place.symlink_to(tmp_path / "elsewhere")
    message = {"damaged": "its SHA-256", "missing": "cannot be read", "linked": "leads out"}[change]
    with pytest.raises(InvalidModelError, match=rf"backbones/Mob\w+\.int8\.\w+: {message}"):
        Ensemble(Catalogue.load(folder), "openvino-int8", 1, tmp_path / "cache")
