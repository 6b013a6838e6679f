from __future__ import annotations

import csv
import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.numpy
import torch
import typer
from PIL import Image
from typer.testing import CliRunner

import preread
from preread.models.architectures import build, without_head
from preread.models.card import ArchitectureName, read_card
from preread.models.loading import load_backbone, read_own
from preread.models.model import Model
from preread.models.weights import weights_bytes
from preread.training import cards, command, fitting, pretrained, training
from preread.training.cards import _NO_HELD_OUT
from preread.training.description import Description, read_description
from preread.training.errors import TrainingError
from preread.training.evaluation.command import evaluate
from preread.training.evaluation.document import read_evaluation
from preread.training.plan import PAPER, PRESETS, RECOMMENDED, Optimizer, Precision, Transfer
from preread.training.request import Request
from preread.training.splits import SplitKind
from tests.unit.training.conftest import (
    TwoSets,
    describe,
    picture,
    refused,
    run_train,
    told_of,
    trained,
    write_pictures,
)

SMALL = ("--size", 32, "--batch-size", 16, "--threads", 1)


@pytest.fixture(scope="module")
def few(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pictures(
        tmp_path_factory.mktemp("few") / "pictures", {"bar": 8, "check": 8, "disc": 8}
    )


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Request]:
    """Give what a command line asks for, without doing it."""

    class Asked(Exception):
        pass

    def stop(request: Request, progress: Any) -> None:
        raise Asked(request)

    monkeypatch.setattr(training, "train", stop)

    def ask(*arguments: object) -> Request:
        done = run_train(*arguments)
        assert isinstance(done.exception, Asked), done.output
        request = done.exception.args[0]
        assert isinstance(request, Request)
        return request

    return ask


@pytest.mark.parametrize(
    ("architecture", "side"),
    [("MobileNetV2", 224), ("InceptionV3", 299), ("ResNet50V2", 224), ("ResNet101V2", 224)],
)
def test_the_defaults_are_the_papers(
    architecture: str, side: int, few: Path, description: Path, asked: Callable[..., Request]
) -> None:
    request = asked(
        few, "--output", "out", "--description", description, "--architecture", architecture
    )
    assert request.plan == PAPER.plan
    assert (request.test, request.validation, request.kind) == (0.3, 0.0, SplitKind.RANDOM)
    assert request.size == side
    assert request.preprocessing.size == (side, side)
    assert request.device == torch.device("cpu")


def test_a_gpu_computes_in_bfloat16_unless_told_otherwise(
    few: Path,
    description: Path,
    asked: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(command, "device_named", lambda _name: torch.device("cuda"))
    common = (few, "--output", "out", "--description", description)
    assert asked(*common).plan == replace(PAPER.plan, precision=Precision.BFLOAT16)
    assert asked(*common, "--precision", "float32").plan == PAPER.plan


def test_the_recommended_settings_may_be_asked_for(
    few: Path, description: Path, asked: Callable[..., Request]
) -> None:
    request = asked(few, "--output", "out", "--description", description, "--preset", "recommended")
    assert request.plan == RECOMMENDED.plan
    assert request.size == RECOMMENDED.size
    assert (request.kind, request.validation) == (SplitKind.GROUPED, RECOMMENDED.validation)


def test_options_override_a_preset(
    few: Path, description: Path, asked: Callable[..., Request]
) -> None:
    request = asked(
        few, "--output", "out", "--description", description, "--preset", "recommended",
        "--size", 48, "--epochs", 7, "--patience", 3, "--batch-size", 9, "--learning-rate", 0.5,
        "--weight-decay", 0.0, "--optimizer", "sgd", "--transfer", "feature-extraction",
        "--frozen", 4, "--no-probing", "--split", "random", "--test", 0.25, "--validation", 0.0,
        "--no-balanced", "--augmentation", 0.0, "--smoothing", 0.0, "--averaging", 0.0,
        "--distillation", 0.0, "--precision", "bfloat16", "--keep", "int8", "--seed", 11,
    )  # fmt: skip
    plan = request.plan
    assert (plan.epochs, plan.patience, plan.batch_size, plan.learning_rate) == (7, 3, 9, 0.5)
    assert (plan.optimizer, plan.transfer) == (Optimizer.SGD, Transfer.FEATURE_EXTRACTION)
    assert (plan.frozen, plan.probing, plan.balanced) == (4, False, False)
    # A zero is an answer too.
    assert (plan.weight_decay, plan.augmentation, plan.smoothing) == (0, 0, 0)
    assert (plan.averaging, plan.distillation) == (0, 0)
    assert (plan.precision, plan.seed) == (Precision.BFLOAT16, 11)
    assert (request.size, request.test, request.validation) == (48, 0.25, 0)
    assert (request.kind, request.kept) == (SplitKind.RANDOM, "int8")


def test_the_cards_command_names_no_place(
    few: Path, description: Path, tmp_path: Path, asked: Callable[..., Request]
) -> None:
    weights = tmp_path / "start.safetensors"
    weights.write_bytes(b"1")
    request = asked(
        few, "--output", tmp_path / "models" / "Net", "--description", description, "--root", few,
        "--pretrained", weights, "--teacher", tmp_path / "t" / "Teacher", "--checkpoints",
        tmp_path / "c", "--grown-from", tmp_path / "g" / "Grown", "--epochs", 3, "--no-balanced",
        "--threads", 1,
    )  # fmt: skip
    words = request.command.split()
    assert words[:3] == ["preread", "train", "pictures"]
    for pair in (
        "--output Net", "--pretrained start.safetensors", "--teacher Teacher", "--epochs 3",
        "--grown-from Grown", f"--description {description.name}", "--preset paper", "--test 0.3",
        "--architecture MobileNetV2", "--seed 0",
    ):  # fmt: skip
        assert f" {pair} " in f"{request.command} "
    assert "--no-balanced" in words
    assert "/" not in request.command
    for left in ("--root", "--checkpoints", "--threads", "--epochs None", "--smoothing"):
        assert left not in request.command


def test_a_folder_may_be_called_by_a_dot(
    few: Path,
    description: Path,
    tmp_path: Path,
    asked: Callable[..., Request],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    (tmp_path / "Net").mkdir()
    monkeypatch.chdir(tmp_path / "Net")
    request = asked(few, "--output", ".", "--description", description, "--teacher", ".")
    assert request.models == ("Net",)
    assert request.teacher is not None
    assert request.teacher.name == "Net"
    assert "--output Net" in request.command
    monkeypatch.chdir(few)
    assert "train pictures " in asked(".", "--output", "o", "--description", description).command


def test_the_papers_way_runs_and_tells_how_far_it_is(
    few: Path, description: Path, tmp_path: Path
) -> None:
    output = tmp_path / "models" / "Shapes"
    done = trained(few, "--output", output, "--description", description, "--epochs", 2, *SMALL)
    for told in (
        "reading images", "24/24", "epoch 1: training loss", "epoch 2: training loss", "2/2",
        "class, test part of the random split: micro-accuracy", "one model written:",
    ):  # fmt: skip
        assert told in done.output
    card = read_card(output)
    (metrics,) = card.Metrics
    assert metrics.Split == "random"
    assert (metrics.TrainingImages, metrics.ValidationImages) == (24 - metrics.TestImages, 0)
    assert (metrics.TestImages, metrics.Seed) == (7, 0)
    assert metrics.BestEpoch == card.Training.Epochs == 2
    assert card.Training.Optimizer.startswith("plain stochastic gradient descent at one rate")
    assert (card.Training.ClassBalance, card.Training.Augmentation) == ("none", "none")
    assert (card.Training.LearningRate, card.Training.Precision) == (0.01, "float32")
    # Nothing was held out, so nothing is claimed.
    assert card.Calibration is None
    assert card.OutOfDistribution is None
    assert _NO_HELD_OUT in card.Limits


def test_a_listed_split_is_taken_and_the_model_measured_on_it(
    two_sets: TwoSets, tmp_path: Path
) -> None:
    rows = [line.split(",") for line in two_sets.listing.read_text().splitlines()[1:]]
    parts = ["test", "validation", *["training"] * 4] * 10
    # Twins in one group make it a grouped split, whatever the preset's kind is.
    lines = [
        f"{file},{shape},{number // 2 if number < 2 else number},{part}"
        for number, ((file, shape, _), part) in enumerate(
            zip(rows, ["test", *parts[:59]], strict=True)
        )
    ]
    listing = tmp_path / "split.csv"
    listing.write_text("\n".join(["file,Shapes,group,part", *lines]) + "\n")
    output = tmp_path / "Net"
    done = trained(
        listing, "--root", two_sets.root, "--output", output, "--description",
        two_sets.descriptions[1], "--epochs", 1, *SMALL,
    )  # fmt: skip
    assert "Shapes, test part of the grouped split:" in done.output
    (metrics,) = read_card(output).Metrics
    assert (metrics.Split, metrics.Groups) == ("grouped", 59)
    assert metrics.TestImages == sum(line.endswith(",test") for line in lines)
    assert metrics.ValidationImages == sum(line.endswith(",validation") for line in lines)
    # Nothing tells what seed, if any, drew it.
    assert metrics.Seed is None
    # What the listing lacks for an evaluation is added: digests, and the names of classes.
    with (output / "split.csv").open(newline="") as file:
        kept = list(csv.DictReader(file))
    assert list(kept[0]) == ["file", "Shapes", "sha256", "group", "part"]
    assert [
        ",".join((row["file"], row["Shapes"].lower(), row["group"], row["part"])) for row in kept
    ] == lines
    app = typer.Typer()
    app.command()(evaluate)
    given = (
        output, "--root", two_sets.root, "--output", tmp_path / "out", "--engine", "torch",
        "--bootstrap", 0,
    )  # fmt: skip
    measured = CliRunner().invoke(app, list(map(str, given)))
    assert measured.exit_code == 0, measured.output
    [model] = read_evaluation(tmp_path / "out" / "evaluation.json").Runs[0].Models
    assert model.Figures.ConfusionMatrix == metrics.ConfusionMatrix
    assert model.Split is not None
    assert (model.Split.Groups, model.Split.Seed) == (59, None)


def test_what_fails_after_the_fit_replaces_nothing(
    two_sets: TwoSets, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    common = (
        two_sets.listing, *two_sets.descriptions, "--output", tmp_path / "m" / "Net", "--epochs", 1,
        "--preset", "recommended", "--split", "random", *SMALL,
    )  # fmt: skip
    trained(*common)
    before = {path: path.read_bytes() for path in sorted((tmp_path / "m").glob("[!.]*/*"))}
    assert len(before) == 8

    def fail(request: Request, told: Description, *rest: Any) -> Any:
        if told.Set == "Two":
            raise TrainingError("no card")
        return cards.card_of(request, told, *rest)

    monkeypatch.setattr(training, "card_of", fail)
    assert refused(*common, "--seed", 1, "--checkpoints", tmp_path / "state") == "no card"
    assert before == {path: path.read_bytes() for path in sorted((tmp_path / "m").glob("[!.]*/*"))}


def test_starts_from_weights_for_other_classes(
    few: Path, description: Path, tmp_path: Path
) -> None:
    weights = tmp_path / "start.safetensors"
    network = build(ArchitectureName.MOBILENET_V2, 7)
    weights.write_bytes(weights_bytes(network))
    told = describe(tmp_path / "told.json", InitialWeights="drawn by a seed")
    output = tmp_path / "Shapes"
    arguments = (few, "--output", output, "--description", told, "--epochs", 1, *SMALL)
    trained(
        *arguments, "--pretrained", weights, "--transfer", "feature-extraction", "--keep",
        "float32",
    )  # fmt: skip
    card = read_card(output)
    assert card.Training.InitialWeights == "drawn by a seed"
    assert card.Training.InitialWeightsSHA256 is not None
    assert card.Training.Transfer == "feature-extraction"
    # All but the last layer is as it was: of batch normalisation, which was folded, the function.
    model = Model(output.name, card, output)
    images = torch.rand(2, 3, 64, 64)
    expected = without_head(network, ArchitectureName.MOBILENET_V2).eval()
    with torch.inference_mode():
        found, given = load_backbone(model)(images), expected(images)
    assert float((found - given).abs().max()) <= 1e-4 * float(given.abs().max())
    assert read_own(model).head["classifier.1.weight"].shape == (3, 1280)

    # A state that started from other weights is not gone on from.
    assert "Shapes.pt: from other images, options or weights" in refused(*arguments)


def test_a_last_layer_is_probed_where_there_are_features_to_probe(
    few: Path, description: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    probed: list[object] = []
    monkeypatch.setattr(fitting, "fit_last_layer", lambda *what: probed.append(what))
    common = (few, "--description", description, "--epochs", 1, *SMALL, "--probing")
    trained(*common, "--output", tmp_path / "m" / "Random", "--keep", "float32")
    assert not probed
    weights = tmp_path / "m" / "Random" / "model.onnx"
    trained(*common, "--output", tmp_path / "m" / "Pretrained", "--pretrained", weights)
    assert len(probed) == 1


def test_help_waits_for_no_network() -> None:
    program = (
        "import sys\n"
        "from preread.cli import main\n"
        "try:\n    main()\n"
        "except SystemExit as end:\n"
        "    heavy = {'torch', 'torchvision', 'timm', 'openvino', 'nncf'} & set(sys.modules)\n"
        "    sys.exit(end.code or ', '.join(heavy) or 0)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, "train", "--help"],
        env=os.environ | {"PYTHONPATH": str(Path(preread.__file__).parents[1]), "COLUMNS": "200"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert "--learning-rate" in done.stdout


def throw(error: Exception) -> None:
    raise error


class TestWrongInput:
    """Each gets one line, and nothing is written."""

    @pytest.fixture
    def output(self, tmp_path: Path) -> Path:
        return tmp_path / "models" / "Net"

    @pytest.fixture
    def refuse(self, description: Path, output: Path) -> Callable[..., str]:
        def refuse(data: Path, *more: object, told: object = None) -> str:
            line = refused(
                data, "--output", output, "--description", told or description, *SMALL,
                "--epochs", 1, *more,
            )  # fmt: skip
            assert not output.exists()
            return line

        return refuse

    def test_an_empty_class(self, pictures: Path, refuse: Callable[..., str]) -> None:
        for path in (pictures / "disc").iterdir():
            path.unlink()
        assert refuse(pictures) == "pictures/disc: no images in it"

    def test_one_image(self, pictures: Path, refuse: Callable[..., str], tmp_path: Path) -> None:
        for path in sorted((pictures / "disc").iterdir())[1:]:
            path.unlink()
        line = refuse(pictures)
        assert line.startswith("class Disc has no image in the ")
        assert "add images or choose other shares" in line
        write_pictures(tmp_path / "one", {"disc": 1})
        told = describe(tmp_path / "one.json", Classes={})
        assert "two classes or more" in refuse(tmp_path / "one", told=told)

    def test_no_held_out_image_of_a_class(self, pictures: Path, refuse: Callable[..., str]) -> None:
        for path in sorted((pictures / "disc").iterdir())[2:]:
            path.unlink()
        line = refuse(pictures, "--validation", 0.1)
        assert line.startswith("class Disc has no image in the ")

    def test_a_broken_file(self, pictures: Path, refuse: Callable[..., str]) -> None:
        path = pictures / "bar" / "003.png"
        path.write_bytes(path.read_bytes()[:100])
        assert refuse(pictures).startswith("bar/003.png: ")
        path.write_bytes(b"no picture")
        assert refuse(pictures).startswith("bar/003.png: ")

    def test_pictures_of_mixed_sizes_are_fine(
        self, few: Path, description: Path, tmp_path: Path
    ) -> None:
        """They are brought to the network's size: no wrong input at all."""
        folder = write_pictures(tmp_path / "mixed", dict.fromkeys(("bar", "check", "disc"), 4))
        drawn = Image.fromarray(picture("disc", np.random.default_rng(9)))
        drawn.resize((31, 57)).save(folder / "disc" / "small.png")
        drawn.rotate(90).convert("RGB").resize((200, 90)).save(folder / "disc" / "wide.png")
        trained(
            folder, "--output", tmp_path / "m" / "Net", "--description", description, *SMALL,
            "--epochs", 1,
        )  # fmt: skip
        assert sum(read_card(tmp_path / "m" / "Net").Dataset.ImagesPerClass.values()) == 14

    def test_classes_that_are_not_the_cards(
        self, few: Path, two_sets: TwoSets, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        more = {"disc": "Disc", "bar": "Bar", "check": "Check", "ring": "Ring"}
        told = describe(tmp_path / "more.json", Classes=more)
        line = "pictures: class folder 'ring' is only in one of data and card"
        assert refuse(few, told=told) == line
        told = describe(tmp_path / "fewer.json", Classes={"disc": "Disc", "bar": "Bar"})
        line = "pictures: class folder 'check' is only in one of data and card"
        assert refuse(few, told=told) == line
        told = describe(tmp_path / "listed.json", Classes=more, Set="Shapes")
        line = "sets.csv: Shapes: class 'ring' is only in one of data and card"
        assert refuse(two_sets.listing, "--root", two_sets.root, told=told) == line

    def test_sets_that_are_not_the_datas(
        self, two_sets: TwoSets, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        root = ("--root", two_sets.root)
        line = "sets.csv: no column of labels {!r}; has Shapes, Two"
        told = describe(tmp_path / "three.json", Set="Three")
        assert refuse(two_sets.listing, *root, told=told) == line.format("Three")
        # A description that names no set means the column `class`, whatever else there is.
        told = describe(tmp_path / "none.json")
        assert refuse(two_sets.listing, *root, told=told) == line.format("class")
        told = describe(tmp_path / "one.json", Set="Shapes")
        line = "--description: two have the same Set"
        assert refuse(two_sets.listing, *root, "--description", told, told=told) == line

    def test_several_descriptions_of_a_folder(
        self, few: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        other = describe(tmp_path / "other.json", Set="Other")
        line = "pictures: a folder is one set; describe several in a CSV"
        assert refuse(few, "--description", other) == line

    def test_several_windows(
        self, two_sets: TwoSets, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        window = {"Center": 40, "Width": 400}
        told = describe(tmp_path / "one.json", Set="Shapes", Window=window)
        line = "Window: expected the same in the descriptions of all sets"
        options = (*two_sets.descriptions[2:], "--root", two_sets.root)
        assert refuse(two_sets.listing, *options, told=told) == line

    def test_a_model_that_nobody_would_serve(
        self, few: Path, two_sets: TwoSets, description: Path, tmp_path: Path
    ) -> None:
        for name in ("my model", ".hidden", "x" * 65):
            told = refused(few, "--output", tmp_path / name, "--description", description)
            assert told.startswith(f"--output: a model called {name!r} would not be served")
        other = describe(tmp_path / "other.json", Set="CT/Scan")
        told = refused(
            two_sets.listing, "--output", tmp_path / "Net", "--description", other, "--description",
            description,
        )  # fmt: skip
        assert told.startswith("--output: a model called 'Net-CT/Scan' would not be served")

    def test_a_size_that_is_too_small(self, few: Path, refuse: Callable[..., str]) -> None:
        line = refuse(few, "--architecture", "InceptionV3")
        assert line == "--size 32: InceptionV3 needs 75 or more"

    def test_a_class_that_no_card_can_name(
        self, few: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        told = describe(tmp_path / "plain.json", Classes={})
        told_set = describe(tmp_path / "set.json", Classes={}, Set="Kind")
        for name in ("bar: thick", "{bar}", " bar", "b" * 41):
            folder = write_pictures(tmp_path / "pictures", {name: 8, "check": 8})
            line = refuse(folder, told=told)
            assert line.startswith(f"class {name!r}: expected a name of 40 characters at most, ")
            assert line.endswith("give it one with the description's Classes")
            (folder / name).rename(folder / "bar")
            names = {"bar": "b\\ar", "check": "check"}
            rows = [f"{path.relative_to(folder)}" for path in sorted(folder.glob("*/*.png"))]
            listing = tmp_path / "listing.csv"
            listing.write_text(
                "\n".join(["file,Kind", *(f"{row},{names[row.split('/')[0]]}" for row in rows)])
            )
            line = refuse(listing, "--root", folder, told=told_set)
            assert line.startswith("class 'b\\\\ar' of Kind: expected a name")
            shutil.rmtree(folder)
        one = describe(tmp_path / "one.json", Classes=dict.fromkeys(("bar", "check", "disc"), "A"))
        assert refuse(few, told=one) == "classes: expected 2 to 1000, found 1"

    def test_a_version_that_no_card_can_have(
        self, few: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        told = describe(tmp_path / "odd.json", Version="1.0")
        assert refuse(few, told=told).startswith("odd.json: Version: String should match pattern")

    def test_too_few_images_to_tell_others_by(
        self, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        folder = write_pictures(tmp_path / "some", dict.fromkeys(("bar", "check", "disc"), 4))
        line = refuse(folder, "--validation", 0.3)
        assert line.startswith("5 images in the training part: expected 8 or more, to tell images")

    def test_a_key_of_the_description(
        self, few: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        path = tmp_path / "odd.json"
        path.write_text(json.dumps(told_of(Colour=1)))
        assert refuse(few, told=path) == "odd.json: Colour: is not a key of a model's description"
        told = told_of()
        del told["AppliesTo"]
        path.write_text(json.dumps(told))
        assert refuse(few, told=path) == "odd.json: AppliesTo: Field required"

    def test_two_beginnings(self, few: Path, refuse: Callable[..., str], tmp_path: Path) -> None:
        weights = tmp_path / "w.safetensors"
        weights.write_bytes(b"1")
        line = refuse(few, "--pretrained", weights, "--grown-from", tmp_path / "g")
        assert line == "--pretrained and --grown-from: a network starts from one of them"

    def test_features_of_nothing(self, few: Path, refuse: Callable[..., str]) -> None:
        line = refuse(few, "--transfer", "feature-extraction")
        assert line.startswith("--transfer feature-extraction fits the last layer alone: name what")

    def test_a_teacher_for_a_last_layer(
        self, few: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        weights = tmp_path / "w.safetensors"
        weights.write_bytes(b"1")
        line = refuse(
            few, "--transfer", "feature-extraction", "--pretrained", weights, "--teacher", "t"
        )
        assert line == "--teacher: for --transfer fine-tuning alone"

    def test_a_teacher_without_a_say(self, few: Path, refuse: Callable[..., str]) -> None:
        assert refuse(few, "--teacher", "t").startswith("--teacher: has no say with --distillation")

    def test_weights_that_are_none(
        self, few: Path, description: Path, refuse: Callable[..., str], tmp_path: Path
    ) -> None:
        wrong = tmp_path / "wrong.safetensors"
        safetensors.numpy.save_file({"a": np.zeros(3, dtype=np.float32)}, wrong)
        assert "wrong.safetensors: " in refuse(few, "--pretrained", wrong)
        assert "not a safetensors file" in refuse(few, "--pretrained", description)
        line = refuse(few, "--pretrained", tmp_path / "none")
        assert line == "--pretrained none: no such file; expected one, or 'library'"
        resnet = tmp_path / "resnet.safetensors"
        safetensors.numpy.save_file({"stem.conv.weight": np.zeros(3, dtype=np.float32)}, resnet)
        assert "resnet.safetensors: " in refuse(few, "--pretrained", resnet)

    def test_the_library_without_a_network(
        self,
        few: Path,
        refuse: Callable[..., str],
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        def fetch(architecture: ArchitectureName) -> Any:
            raise ConnectionError(f"https://somewhere/{architecture}")

        monkeypatch.setattr(pretrained, "user_cache", lambda: tmp_path / "cache")
        monkeypatch.setattr(pretrained, "_fetch", fetch)
        line = "--pretrained library: the weights of MobileNetV2 cannot be fetched"
        assert refuse(few, "--pretrained", "library") == (
            f"{line} (ConnectionError); give a file instead"
        )

    @pytest.mark.parametrize("device", ["cuda:99", "meta", "nonsense"])
    def test_a_device_that_is_not_there(
        self, device: str, few: Path, refuse: Callable[..., str]
    ) -> None:
        line = refuse(few, "--device", device)
        assert line == f"--device {device}: not usable on this machine; try cpu"

    def test_a_rate_at_which_the_loss_explodes(
        self, few: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        wild = replace(PAPER, plan=replace(PAPER.plan, learning_rate=1e35))
        monkeypatch.setitem(PRESETS, "paper", wild)
        line = refuse(few, "--epochs", 3)
        assert line == "epoch 2: the loss is not finite; lower the learning rate"

    def test_a_place_that_cannot_be_written(
        self, few: Path, description: Path, tmp_path: Path
    ) -> None:
        (tmp_path / "file").write_text("1")
        told = refused(
            few, "--output", tmp_path / "file" / "Net", "--description", description, *SMALL
        )
        assert told == ".Net.training: Not a directory"

    @pytest.mark.parametrize(
        "fail",
        [
            lambda: np.empty(2**60, dtype=np.uint8),
            lambda: torch.empty(2**60, dtype=torch.uint8),
            lambda: throw(MemoryError()),
            lambda: throw(torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2 GiB.")),
            lambda: throw(RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED")),
            lambda: throw(OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))),
        ],
        ids=["numpy", "torch", "Python", "GPU", "cuDNN", "system"],
    )
    def test_more_than_there_is_memory_for(
        self,
        fail: Callable[[], object],
        few: Path,
        refuse: Callable[..., str],
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        monkeypatch.setattr(training, "keep_split", lambda *_given: fail())
        assert refuse(few) == "not enough memory; lower --batch-size or --size"

    def test_a_fault_of_our_own_is_not_hidden(
        self, few: Path, description: Path, output: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        fault = RuntimeError("expected scalar type Float")
        monkeypatch.setattr(training, "keep_split", lambda *_given: throw(fault))
        done = run_train(few, "--output", output, "--description", description, *SMALL)
        assert done.exception is fault

    def test_8_bits_without_nncf(
        self, few: Path, refuse: Callable[..., str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("importlib.util.find_spec", lambda _name: None)
        assert refuse(few, "--keep", "int8") == (
            "rounding to 8 bits needs NNCF and ONNX Runtime: install preread with its extra `train`"
        )

    @pytest.mark.parametrize(
        "option",
        [("--epochs", 0), ("--size", 31), ("--test", 1.0), ("--seed", -1), ("--keep", "float8")],
    )
    def test_an_option_out_of_its_range(
        self, option: tuple[str, object], few: Path, description: Path
    ) -> None:
        done = run_train(few, "--output", "out", "--description", description, *option)
        assert done.exit_code == 2
        assert option[0] in done.output


def test_a_description_needs_its_keys(description: Path) -> None:
    told = json.loads(description.read_text())
    for key in ("Limits", "License", "Attribution", "AppliesTo", "Dataset"):
        description.write_text(json.dumps({k: v for k, v in told.items() if k != key}))
        with pytest.raises(TrainingError, match=rf"^description\.json: {key}: Field required"):
            read_description(description)
    description.write_text(json.dumps(told_of(Name=None)))
    assert read_description(description).Name is None  # the architecture's then
    description.write_text("{")
    with pytest.raises(TrainingError, match=r"^description\.json: "):
        read_description(description)
