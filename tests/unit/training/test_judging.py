"""Whose features tell what is unlike the training data, and that they are where they must be."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path

import numpy as np
import pytest

from preread.imaging import open_picture, prepare
from preread.models.card import read_card
from preread.models.catalogue import Catalogue
from preread.models.choosing import make_engine
from preread.models.ensemble import Ensemble
from preread.models.novelty import Novelty
from tests.unit.training.conftest import TwoSets, trained, write_pictures

OPTIONS = (
    "--preset", "recommended", "--validation", 0.2, "--size", 32, "--epochs", 1, "--threads", 1,
    "--batch-size", 16,
)  # fmt: skip


@pytest.fixture(scope="module")
def made(two_sets: TwoSets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run: a teacher for two sets, and a student of it of another architecture."""
    folder = tmp_path_factory.mktemp("made")
    options = (two_sets.listing, *two_sets.descriptions, *OPTIONS)
    trained(*options, "--output", folder / "teacher")
    trained(
        *options, "--output", folder / "student", "--teacher", folder / "teacher", "--keep", "int8",
        "--architecture", "ResNet50V2",
    )  # fmt: skip
    return folder


def test_a_student_that_began_at_random_is_judged_by_its_teacher(
    made: Path, two_sets: TwoSets
) -> None:
    catalogue = Catalogue.load(made)
    student, teacher = catalogue["student-Shapes"], catalogue["teacher-Shapes"]
    assert teacher.judge is teacher
    told = student.card.OutOfDistribution
    assert told is not None
    assert told.Judge is not None
    assert told.Judge.Architecture == teacher.card.Architecture
    assert teacher.backbone_sha256 == told.Judge.SHA256
    assert told.Judge.Precision == teacher.card.Backbone.Precision
    assert student.judge.backbone.name == f"teacher-{told.Judge.SHA256[:8]}.onnx"

    # What the runner finds is the distance from the training part, in the teacher's features of
    # the student's input; the threshold leaves of the validation part what the card says.
    with (made / "backbones" / "student.split.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    parts = {
        part: np.stack(
            [
                prepare(
                    open_picture((two_sets.root / row["file"]).read_bytes(), max_bytes=10**6),
                    student.card.Preprocessing,
                )
                for row in rows
                if row["part"] == part
            ]
        )
        for part in ("training", "validation")
    }
    features = make_engine("torch", 1).load(teacher).features(parts["training"])
    expected = Novelty.fit(features)
    ensemble = Ensemble(Catalogue([student]), "openvino", 1)
    for part, images in parts.items():
        scores = ensemble.predict(student.name, images).novelty
        theirs = make_engine("torch", 1).load(teacher).features(images)
        assert scores is not None
        assert np.allclose(scores, expected.score(theirs), rtol=0.02), part
    assert scores is not None
    assert told.Threshold == pytest.approx(np.quantile(scores, 0.99), rel=0.02)
    assert told.HeldOutShare == pytest.approx(0.9)
    assert told.HeldOutImages == len(scores) == 10


def test_a_network_that_began_with_weights_judges_itself(
    made: Path, two_sets: TwoSets, tmp_path: Path
) -> None:
    shutil.copytree(made, tmp_path / "run")
    trained(
        two_sets.listing, *two_sets.descriptions, *OPTIONS, "--output", tmp_path / "run" / "pupil",
        "--teacher", tmp_path / "run" / "teacher", "--pretrained",
        tmp_path / "run" / "backbones" / "teacher.onnx",
    )  # fmt: skip
    told = read_card(tmp_path / "run" / "pupil-Two")
    assert told.Training.Teacher is not None
    assert told.OutOfDistribution is not None
    assert told.OutOfDistribution.Judge is None


def test_who_takes_the_teachers_place_does_not_take_the_judge_away(
    made: Path, two_sets: TwoSets, tmp_path: Path
) -> None:
    run = shutil.copytree(made, tmp_path / "run")
    before = (run / "backbones" / "teacher.onnx").read_bytes()
    trained(
        two_sets.listing, *two_sets.descriptions, *OPTIONS, "--output", run / "teacher",
        "--teacher", run / "teacher", "--checkpoints", tmp_path / "fits",
    )  # fmt: skip
    catalogue = Catalogue.load(run)
    assert catalogue["teacher-Two"].backbone.read_bytes() != before
    for name in ("teacher-Two", "student-Two"):
        assert catalogue[name].judge.backbone.read_bytes() == before
    Ensemble(catalogue, "torch", 1)


def test_a_teacher_without_a_shared_backbone_gives_its_own(
    description: Path, tmp_path: Path
) -> None:
    pictures = write_pictures(tmp_path / "pictures", dict.fromkeys(("bar", "disc"), 24))
    described = description.with_name("two.json")
    described.write_text(description.read_text().replace(', "check": "Check"', ""))
    options = (pictures, "--description", described, *OPTIONS)
    trained(*options, "--output", tmp_path / "run" / "teacher", "--keep", "int8")
    trained(
        *options, "--output", tmp_path / "run" / "student", "--teacher", tmp_path / "run/teacher"
    )
    catalogue = Catalogue.load(tmp_path / "run")
    student = catalogue["student"]
    assert student.backbone == student.folder / "model.onnx"
    assert student.judge.backbone.parent == tmp_path / "run" / "backbones"
    assert student.judge.backbone.name.startswith("teacher-")
    images = np.random.default_rng(0).uniform(-1, 1, (2, 3, 32, 32)).astype(np.float32)
    engine = make_engine("torch", 1)
    kept, whole = (
        engine.load(one).features(images) for one in (student.judge, catalogue["teacher"])
    )
    assert np.allclose(kept, whole, rtol=1e-3, atol=1e-4)
    assert Ensemble(catalogue, "torch", 1).predict("student", images).novelty is not None
