"""Every figure is of images that neither the network, nor whom it learnt from, was fitted on."""

from __future__ import annotations

import csv
import json
import shutil
from pathlib import Path

import pytest

import preread
from preread.models.card import CARD, read_card
from preread.models.catalogue import Catalogue
from preread.models.model import Model
from preread.training.listing import PARTS
from preread.training.split_file import split_digest
from tests.unit.training.conftest import TwoSets, trained

SHIPPED = Path(preread.__file__).parents[2] / "models"


def split_of(model: Model) -> Path:
    if model.backbone.parent == model.folder:
        return model.folder / "split.csv"
    return model.backbone.with_suffix(".split.csv")


def check_provenance(model: Model, catalogue: Catalogue) -> None:
    """Prove that what a model was fitted on and measured on have no pixels in common."""
    training, split = model.card.Training, split_of(model)
    for start in catalogue:
        if training.InitialWeightsSHA256 in (start.backbone_sha256, start.card.WeightsSHA256):
            assert training.SplitSHA256 is not None, "started from a model, and names no split"
            assert start.card.Training.SplitSHA256 == training.SplitSHA256, "started from another"
    if training.SplitSHA256 is None:
        assert not split.exists(), "a split that the card does not name"
        assert training.Teacher is None, "a teacher, and no split that it shares"
        assert training.GrownFrom is None, "a shallower network, and no split that it shares"
        return
    assert split_digest(split) == training.SplitSHA256
    for other in (training.Teacher, training.GrownFrom):
        assert other is None or other.SplitSHA256 == training.SplitSHA256
    with split.open(newline="") as file:
        rows = list(csv.DictReader(file))
    digests = {
        part: {row["sha256"] for row in rows if row["part"] == part} for part in (*PARTS, "")
    }
    assert not digests[""]
    assert all(len(digest) == 64 for part in PARTS for digest in digests[part])
    assert not digests["training"] & digests["test"]
    assert not digests["validation"] & digests["test"]
    assert not digests["training"] & digests["validation"]
    (metrics,) = [one for one in model.card.Metrics if one.ShippedWeights and one.Runs == 1][:1]
    if metrics.Split == "grouped":
        groups = {part: {row["group"] for row in rows if row["part"] == part} for part in PARTS}
        assert not groups["training"] & groups["test"]
        assert not groups["validation"] & groups["test"]
    assert digests["training"]
    assert metrics.TestImages <= sum(row["part"] == "test" for row in rows)
    assert metrics.TrainingImages <= sum(row["part"] == "training" for row in rows)


@pytest.mark.parametrize("name", Catalogue.load(SHIPPED).names)
def test_a_shipped_model_was_measured_on_images_that_it_had_not_seen(name: str) -> None:
    catalogue = Catalogue.load(SHIPPED)
    check_provenance(catalogue[name], catalogue)


@pytest.mark.parametrize("name", Catalogue.load(SHIPPED).names)
def test_whom_a_shipped_model_learnt_from_had_not_seen_them_either(name: str) -> None:
    """Where that network is shipped too, its own card and split must say the same."""
    catalogue = Catalogue.load(SHIPPED)
    training, told = catalogue[name].card.Training, catalogue[name].card.OutOfDistribution
    if told is not None and told.Judge is not None:
        assert training.Teacher is not None
        assert training.Teacher.WeightsSHA256 == told.Judge.SHA256
    for other in (training.Teacher, training.GrownFrom):
        for model in catalogue:
            if other is not None and model.backbone_sha256 == other.WeightsSHA256:
                assert model.card.Training.SplitSHA256 == training.SplitSHA256


@pytest.fixture(scope="module")
def made(two_sets: TwoSets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run: a teacher for two sets, and a student of it."""
    folder = tmp_path_factory.mktemp("made")
    options = (
        two_sets.listing, *two_sets.descriptions, "--preset", "recommended", "--validation", 0.2,
        "--size", 32, "--epochs", 1, "--threads", 1, "--batch-size", 16, "--split", "grouped",
    )  # fmt: skip
    trained(*options, "--output", folder / "teacher")
    trained(*options, "--output", folder / "student", "--teacher", folder / "teacher")
    return folder


@pytest.fixture
def run(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "run"))


def test_what_training_makes_can_be_proved(run: Path) -> None:
    catalogue = Catalogue.load(run)
    assert catalogue.names == ("student-Shapes", "student-Two", "teacher-Shapes", "teacher-Two")
    for model in catalogue:
        check_provenance(model, catalogue)
        assert model.card.Training.SplitSHA256 is not None
        assert (model.card.Training.Teacher is None) == model.name.startswith("teacher")


def rewrite(run: Path, name: str, **changes: object) -> tuple[Model, Catalogue]:
    path = run / name / CARD
    card = json.loads(path.read_text())
    card["Training"] |= changes
    path.write_text(json.dumps(card))
    catalogue = Catalogue.load(run)
    return catalogue[name], catalogue


def test_a_leak_does_not_stay_unseen(run: Path) -> None:
    name = "student-Shapes"
    training = read_card(run / name).Training
    assert training.Teacher is not None
    with pytest.raises(AssertionError, match="card does not name"):
        check_provenance(*rewrite(run, name, SplitSHA256=None))
    rewrite(run, name, SplitSHA256=training.SplitSHA256)
    theirs = training.Teacher.model_copy(update={"SplitSHA256": "0" * 64})
    with pytest.raises(AssertionError):
        check_provenance(*rewrite(run, name, Teacher=theirs.model_dump()))
    rewrite(run, name, Teacher=training.Teacher.model_dump())

    split = split_of(Catalogue.load(run)[name])
    lines = split.read_text().splitlines()
    tested = next(line for line in lines if line.endswith(",test"))
    split.write_text("\n".join([*lines, tested.removesuffix("test") + "training"]) + "\n")
    with pytest.raises(AssertionError):
        check_provenance(*rewrite(run, name))  # the file is not the card's
    digest = split_digest(split)
    theirs = training.Teacher.model_copy(update={"SplitSHA256": digest})
    leaking = rewrite(run, name, SplitSHA256=digest, Teacher=theirs.model_dump())
    with pytest.raises(AssertionError):
        check_provenance(*leaking)


def test_a_start_from_a_model_of_another_split_does_not_stay_unseen(run: Path) -> None:
    name = "student-Shapes"
    catalogue = Catalogue.load(run)
    teacher = catalogue["teacher-Two"]
    for start in (teacher.backbone_sha256, teacher.card.WeightsSHA256):
        check_provenance(*rewrite(run, name, InitialWeightsSHA256=start))
        rewrite(run, "teacher-Two", SplitSHA256="0" * 64)
        with pytest.raises(AssertionError, match="started from another"):
            check_provenance(*rewrite(run, name))
        own = teacher.card.Training.SplitSHA256
        rewrite(run, "teacher-Two", SplitSHA256=own)
        with pytest.raises(AssertionError, match="names no split"):
            check_provenance(*rewrite(run, name, SplitSHA256=None))
        rewrite(run, name, SplitSHA256=own)
