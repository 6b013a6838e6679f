"""What training writes is what is served: the figures of a card are those of the engines."""

from __future__ import annotations

import csv
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from preread.imaging import open_picture, prepare
from preread.models.card import CARD, WEIGHTS, ModelCard, read_card
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.ensemble import Ensemble
from preread.models.head import Answer
from preread.models.loading import read_own
from preread.models.novelty import Novelty
from preread.models.weights import parse_weights
from preread.training.evaluation.temperature import scaled
from preread.training.metrics import Figures, figures
from preread.training.split_file import split_digest
from preread.training.writing import HELD_OUT_SHARE, logits_with
from tests.unit.training.conftest import TwoSets, describe, trained, write_pictures

KEPT = ("float32", "int8")
RUN = (
    "--preset", "recommended", "--split", "random", "--validation", 0.2, "--size", 32, "--epochs",
    3, "--threads", 1, "--batch-size", 16, "--learning-rate", 0.003,
)  # fmt: skip


@dataclass(frozen=True)
class Run:
    """A folder of models, and the images that they were made of."""

    models: Path
    root: Path

    def split(self) -> list[dict[str, str]]:
        """Give the rows of the split that lies beside the weights."""
        (path,) = self.models.glob("*/*split.csv")
        with path.open(newline="") as file:
            return list(csv.DictReader(file))

    def card(self, name: str) -> ModelCard:
        return read_card(self.models / name)

    def batch(self, name: str, column: str, part: str) -> tuple[NDArray[np.float32], torch.Tensor]:
        """Give the images of a part of a model's set, as it takes them, and their labels."""
        card = self.card(name)
        rows = [row for row in self.split() if row["part"] == part and row[column]]
        images = [
            prepare(
                open_picture((self.root / row["file"]).read_bytes(), max_bytes=10**6),
                card.Preprocessing,
            )
            for row in rows
        ]
        return np.stack(images), torch.tensor([card.Classes.index(row[column]) for row in rows])

    def answers(self, name: str, engine: str, batch: NDArray[np.float32]) -> Answer:
        return Ensemble(Catalogue.load(self.models), engine, 1).predict(name, batch)


@pytest.fixture(scope="module")
def folder_runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Fit once on a class folder, and keep it in each kind of numbers."""
    folder = tmp_path_factory.mktemp("folder runs")
    root = write_pictures(folder / "pictures", {"bar": 22, "check": 20, "disc": 18})
    told = describe(folder / "told.json")
    runs = {}
    for kept in KEPT:
        # The second finds the checkpoint of the first, whose fit is done.
        done = trained(
            root, "--output", folder / kept / "Net", "--description", told, *RUN, "--keep", kept,
            "--checkpoints", folder / "state",
        )  # fmt: skip
        assert ("epoch 1:" in done.output) == (kept == KEPT[0])
        runs[kept] = Run(folder / kept, root)
    return runs


@pytest.fixture(scope="module")
def set_runs(two_sets: TwoSets, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Run]:
    """Fit once on a CSV with two sets, and keep it in each kind of numbers."""
    folder = tmp_path_factory.mktemp("set runs")
    runs = {}
    for kept in KEPT:
        trained(
            two_sets.listing, "--output", folder / kept / "Net", *two_sets.descriptions, *RUN,
            "--keep", kept, "--checkpoints", folder / "state",
        )  # fmt: skip
        runs[kept] = Run(folder / kept, two_sets.root)
    return runs


def check_figures(card: ModelCard, found: Figures) -> None:
    (told,) = card.Metrics
    assert told.ConfusionMatrix == found.confusion
    assert told.MicroAccuracy == round(found.micro_accuracy, 4)
    assert told.MacroAccuracy == round(found.macro_accuracy, 4)
    assert told.LogLoss == pytest.approx(found.log_loss, abs=2e-4)
    assert told.LogLossReduction == pytest.approx(found.log_loss_reduction, abs=4e-4)


def check_served(run: Run, name: str, column: str) -> None:
    card = run.card(name)
    (told,) = card.Metrics
    batch, labels = run.batch(name, column, "test")
    held_out, _ = run.batch(name, column, "validation")
    assert told.ShippedWeights
    assert told.TestImages == len(labels)
    assert card.OutOfDistribution is not None
    assert card.Calibration is not None
    assert card.Calibration.Images == card.OutOfDistribution.HeldOutImages == len(held_out)
    # torch rounds nothing between the layers.
    for engine in ("openvino", "torch") if card.Backbone.Precision == "float32" else ("openvino",):
        answer = run.answers(name, engine, batch)
        assert np.allclose(answer.probabilities.sum(axis=1), 1)
        check_figures(card, figures(torch.from_numpy(answer.probabilities), labels))
        # The threshold of what is unlike the training images lies where the card says.
        scores = run.answers(name, engine, held_out).novelty
        assert scores is not None
        threshold = float(np.quantile(scores, HELD_OUT_SHARE))
        assert card.OutOfDistribution.Threshold == pytest.approx(threshold, rel=1e-3)
        share = float((scores <= threshold).mean())
        assert card.OutOfDistribution.HeldOutShare == pytest.approx(share, abs=1e-4)
    # What the training images look like was learnt from them alone.
    backbone = make_engine("openvino", 1).load(Catalogue.load(run.models)[name])
    fitted_on, _ = run.batch(name, column, "training")
    seen, unseen = (backbone.features(of) for of in (fitted_on, held_out))
    expected = Novelty.fit(seen).score(unseen)
    found = run.answers(name, "openvino", held_out).novelty
    assert found is not None
    assert np.allclose(found, expected, rtol=0.01)


@pytest.mark.parametrize("kept", KEPT)
def test_a_model_of_a_class_folder_is_served_as_its_card_says(
    kept: str, folder_runs: dict[str, Run]
) -> None:
    run = folder_runs[kept]
    assert Catalogue.load(run.models).names == ("Net",)
    card = run.card("Net")
    assert (card.Backbone.File, card.Backbone.Precision) == ("model.onnx", kept)
    assert card.Classes == ("Disc", "Bar", "Check")
    assert card.Training.Precision == kept
    assert card.Training.InitialWeights == "random"
    assert card.Training.Transfer == "fine-tuning"
    assert card.Training.SplitSHA256 == split_digest(run.models / "Net" / "split.csv")
    check_served(run, "Net", "class")


@pytest.mark.parametrize("kept", KEPT)
def test_two_sets_give_two_models_that_share_a_backbone(
    kept: str, set_runs: dict[str, Run], two_sets: TwoSets
) -> None:
    run = set_runs[kept]
    catalogue = Catalogue.load(run.models)
    assert catalogue.names == ("Net-Shapes", "Net-Two")
    one, other = catalogue
    assert one.backbone == other.backbone == run.models / "backbones" / "Net.onnx"
    assert one.backbone_sha256 == other.backbone_sha256
    for model, column, classes in (
        (one, "Shapes", ("Disc", "Bar", "Check")),
        (other, "Two", ("Check", "Bar")),
    ):
        assert model.card.Classes == classes
        assert model.card.Backbone.Precision == kept
        split = run.models / "backbones" / "Net.split.csv"
        assert model.card.Training.SplitSHA256 == split_digest(split)
        own = parse_weights(model.weights.read_bytes(), WEIGHTS)
        head = {name: array for name, array in own.items() if not name.startswith("novelty.")}
        assert {array.shape[0] for array in head.values()} == {len(classes)}
        assert {str(array.dtype) for array in head.values()} == {"float32"}
        check_served(run, model.name, column)
    (told,), (other_told,) = one.card.Metrics, other.card.Metrics
    counts = (told.TrainingImages, told.ValidationImages, told.TestImages)
    assert sum(counts) == 60
    other_counts = (
        other_told.TrainingImages, other_told.ValidationImages, other_told.TestImages,
    )  # fmt: skip
    assert sum(other_counts) == other.card.Dataset.Images == 20
    assert other.card.Dataset.ImagesPerClass == {"Check": 10, "Bar": 10}
    # One fit for both.
    texts = {(model.folder / "history.json").read_text() for model in catalogue}
    assert len(texts) == 1
    lines = json.loads(texts.pop())["random"]
    assert [line["epoch"] for line in lines] == [1, 2, 3]


@pytest.mark.parametrize("kept", KEPT)
def test_the_card_says_what_rounding_changed(
    kept: str, folder_runs: dict[str, Run], set_runs: dict[str, Run]
) -> None:
    for runs, name, column in ((folder_runs, "Net", "class"), (set_runs, "Net-Shapes", "Shapes")):
        batch, _ = runs[kept].batch(name, column, "test")
        card = runs[kept].card(name)
        assert card.Calibration is not None
        rows = []
        for which in (kept, "float32"):
            model = Catalogue.load(runs[which].models)[name]
            features = make_engine("openvino", 1).load(model).features(batch)
            head = read_own(model).head
            rows.append(scaled(logits_with(head, features), card.Calibration.Temperature))
        difference = float(np.abs(rows[0] - rows[1]).max())
        told = card.Training.LargestRoundingDifference
        assert difference == pytest.approx(told, abs=1e-4)
        assert (told > 1e-4) == (kept != "float32")
        assert told < {"float32": 1e-4, "int8": 0.5}[kept]
        facts = card.Quantization
        assert (facts is None) is (kept == "float32")
        if facts is not None:
            assert facts.TestImages == len(batch)
            assert facts.CalibrationImages == sum(
                row["part"] == "training" for row in runs[kept].split()
            )
            assert facts.LargestDifference == pytest.approx(told, abs=1e-4)
            changed = (rows[0].argmax(axis=1) != rows[1].argmax(axis=1)).sum()
            assert abs(facts.ChangedClasses - changed) <= 1


def test_fewer_bits_take_less_room(folder_runs: dict[str, Run], set_runs: dict[str, Run]) -> None:
    for runs, file in ((folder_runs, "Net/model.onnx"), (set_runs, "backbones/Net.onnx")):
        full, eight = ((runs[kept].models / file).stat().st_size for kept in KEPT)
        assert full > 2.5 * eight


def test_cards_name_no_place_on_this_machine(
    folder_runs: dict[str, Run], set_runs: dict[str, Run], tmp_path_factory: pytest.TempPathFactory
) -> None:
    here = str(tmp_path_factory.getbasetemp())
    texts = [
        path.read_text()
        for runs in (folder_runs, set_runs)
        for run in runs.values()
        for path in run.models.glob(f"*/{CARD}")
    ]
    assert len(texts) == 6
    for text in texts:
        assert here not in text
        assert "/" not in json.loads(text)["Training"]["Command"]
