"""The models that ship with the project: whole, truthful as far as that can be checked, equal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from preread.elements.header import read_header
from preread.imaging import Units, frame_from_array, open_image, open_picture, prepare
from preread.models.card import INTENDED_USE
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble

ROOT = Path(__file__).parents[3]
CATALOGUE = Catalogue.load(ROOT / "models")
LUNG = "MobileNetV2-IQ-OTHNCCD"
DATA = ROOT.parent / "shared" / "data" / "iq-oth-nccd"


def chest(nodule: bool) -> NDArray[np.float32]:
    """Draw a slice of a chest in HU: body, lungs, heart, spine, noise."""
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    image = np.full((512, 512), -1000.0)

    def ellipse(y: float, x: float, height: float, width: float, value: float) -> None:
        image[((rows - y) / height) ** 2 + ((columns - x) / width) ** 2 < 1] = value

    ellipse(0, 0, 0.65, 0.85, -90)
    ellipse(0, 0, 0.58, 0.78, 50)
    ellipse(-0.05, -0.38, 0.42, 0.27, -850)
    ellipse(-0.05, 0.38, 0.42, 0.27, -850)
    ellipse(0.42, 0, 0.11, 0.12, 400)
    if nodule:
        ellipse(0.05, 0.42, 0.06, 0.06, 40)
    noisy: NDArray[np.float32] = image.astype(np.float32)
    noisy += np.random.default_rng(0).normal(0, 15, image.shape).astype(np.float32)
    return noisy


@pytest.mark.parametrize("engine", ["openvino", "openvino-int8"])
def test_engines_agree_on_images_like_those_it_serves(engine: str, tmp_path: Path) -> None:
    reference = Ensemble(CATALOGUE, "torch", 2)
    other = Ensemble(CATALOGUE, engine, 2, tmp_path / "cache")
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    frames = [
        *open_image(Path(path).read_bytes(), max_bytes=10**8).frames,
        *(frame_from_array(chest(nodule), units=Units.HOUNSFIELD) for nodule in (False, True)),
        frame_from_array(np.tile(np.arange(256, dtype=np.uint8), (256, 1))),
    ]
    for model in CATALOGUE:
        batch = np.stack([prepare(frame, model.card.Preprocessing) for frame in frames])
        expected = reference.predict(model.name, batch)
        difference = np.abs(expected - other.predict(model.name, batch)).max()
        if engine == "openvino":
            assert difference <= 1e-3
        else:
            facts = model.card.Quantization
            assert facts is not None
            assert difference < 0.5


def test_a_chest_ct_is_read_and_a_head_is_not() -> None:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    header = read_header(Path(path).read_bytes())
    assert LUNG in CATALOGUE.choose(header).models
    head = CATALOGUE.choose(header, ("69536005",))
    assert LUNG not in head.models


@pytest.mark.parametrize("model", list(CATALOGUE), ids=lambda model: model.name)
def test_cards_add_up(model: Any) -> None:
    card = model.card
    assert card.IntendedUse == INTENDED_USE
    assert sum(card.Dataset.ImagesPerClass.values()) == card.Dataset.UniqueImages
    assert sum(metrics.ShippedWeights for metrics in card.Metrics) == 1
    for metrics in card.Metrics:
        matrix = np.array(metrics.ConfusionMatrix)
        assert matrix.sum() == metrics.TestImages
        assert metrics.MicroAccuracy == pytest.approx(matrix.trace() / matrix.sum(), abs=1e-4)
        recalls = matrix.diagonal() / matrix.sum(axis=1)
        assert metrics.MacroAccuracy == pytest.approx(recalls.mean(), abs=1e-4)
        for name, recall in zip(card.Classes, recalls, strict=True):
            assert metrics.Classes[name].Recall == pytest.approx(recall, abs=1e-4)
        parts = metrics.TrainingImages + metrics.ValidationImages + metrics.TestImages
        assert parts == card.Dataset.UniqueImages
    history = json.loads((model.folder / "history.json").read_text())
    for metrics in card.Metrics:
        losses = [line["validation_loss"] for line in history[metrics.Split]]
        assert losses.index(min(losses)) + 1 == metrics.BestEpoch


@pytest.mark.shared_data
@pytest.mark.slow
def test_the_card_tells_what_is_measured(tmp_path: Path) -> None:
    if not DATA.is_dir():
        pytest.skip("shared/data/iq-oth-nccd is not beside the project")
    from preread.training.folder import read_folder
    from preread.training.splits import SplitKind, split

    model = CATALOGUE[LUNG]
    [metrics] = [entry for entry in model.card.Metrics if entry.ShippedWeights]
    told = json.loads((model.folder / "description.json").read_text())
    data = read_folder(DATA, model.card.Preprocessing, told["Classes"])
    assert data.counts() == model.card.Dataset.ImagesPerClass
    parts = split(
        data.labels,
        data.thumbnails,
        SplitKind(metrics.Split),
        test=0.3,
        validation=0.15,
        seed=metrics.Seed,
    )
    ensemble = Ensemble(CATALOGUE, "openvino", 2, tmp_path / "cache")
    confusion = np.zeros((3, 3), dtype=int)
    for index in parts.test:
        image = (DATA / data.files[index]).read_bytes()
        batch = prepare(open_picture(image, max_bytes=10**8), model.card.Preprocessing)[None]
        answer = ensemble.predict(LUNG, batch).argmax()
        confusion[data.labels[index], answer] += 1
    # A probability near the middle may fall either way on another processor.
    assert np.abs(confusion - np.array(metrics.ConfusionMatrix)).sum() <= 4
