"""The models that ship with the project: whole, truthful as far as that can be checked, equal."""

from __future__ import annotations

import csv
import functools
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file

from preread.elements.header import read_header
from preread.errors import PrereadError
from preread.imaging import Frame, Units, frame_from_array, open_image, open_picture, prepare
from preread.models.card import INTENDED_USE
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.models.model import Model
from preread.models.weights import sha256_of

ROOT = Path(__file__).parents[3]
CATALOGUE = Catalogue.load(ROOT / "models")
LUNG = "MobileNetV2-IQ-OTHNCCD"
SHARING = [
    [model for model in CATALOGUE if model.backbone_sha256 == digest]
    for digest in dict.fromkeys(model.backbone_sha256 for model in CATALOGUE)
]
"""The models of each backbone: what costs a pass of it is asked of all of them at once."""
SHARED = ROOT.parent / "shared" / "data"
VARIETY = SHARED / "dicom" / "variety"


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


def frames_like_those_it_serves() -> list[Frame]:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    return [
        *open_image(Path(path).read_bytes(), max_bytes=10**8).frames,
        *(frame_from_array(chest(nodule), units=Units.HOUNSFIELD) for nodule in (False, True)),
        frame_from_array(np.tile(np.arange(256, dtype=np.uint8), (256, 1))),
    ]


Together = Callable[[list[Model]], Ensemble]


@pytest.fixture(scope="module")
def together() -> Together:
    """Give the models of a backbone as they run by default; loaded once for all tests."""

    @functools.cache
    def made(first: str) -> Ensemble:
        models = [model for models in SHARING if models[0].name == first for model in models]
        return Ensemble(Catalogue(models), "openvino", 2)

    return lambda models: made(models[0].name)


of_each_backbone = pytest.mark.parametrize(
    "models", SHARING, ids=lambda models: models[0].card.Architecture.value
)


def names_of(models: list[Model]) -> tuple[str, ...]:
    return tuple(model.name for model in models)


@of_each_backbone
def test_engines_agree_on_images_like_those_it_serves(
    models: list[Model], together: Together
) -> None:
    how, names = models[0].card.Preprocessing, names_of(models)
    batch = np.stack([prepare(frame, how) for frame in frames_like_those_it_serves()])
    exact = Ensemble(Catalogue(models), "torch", 2).predict_together(names, batch)
    for found in (
        together(models).predict_together(names, batch),
        Ensemble(Catalogue(models), "onnxruntime", 2).predict_together(names, batch),
    ):
        for model in models:
            away = np.abs(found[model.name].probabilities - exact[model.name].probabilities)
            # torch multiplies rounded kernels out, and rounds nothing between the layers.
            assert away.max() <= (1e-3 if model.card.Quantization is None else 0.2), model.name
            score, wanted = found[model.name].novelty, exact[model.name].novelty
            assert score is not None
            assert wanted is not None
            assert np.allclose(score, wanted, rtol=1e-4), model.name


def test_what_judges_is_in_float32_and_what_8_bits_cost_is_told() -> None:
    for model in CATALOGUE:
        assert model.judge.card.Backbone.Precision == "float32"
        facts = model.card.Quantization
        assert (facts is None) is (model.card.Backbone.Precision == "float32")
        if facts is not None:
            [metrics] = [entry for entry in model.card.Metrics if entry.ShippedWeights]
            assert facts.TestImages == metrics.TestImages
    told = [model.card.Quantization for model in CATALOGUE]
    assert sum(facts.ChangedClasses for facts in told if facts is not None) <= 5


@of_each_backbone
def test_what_is_no_image_of_a_body_gets_no_class(models: list[Model], together: Together) -> None:
    random = np.random.default_rng(0)
    rows, columns = np.mgrid[-1:1:512j, -1:1:512j]
    strange = [
        *(np.full((512, 512), level) for level in (0, 90, 255)),
        *(random.normal(128, width, (512, 512)).clip(0, 255) for width in (10, 60)),
        np.tile(np.arange(256), (256, 1)),
        np.where(rows**2 + columns**2 < 0.6, 170, 10),  # a round phantom
        np.kron(np.indices((16, 16)).sum(axis=0) % 2, np.full((32, 32), 255)),
    ]
    how = models[0].card.Preprocessing
    batch = np.stack([prepare(frame_from_array(one.astype(np.uint8)), how) for one in strange])
    answers = together(models).predict_together(names_of(models), batch)
    for model in models:
        novelty = answers[model.name].novelty
        assert novelty is not None
        assert model.card.OutOfDistribution is not None
        assert (novelty > model.card.OutOfDistribution.Threshold).all(), model.name


def test_all_weights_together_are_small() -> None:
    files = [path for path in (ROOT / "models").rglob("*") if path.is_file()]
    assert sum(path.stat().st_size for path in files) < 110e6


def test_a_chest_ct_is_read_and_a_head_is_not() -> None:
    path = get_testdata_file("CT_small.dcm")
    assert isinstance(path, str)
    header = read_header(Path(path).read_bytes())
    assert LUNG in CATALOGUE.choose(header).models
    head = CATALOGUE.choose(header, ("69536005",))
    assert LUNG not in head.models


@pytest.mark.parametrize("model", list(CATALOGUE), ids=lambda model: model.name)
def test_cards_add_up(model: Model) -> None:
    card = model.card
    assert card.IntendedUse == INTENDED_USE
    assert sum(card.Dataset.ImagesPerClass.values()) == card.Dataset.UniqueImages
    assert sum(metrics.ShippedWeights for metrics in card.Metrics) == 1
    for metrics in card.Metrics:
        matrix = np.array(metrics.ConfusionMatrix)
        assert matrix.sum() == metrics.TestImages
        parts = metrics.TrainingImages + metrics.ValidationImages + metrics.TestImages
        if metrics.ShippedWeights:
            assert parts == card.Dataset.UniqueImages
        else:  # the paper's split counts duplicates too
            assert parts >= card.Dataset.UniqueImages * metrics.Runs
        if metrics.Runs > 1:  # figures are means over the runs, the matrix is their sum
            continue
        assert metrics.MicroAccuracy == pytest.approx(matrix.trace() / matrix.sum(), abs=1e-4)
        recalls = matrix.diagonal() / matrix.sum(axis=1)
        assert metrics.MacroAccuracy == pytest.approx(recalls.mean(), abs=1e-4)
        for name, recall in zip(card.Classes, recalls, strict=True):
            assert metrics.Classes[name].Recall == pytest.approx(recall, abs=1e-4)


@functools.cache
def frames_of_other_modalities() -> list[Frame]:
    """Read the first frame of each image that is no CT; once, since some take long to decode."""
    with (VARIETY / "index.csv").open(encoding="utf-8", newline="") as file:
        others = [line["file"] for line in csv.DictReader(file) if line["modality"] != "CT"]
    frames = []
    for name in others:
        try:
            image = open_image((VARIETY / name).read_bytes(), max_bytes=10**8)
            frames.append(next(image.frames))
        except PrereadError:  # no image, or one that is broken
            continue
    return frames


@pytest.mark.shared_data
@pytest.mark.slow
@of_each_backbone
def test_pictures_of_other_modalities_get_no_class(models: list[Model], together: Together) -> None:
    if not VARIETY.is_dir():
        pytest.skip("shared/data/dicom/variety is not beside the project")
    how = models[0].card.Preprocessing
    frames = [prepare(frame, how) for frame in frames_of_other_modalities()]
    assert len(frames) > 50
    ensemble, names = together(models), names_of(models)
    answers = [ensemble.predict_together(names, frame[np.newaxis]) for frame in frames]
    for model in models:
        assert model.card.OutOfDistribution is not None
        threshold = model.card.OutOfDistribution.Threshold
        scores = [answer[model.name].novelty for answer in answers]
        outside = [float(score[0]) > threshold for score in scores if score is not None]
        assert len(outside) == len(frames)
        assert np.mean(outside) > 0.9, model.name


def split_of(model: Model) -> Path:
    """Give where the file lies that says which image was for what."""
    return model.backbone.with_suffix(".split.csv")


def images_of_the_test_part(model: Model) -> list[tuple[Path, str]]:
    """Give file and class of each image of the test part that the shipped weights have not seen."""
    path = split_of(model)
    assert sha256_of(path.read_bytes()) == model.card.Training.SplitSHA256
    with path.open(encoding="utf-8", newline="") as file:
        lines = [line for line in csv.DictReader(file) if line["part"] == "test"]
    columns = [
        column
        for column in lines[0]
        if {line[column] for line in lines} - {""} == set(model.card.Classes)
    ]
    assert len(columns) == 1, columns
    return [(SHARED / line["file"], line[columns[0]]) for line in lines if line[columns[0]]]


@pytest.mark.shared_data
@pytest.mark.slow
@of_each_backbone
def test_the_cards_tell_what_is_measured(models: list[Model], together: Together) -> None:
    if not SHARED.is_dir():
        pytest.skip("shared/data is not beside the project")
    labels: dict[Path, dict[str, str]] = {}
    for model in models:
        if model.card.Training.SplitSHA256 is None:
            pytest.skip(f"{model.name} was made before splits were kept")
        for path, label in images_of_the_test_part(model):
            labels.setdefault(path, {})[model.name] = label
    ensemble = together(models)
    sizes = {model.name: len(model.card.Classes) for model in models}
    confusions = {name: np.zeros((size, size), dtype=int) for name, size in sizes.items()}
    for path, told in labels.items():
        frame = open_picture(path.read_bytes(), max_bytes=10**8)
        batch = prepare(frame, models[0].card.Preprocessing)[None]
        for name, answer in ensemble.predict_together(tuple(told), batch).items():
            row = CATALOGUE[name].card.Classes.index(told[name])
            confusions[name][row, answer.probabilities.argmax()] += 1
    for model in models:
        [metrics] = [entry for entry in model.card.Metrics if entry.ShippedWeights]
        # A probability near the middle may fall either way on another processor.
        wrong = np.abs(confusions[model.name] - np.array(metrics.ConfusionMatrix)).sum()
        assert wrong <= 4, model.name
