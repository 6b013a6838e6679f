from __future__ import annotations

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.nn import functional

from preread.models.card import CARD, read_card
from preread.training.data_set import DataSet, LabelSet
from preread.training.errors import TrainingError
from preread.training.splits import Split
from preread.training.teacher import (
    VIEWS,
    Teacher,
    lessons,
    load_teacher,
    model_folders,
    trained_model,
)
from tests.unit.training.conftest import TwoSets, describe, refused, tiny, trained

CPU = torch.device("cpu")
LEVELS = (-1.0, 1.0)
SMALL = ("--size", 32, "--epochs", 1, "--threads", 1, "--batch-size", 16)
BETTER = ("--preset", "recommended", "--split", "random", "--validation", 0.2)


@pytest.fixture
def teacher() -> Teacher:
    network = tiny().eval()
    anything: Any = None
    weight, bias = network.head.weight.detach(), network.head.bias.detach()
    return Teacher(anything, anything, network.backbone, weight, bias)


def ask(teacher: Teacher, data: DataSet, part: Any, **changes: Any) -> Any:
    options: dict[str, Any] = {"size": (32, 32), "levels": LEVELS, "strength": 1.0, "seed": 4}
    return lessons(teacher, data, part, **(options | changes))


def test_has_views_and_answers_for_each_image(
    teacher: Teacher, two_set_data: DataSet, two_set_split: Split
) -> None:
    part = two_set_split.training
    told: list[tuple[int, int]] = []
    found = ask(teacher, two_set_data, part, size=(20, 24), progress=lambda *now: told.append(now))
    assert found.views.shape == (len(part), VIEWS, 20, 24)
    assert found.views.dtype == torch.uint8
    assert found.logits.shape == (len(part), VIEWS, 5)
    assert found.features.shape == (len(part), VIEWS, 64)
    assert found.width == 64
    assert told[-1] == (len(part), len(part))
    # Views of one image differ, and the features lie around 0.
    assert not torch.equal(found.views[0, 0], found.views[0, 1])
    assert found.features.mean(dim=(0, 1)).abs().max() < 1e-4
    deviations = found.features.std(dim=(0, 1))
    alive = deviations > 0
    assert alive.any()
    assert torch.allclose(deviations[alive], torch.ones(int(alive.sum())), atol=1e-3)


def test_answers_are_of_the_very_views_that_the_student_sees(
    teacher: Teacher, two_set_data: DataSet, two_set_split: Split
) -> None:
    found = ask(teacher, two_set_data, two_set_split.training)
    rows = torch.tensor([5, 0, 11])
    images, logits, features = found.draw(rows, *LEVELS, torch.Generator().manual_seed(2))
    assert images.shape == (3, 3, 32, 32)
    assert images.dtype == torch.float32
    assert float(images.min()) >= -1
    assert float(images.max()) <= 1
    with torch.inference_mode():
        seen = teacher.backbone(images)
        again = seen @ teacher.weight.T + teacher.bias
    # The views are kept in 256 levels.
    assert torch.allclose(logits, again, atol=0.02)
    assert float(again.std()) > 0.05
    assert features.shape == (3, 64)
    # Another view of them another time.
    other, _, _ = found.draw(rows, *LEVELS, torch.Generator().manual_seed(3))
    assert not torch.equal(images, other)
    # The whole range that the preprocessing gives is used, wherever it lies.
    moved, _, _ = found.draw(rows, 10.0, 20.0, torch.Generator().manual_seed(2))
    assert torch.allclose((moved - 10) / 5 - 1, images, atol=1e-5)


def test_a_smaller_student_sees_the_views_smaller(
    teacher: Teacher, two_set_data: DataSet, two_set_split: Split
) -> None:
    full = ask(teacher, two_set_data, two_set_split.training)
    small = ask(teacher, two_set_data, two_set_split.training, size=(16, 16))
    assert torch.equal(small.logits, full.logits)
    shrunk = functional.interpolate(
        full.views.flatten(0, 1).unsqueeze(1).float(), (16, 16), mode="bilinear", antialias=True
    )
    assert (shrunk.squeeze(1) - small.views.flatten(0, 1).float()).abs().max() <= 1.01


class Watched(tuple[Any, ...]):
    """Tells which of its items were looked at."""

    seen: set[int]

    def __getitem__(self, index: Any) -> Any:
        self.seen.add(int(index))
        return super().__getitem__(index)


def test_only_training_images_are_looked_at(
    teacher: Teacher, two_set_data: DataSet, two_set_split: Split
) -> None:
    images = Watched(two_set_data.images)
    images.seen = set()
    ask(teacher, replace(two_set_data, images=images), two_set_split.training)
    assert images.seen == set(two_set_split.training.tolist())


def test_views_are_seeded(teacher: Teacher, two_set_data: DataSet, two_set_split: Split) -> None:
    part = two_set_split.training
    one, two, other = (ask(teacher, two_set_data, part, seed=seed) for seed in (1, 1, 2))
    assert torch.equal(one.views, two.views)
    assert torch.equal(one.logits, two.logits)
    assert not torch.equal(one.views, other.views)


def test_a_feature_that_never_changes_is_no_noise(
    teacher: Teacher, two_set_data: DataSet, two_set_split: Split
) -> None:
    block = tiny().eval().backbone

    class Dead(torch.nn.Module):
        def forward(self, images: Tensor) -> Tensor:
            features = block(images)
            features[:, 7] = 0.3 + 1e-5 * features[:, 7]
            dead: Tensor = features
            return dead

    found = ask(replace(teacher, backbone=Dead()), two_set_data, two_set_split.training)
    assert not found.features[..., 7].any()


def test_knows_where_the_models_of_several_sets_are() -> None:
    one, two = (LabelSet(name, ("a", "b"), np.zeros(1, dtype=np.int64)) for name in ("X", "Y"))
    assert model_folders(Path("m/net"), [one]) == (Path("m/net"),)
    assert model_folders(Path("m/net"), [one, two]) == (Path("m/net-X"), Path("m/net-Y"))


@pytest.fixture(scope="module")
def run(two_sets: TwoSets, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Make a run of one network for two sets, ``net``, and one for one set."""
    folder = tmp_path_factory.mktemp("run")
    common = (*BETTER, *SMALL)
    trained(two_sets.listing, "--output", folder / "net", *two_sets.descriptions, *common)
    only = ("--description", two_sets.descriptions[1], "--root", two_sets.root)
    trained(two_sets.listing, "--output", folder / "only", *only, *common)
    return folder


def test_loads_what_the_models_serve(run: Path, two_set_data: DataSet) -> None:
    split_sha256 = read_card(run / "net-Two").Training.SplitSHA256
    assert split_sha256
    sets = [
        replace(one, classes=read_card(run / f"net-{one.name}").Classes)
        for one in two_set_data.sets
    ]
    models = trained_model(run / "net", sets, split_sha256, "--teacher")
    teacher = load_teacher(models, split_sha256, CPU)
    assert teacher.weight.shape == (5, 1280)
    assert teacher.weight.dtype == teacher.bias.dtype == torch.float32
    assert teacher.facts.SplitSHA256 == split_sha256
    assert teacher.facts.WeightsSHA256 == models[0].backbone_sha256
    assert teacher.facts.Name == "net-Shapes"
    assert not teacher.backbone.training


def test_a_student_says_whose_it_is(two_sets: TwoSets, run: Path, tmp_path: Path) -> None:
    output = tmp_path / "student"
    done = trained(
        two_sets.listing, "--output", output, *two_sets.descriptions, *BETTER, *SMALL,
        "--teacher", run / "net",
    )  # fmt: skip
    assert "teacher looks at images" in done.output
    for name in ("Shapes", "Two"):
        card = read_card(tmp_path / f"student-{name}")
        taught, theirs = card.Training.Teacher, read_card(run / f"net-{name}")
        assert taught is not None
        assert taught.WeightsSHA256 == theirs.Backbone.SHA256
        assert taught.SplitSHA256 == card.Training.SplitSHA256 == theirs.Training.SplitSHA256
        assert f"{VIEWS} such views of each image" in card.Training.Augmentation
        assert "--teacher net" in card.Training.Command
        assert str(run) not in (tmp_path / f"student-{name}" / CARD).read_text()


def test_a_teacher_of_one_set_and_another_size_teaches(
    two_sets: TwoSets, run: Path, tmp_path: Path
) -> None:
    only = ("--description", two_sets.descriptions[1], "--root", two_sets.root)
    trained(
        two_sets.listing, "--output", tmp_path / "student", *only, *BETTER, *SMALL,
        "--teacher", run / "only", "--size", 40,
    )  # fmt: skip
    card = read_card(tmp_path / "student")
    assert card.Preprocessing.size == (40, 40)
    assert card.Training.Teacher is not None
    assert card.Training.Teacher.WeightsSHA256 == read_card(run / "only").Backbone.SHA256


def test_refuses_a_teacher_that_may_have_seen_the_test_part(
    two_sets: TwoSets, run: Path, tmp_path: Path
) -> None:
    told = refused(
        two_sets.listing, "--output", tmp_path / "student", *two_sets.descriptions, *BETTER,
        *SMALL, "--teacher", run / "net", "--seed", 1,
    )  # fmt: skip
    assert told.startswith("--teacher net-Shapes/card.json: Training.SplitSHA256: it was trained")
    assert not list(tmp_path.glob("student*"))


def test_refuses_a_teacher_that_does_not_fit(two_sets: TwoSets, run: Path, tmp_path: Path) -> None:
    models = tmp_path / "models"
    shutil.copytree(run, models)
    common = (two_sets.listing, "--output", tmp_path / "student", *BETTER, *SMALL)
    options = (*common, *two_sets.descriptions)
    assert "--teacher" in refused(*options, "--teacher", models / "net", "--distillation", 0)

    named = describe(
        tmp_path / "named.json", Set="Shapes", Classes={"bar": "B", "check": "C", "disc": "D"}
    )
    told = refused(
        *common, "--root", two_sets.root, "--description", named, "--teacher", models / "only"
    )
    assert told.startswith("--teacher only/card.json: Classes: expected those of the data")

    path = models / "net-Two" / CARD
    card = json.loads(path.read_text())
    path.write_text(json.dumps(card | {"Preprocessing": card["Preprocessing"] | {"Range": [0, 1]}}))
    first = models / "net-Shapes" / CARD
    card = json.loads(first.read_text())
    first.write_text(
        json.dumps(card | {"Preprocessing": card["Preprocessing"] | {"Range": [0, 1]}})
    )
    assert "another range, mean or std" in refused(*options, "--teacher", models / "net")
    first.write_text(json.dumps(card))
    (models / "backbones" / "net.onnx").write_bytes(b"0")
    assert "its SHA-256 is not the one on the card" in refused(
        *options, "--teacher", models / "net"
    )
    path.unlink()
    assert "net-Two/card.json: cannot be read" in refused(*options, "--teacher", models / "net")
    assert not list(tmp_path.glob("student*"))


def test_refuses_a_card_that_tells_of_no_split(run: Path, two_set_data: DataSet) -> None:
    sets = [replace(two_set_data.sets[0], classes=("Disc", "Bar", "Check"))]
    with pytest.raises(TrainingError, match="trained on another split"):
        trained_model(run / "only", sets, "0" * 64, "--grown-from")
