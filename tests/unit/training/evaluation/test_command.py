from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import typer
from sklearn.metrics import confusion_matrix, log_loss, roc_auc_score
from typer.testing import CliRunner

from preread.models.card import read_card
from preread.models.catalogue import Catalogue
from preread.models.ensemble import Ensemble
from preread.training.evaluation.command import evaluate
from preread.training.evaluation.document import Evaluation, ModelResult, read_evaluation
from preread.training.evaluation.temperature import logits_of, scaled
from preread.training.splits import SplitKind
from tests.unit.training.conftest import write_pictures
from tests.unit.training.evaluation.conftest import Drawn, MakeRun

ENGINE = "openvino"

app = typer.Typer()
app.command()(evaluate)


def run(*arguments: object) -> Any:
    engine = () if "--engine" in arguments else ("--engine", ENGINE)
    given = (*arguments, *engine, "--bootstrap", 50)
    return CliRunner().invoke(app, [str(argument) for argument in given])


def done(output: Path, *arguments: object) -> Evaluation:
    result = run(*arguments, "--output", output)
    assert result.exit_code == 0, result.output
    return read_evaluation(output / "evaluation.json")


def refused(output: Path, *arguments: object) -> str:
    """Give the one line that is told of wrong input."""
    result = run(*arguments, "--output", output)
    assert result.exit_code == 1, result.output
    assert "Traceback" not in result.output
    assert not (output / "evaluation.json").exists()
    line = " ".join(result.output[result.output.index("preread evaluate:") :].split())
    assert line.count("preread evaluate:") == 1
    return line


@pytest.fixture(scope="module")
def made(make_run: MakeRun, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_run(tmp_path_factory.mktemp("made") / "one", networks=("A", "B"))


@pytest.fixture(scope="module", autouse=True)
def cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """Keep converted networks out of the user's cache, and convert each once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module")
def output(made: Path, drawn: Drawn, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the models as they were made gave, on their own splits."""
    folder = tmp_path_factory.mktemp("output")
    done(folder, made, "--root", drawn.root)
    return folder


@pytest.fixture(scope="module")
def own(output: Path) -> Evaluation:
    return read_evaluation(output / "evaluation.json")


@pytest.fixture
def models(made: Path, tmp_path: Path) -> Path:
    """Two networks, each with a model for both sets."""
    return Path(shutil.copytree(made, tmp_path / "one"))


def model(evaluation: Evaluation, name: str, number: int = 0) -> ModelResult:
    [found] = [one for one in evaluation.Runs[number].Models if one.Name == name]
    return found


def asked(models: Path, name: str, drawn: Drawn, part: str) -> tuple[Any, Any, list[str]]:
    """Ask a model for a part of its set without anything of what is tested."""
    catalogue = Catalogue.load(models)
    column = catalogue[name].card.Name.removeprefix("Net ")
    with (models / "backbones" / f"{name[0]}.split.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["part"] == part and row[column]]
    where = {digest: number for number, digest in enumerate(drawn.data.digests)}
    images = [drawn.data.images[where[row["sha256"]]] for row in rows]
    batch = np.broadcast_to(np.stack(images), (len(rows), 3, *images[0].shape[1:]))
    answer = Ensemble(catalogue, ENGINE).predict(name, np.ascontiguousarray(batch))
    classes = catalogue[name].card.Classes
    labels = np.array([classes.index(row[column]) for row in rows])
    return answer, labels, [row["sha256"] for row in rows]


def test_measures_models_and_their_ensemble(made: Path, drawn: Drawn, own: Evaluation) -> None:
    models, found = made, own
    assert [one.Name for one in found.Runs[0].Models] == [
        "A-Shapes", "A-Two", "B-Shapes", "B-Two",
    ]  # fmt: skip
    rows = {}
    for name in ("A-Shapes", "B-Shapes", "A-Two", "B-Two"):
        answer, labels, _ = asked(models, name, drawn, "test")
        rows[name] = answer.probabilities
        figures = model(found, name).Figures
        guesses = rows[name].argmax(axis=1)
        assert figures.Images == len(labels)
        assert figures.ConfusionMatrix == tuple(
            tuple(row) for row in confusion_matrix(labels, guesses).tolist()
        )
        assert figures.MicroAccuracy == pytest.approx((guesses == labels).mean(), abs=1e-5)
        assert figures.LogLoss == pytest.approx(log_loss(labels, rows[name]), abs=1e-5)
        for label, name_of_class in enumerate(figures.Classes):
            area = roc_auc_score(labels == label, rows[name][:, label])
            told = figures.Classes[name_of_class]
            assert told.ROCAUC is not None
            assert abs(told.ROCAUC - area) < 1e-5
        threshold = read_card(models / name).OutOfDistribution
        assert threshold is not None
        assert figures.OutOfDistribution == pytest.approx(
            (answer.novelty > threshold.Threshold).mean(), abs=1e-5
        )
        assert set(figures.Intervals) >= {"MicroAccuracy", "LogLoss", "ROCAUC", "ECE"}
        assert model(found, name).Split is not None
    for ensemble in found.Runs[0].Ensembles:
        members = [f"{network}-{ensemble.Set}" for network in "AB"]
        assert ensemble.Members == dict.fromkeys(members, 0.5)
        _, labels, _ = asked(models, members[0], drawn, "test")
        mean = (rows[members[0]] + rows[members[1]]) / 2
        assert ensemble.Figures.LogLoss == pytest.approx(log_loss(labels, mean), abs=1e-5)
    split = model(found, "A-Two").Split
    assert split is not None
    assert (split.Kind, split.Groups, split.TestImagesInTraining) == ("random", None, 0)
    parts = split.TrainingImages + split.ValidationImages + split.TestImages
    assert parts == len(drawn.data.sets[1])
    assert len(model(found, "A-Two").History["random"]) == 3


def test_the_command_is_told_without_the_machine_s_paths(
    made: Path, output: Path, own: Evaluation
) -> None:
    assert own.Command.startswith("preread evaluate one --bootstrap 50 --engine openvino")
    assert "--root pictures" in own.Command
    for name in ("evaluation.json", "report.html"):
        assert str(made.parents[1]) not in (output / name).read_text()
    assert (output / "report.html").read_text().count("<figure><img") > 10


def test_one_model_of_one_set_and_the_other_engine(
    models: Path, drawn: Drawn, own: Evaluation, tmp_path: Path
) -> None:
    output = tmp_path / "out"
    arguments = (models / "A-Shapes", "--root", drawn.root, "--output", output, "--set", "Shapes")
    options = ("--engine", "torch", "--bootstrap", "0", "--no-pictures")
    result = CliRunner().invoke(app, [*map(str, arguments), *options])
    assert result.exit_code == 0, result.output
    assert "Shapes, A-Shapes: micro-accuracy 0." in result.output
    found = read_evaluation(output / "evaluation.json")
    assert (found.Engine, found.Runs[0].Ensembles) == ("torch", ())
    first, second = model(found, "A-Shapes").Figures, model(own, "A-Shapes").Figures
    assert first.ConfusionMatrix == second.ConfusionMatrix
    assert first.LogLoss == pytest.approx(second.LogLoss, abs=1e-3)
    assert first.Intervals == {}
    assert first.Mistakes
    assert "<figure>" in (output / "report.html").read_text()
    assert "<figure><img" not in (output / "report.html").read_text()


def test_the_source_may_be_told_apart_from_the_split(
    made: Path, drawn: Drawn, own: Evaluation, tmp_path: Path
) -> None:
    models = made
    listed = done(tmp_path / "listed", models, "--data", drawn.listing, "--root", drawn.root)
    assert listed.Source.Name == "all.csv"
    assert [run.Models for run in listed.Runs] == [run.Models for run in own.Runs]

    # A class folder, whose labels are its own: some are not those of the split.
    folder = done(tmp_path / "folder", models, "--data", drawn.root, "--set", "Shapes")
    _, labels, digests = asked(models, "A-Shapes", drawn, "test")
    kinds = dict(zip(drawn.data.digests, drawn.data.files, strict=True))
    true = [("bar", "check", "disc").index(kinds[digest].split("/")[0]) for digest in digests]
    assert true != labels.tolist()
    rows = model(folder, "A-Shapes").Figures.ConfusionMatrix
    assert [sum(row) for row in rows] == np.bincount(true).tolist()


def test_pixels_in_two_classes_of_the_source(
    models: Path, drawn: Drawn, own: Evaluation, tmp_path: Path
) -> None:
    """A split says what they are; without one they are not measured on."""
    folder = Path(shutil.copytree(drawn.root, tmp_path / "source"))
    shutil.copy(folder / "bar" / "001.png", folder / "zebra-001.png")
    listing = tmp_path / "source.csv"
    rows = [f"{line}\n" for line in drawn.listing.read_text().splitlines()]
    # Ahead of all others, so that it is not the last one that counts.
    rows.insert(1, "zebra-001.png,Disc,\n")
    listing.write_text("".join(rows))
    arguments = (models / "A-Shapes", "--data", listing, "--root", folder)
    found = done(tmp_path / "out", *arguments)
    assert model(found, "A-Shapes").Figures == model(own, "A-Shapes").Figures

    card = json.loads((models / "A-Shapes" / "card.json").read_text())
    card["Training"]["SplitSHA256"] = None
    edited(models / "A-Shapes", Training=card["Training"])
    rows = [row.rpartition(",")[0] + "\n" for row in rows]
    listing.write_text("".join(rows))
    elsewhere = model(done(tmp_path / "all", *arguments, "--part", "all"), "A-Shapes")
    assert (elsewhere.LeftOut.Contradictory, elsewhere.Figures.Images) == (2, 119)


@pytest.mark.parametrize("part", ["validation", "training"])
def test_other_parts(models: Path, drawn: Drawn, tmp_path: Path, part: str) -> None:
    found = done(tmp_path / "out", models / "A-Two", "--root", drawn.root, "--part", part)
    split = model(found, "A-Two").Split
    assert split is not None
    wanted = {"validation": split.ValidationImages, "training": split.TrainingImages}[part]
    assert model(found, "A-Two").Figures.Images == wanted


def test_rules_of_the_ensemble(models: Path, drawn: Drawn, tmp_path: Path) -> None:
    arguments = (models, "--root", drawn.root, "--set", "Shapes", "--ensemble")
    told = done(
        tmp_path / "told", *arguments, "weighted", "--weights", "A-Shapes=3",
        "--weights", "B-Shapes=1",
    )  # fmt: skip
    assert told.Runs[0].Ensembles[0].Members == {"A-Shapes": 0.75, "B-Shapes": 0.25}
    rows = [
        asked(models, name, drawn, "test")[0].probabilities for name in ("A-Shapes", "B-Shapes")
    ]
    _, labels, _ = asked(models, "A-Shapes", drawn, "test")
    assert told.Runs[0].Ensembles[0].Figures.LogLoss == pytest.approx(
        log_loss(labels, 0.75 * rows[0] + 0.25 * rows[1]), abs=1e-5
    )

    found = done(tmp_path / "found", *arguments, "weighted")
    losses = {}
    for name in ("A-Shapes", "B-Shapes"):
        answer, true, _ = asked(models, name, drawn, "validation")
        losses[name] = log_loss(true, answer.probabilities)
    inverse = sum(1 / loss for loss in losses.values())
    for name, weight in found.Runs[0].Ensembles[0].Members.items():
        assert weight == pytest.approx(1 / losses[name] / inverse, abs=1e-5)

    vote = done(tmp_path / "vote", *arguments, "vote").Runs[0].Ensembles[0]
    assert vote.Rule.value == "vote"
    assert vote.Figures.Images == told.Runs[0].Ensembles[0].Figures.Images


def test_several_runs_are_summarised(
    made: Path, make_run: MakeRun, drawn: Drawn, tmp_path: Path
) -> None:
    other = make_run(tmp_path / "two", seed=1, networks=("A", "B"))
    found = done(tmp_path / "out", made, other, "--root", drawn.root, "--set", "Shapes")
    assert [run.Name for run in found.Runs] == ["one", "two"]
    assert [(one.Name, one.Runs) for one in found.Summaries] == [
        ("A-Shapes", 2), ("B-Shapes", 2), ("ensemble", 2),
    ]  # fmt: skip
    [summary] = [one for one in found.Summaries if one.Name == "A-Shapes"]
    values = [model(found, "A-Shapes", number).Figures for number in (0, 1)]
    losses = [value.LogLoss for value in values]
    assert summary.Runs == 2
    assert summary.Mean["LogLoss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert summary.Spread["LogLoss"] == pytest.approx(np.std(losses, ddof=1), abs=1e-6)
    matrices = [np.array(value.ConfusionMatrix) for value in values]
    assert np.array_equal(summary.ConfusionMatrix, matrices[0] + matrices[1])
    # Each was measured on its own test part.
    assert model(found, "A-Shapes", 0).Split != model(found, "A-Shapes", 1).Split


def test_another_source_leaves_out_what_was_seen(
    models: Path, drawn: Drawn, tmp_path: Path
) -> None:
    other = write_pictures(tmp_path / "other", {"stripe": 9, "disc": 6}, seed=9)
    seen = sorted((drawn.root / "disc").iterdir())
    _, _, tested = asked(models, "A-Shapes", drawn, "test")
    kept = {drawn.data.files[drawn.data.digests.index(digest)] for digest in tested}
    for path in seen:
        shutil.copy(path, other / "disc" / f"old-{path.name}")
    found = done(
        tmp_path / "out", models / "A-Shapes", "--data", other, "--part", "all",
        "--map", "stripe=Check",
    )  # fmt: skip
    result = model(found, "A-Shapes")
    again = sum(f"disc/{path.name}" in kept for path in seen)
    assert result.LeftOut.Seen == len(seen) - again
    assert result.Figures.Images == 9 + 6 + again
    assert [sum(row) for row in result.Figures.ConfusionMatrix] == [0, 9, 6 + again]
    assert found.Source.Map == {"stripe": "Check"}
    assert result.Figures.Classes["Bar"].Recall is None

    less = done(
        tmp_path / "less", models / "A-Shapes", "--data", other, "--part", "all",
        "--map", "stripe=",
    )  # fmt: skip
    assert model(less, "A-Shapes").LeftOut.Unmapped == 9


def test_the_temperature_is_found_on_the_validation_part(
    models: Path, drawn: Drawn, own: Evaluation, tmp_path: Path
) -> None:
    before = own
    held_out, true, _ = asked(models, "A-Shapes", drawn, "validation")
    answer, labels, _ = asked(models, "A-Shapes", drawn, "test")
    options = ("--set", "Shapes", "--calibrate")
    found = done(tmp_path / "out", models, "--root", drawn.root, *options)
    card = read_card(models / "A-Shapes")
    assert card.Calibration is not None
    temperature = card.Calibration.Temperature
    assert temperature > 1.5  # the models were made too sure of themselves
    assert card.Calibration.Images == len(true)

    def loss(other: float) -> float:
        return float(log_loss(true, scaled(logits_of(held_out.probabilities), other)))

    assert card.Calibration.LogLossAfter == pytest.approx(loss(temperature), abs=1e-3)
    assert loss(temperature) < min(loss(temperature * 0.8), loss(temperature * 1.25))

    # The figures are those of the new temperature, in the document and the card.
    cooled = scaled(logits_of(answer.probabilities), temperature)
    figures = model(found, "A-Shapes").Figures
    assert figures.LogLoss == pytest.approx(log_loss(labels, cooled), abs=1e-5)
    assert figures.LogLoss < model(before, "A-Shapes").Figures.LogLoss
    assert figures.MicroAccuracy == model(before, "A-Shapes").Figures.MicroAccuracy
    assert card.Metrics[0].LogLoss == round(figures.LogLoss, 4)
    # Measured again with the card's temperature, they are the same; found again, so is that.
    arguments = (models / "A-Shapes", "--root", drawn.root)
    again = done(tmp_path / "again", *arguments)
    assert model(again, "A-Shapes").Figures.LogLoss == pytest.approx(figures.LogLoss, abs=1e-5)
    done(tmp_path / "twice", *arguments, "--calibrate")
    assert read_card(models / "A-Shapes").Calibration == card.Calibration


def test_cards_get_the_figures(
    models: Path, make_run: MakeRun, drawn: Drawn, tmp_path: Path
) -> None:
    found = done(tmp_path / "out", models / "A-Two", "--root", drawn.root, "--write-cards")
    card, figures = read_card(models / "A-Two"), model(found, "A-Two").Figures
    [entry] = card.Metrics
    assert (entry.Split, entry.ShippedWeights, entry.Runs) == ("random", True, 1)
    assert entry.MicroAccuracy == round(figures.MicroAccuracy, 4)
    assert entry.ConfusionMatrix == figures.ConfusionMatrix
    assert entry.Intervals["LogLoss"][0] == round(figures.Intervals["LogLoss"][0], 4)
    told = (entry.ROCAUC, entry.ECE)
    assert told == (round(figures.ROCAUC or 0, 4), round(figures.ECE, 4))

    other = make_run(tmp_path / "two", seed=1, networks=("A",))
    runs = (models / "A-Two", other / "A-Two")
    both = done(tmp_path / "both", *runs, "--root", drawn.root, "--write-cards")
    entries = read_card(models / "A-Two").Metrics
    assert [(one.ShippedWeights, one.Runs) for one in entries] == [(True, 1), (False, 2)]
    assert entries[0].model_dump() == entry.model_dump()
    [summary] = [one for one in both.Summaries if one.Name == "A-Two"]
    assert entries[1].MicroAccuracy == round(summary.Mean["MicroAccuracy"], 4)
    assert entries[1].Spread["MicroAccuracy"] == round(summary.Spread["MicroAccuracy"], 4)
    assert entries[1].TestImages == sum(map(sum, summary.ConfusionMatrix))
    # The other run's card tells of its own weights.
    theirs = read_card(other / "A-Two").Metrics[0]
    assert theirs.ShippedWeights
    assert theirs.LogLoss == round(model(both, "A-Two", 1).Figures.LogLoss, 4)


def test_a_grouped_split_is_told_as_such(make_run: MakeRun, drawn: Drawn, tmp_path: Path) -> None:
    models = make_run(tmp_path / "grouped", kind=SplitKind.GROUPED)
    found = done(tmp_path / "out", models, "--root", drawn.root)
    with (models / "backbones" / "Net.split.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    split = model(found, "Net-Shapes").Split
    assert split is not None
    assert split.Kind == "grouped"
    assert split.Groups == len({row["group"] for row in rows}) < len(rows)
    tested = {row["group"] for row in rows if row["part"] == "test"}
    assert model(found, "Net-Shapes").Figures.Groups == len(tested)


def edited(path: Path, **changes: Any) -> None:
    card = json.loads((path / "card.json").read_text())
    (path / "card.json").write_text(json.dumps(card | changes))


def wrong_models(models: Path) -> Iterator[tuple[str, str]]:
    """Break one thing after the other; give what must be told of it."""
    weights = models / "A-Shapes" / "weights.safetensors"
    kept = weights.read_bytes()
    weights.write_bytes(kept[:-1])
    yield "A-Shapes", r"A-Shapes/weights.safetensors: its SHA-256 is not the one on the card"
    weights.write_bytes(kept)

    split = models / "backbones" / "A.split.csv"
    listed = split.read_text()
    split.write_text(listed.replace(",test", ",training", 1))
    yield "A-Shapes", r"A.split.csv: its SHA-256 is not the one on the card"
    split.unlink()
    yield "A-Shapes", r"A.split.csv: cannot be read \(No such file or directory\)"
    split.write_text(listed)

    history = models / "A-Shapes" / "history.json"
    history.write_text('{"random": [{"epoch": 0, "training_loss": 1}]}')
    yield "A-Shapes", r"A-Shapes/history.json: random.0.epoch: Input should be greater"
    history.unlink()

    edited(models / "A-Shapes", Classes=["Bar", "Check", "Ball"])
    yield "A-Shapes", r"columns of labels \(Shapes, Two\) none has the classes of A-Shapes \(Bar"
    edited(models / "A-Shapes", Colour="red")
    yield "A-Shapes", r"A-Shapes/card.json: Colour: is not a key of a model's card"
    (models / "A-Shapes" / "card.json").unlink()
    yield "A-Shapes", r"A-Shapes: no model in it; expected a model's folder, with card.json"


def test_wrong_models_get_one_line(models: Path, drawn: Drawn, tmp_path: Path) -> None:
    for name, message in wrong_models(models):
        line = refused(tmp_path / "out", models / name, "--root", drawn.root)
        assert re.search(message, line), line


def test_wrong_options_get_one_line(models: Path, drawn: Drawn, tmp_path: Path) -> None:
    root = ("--root", drawn.root)
    renamed = Path(shutil.copytree(drawn.root, tmp_path / "renamed"))
    (renamed / "bar").rename(renamed / "rod")
    for arguments, message in (
        ((models,), r"--root: expected the folder that the files of backbones/A.split.csv"),
        ((models, *root, "--set", "Three"), r"--set Three: no model of it; there are models of: S"),
        ((models, *root, "--part", "all"), r"--part all: needs --data"),
        ((models, *root, "--weights", "A=1"), r"--weights: only for --ensemble weighted"),
        (
            (models, *root, "--ensemble", "weighted", "--weights", "A-Two=1"),
            r"--weights: A-Shapes: has no weight; expected one for each model",
        ),
        (
            (models, *root, "--ensemble", "weighted", "--weights", "A-Two=much"),
            r"--weights: 'much' is no number",
        ),
        ((models, *root, "--map", "Bar"), r"--map: 'Bar'; expected NAME=VALUE"),
        ((models, models, *root), r"RUN: expected each folder once"),
        (
            (models, *root, "--part", "training", "--write-cards"),
            r"--write-cards, --calibrate: cards tell of --part test alone",
        ),
        *(
            (
                (models, *root, option, "--map", "Disc="),
                r"--write-cards, --calibrate: cards tell of the models as they are; leave out",
            )
            for option in ("--write-cards", "--calibrate")
        ),
        ((models, *root, "--map", "Ball=Bar"), r"--map: 'Ball' is no label of the data"),
        ((models / "A-Two", "--data", renamed), r"label 'rod' of the data is none of the cla"),
    ):
        line = refused(tmp_path / "out", *arguments)
        assert re.search(message, line), line


def test_no_image_and_one_image(models: Path, drawn: Drawn, tmp_path: Path) -> None:
    """Too few images to measure on, and the fewest."""
    one = tmp_path / "some"
    shutil.copytree(drawn.root, one)
    _, _, tested = asked(models, "A-Shapes", drawn, "test")
    files = dict(zip(drawn.data.digests, drawn.data.files, strict=True))
    (one / files[tested[0]]).unlink()
    line = refused(tmp_path / "out", models / "A-Shapes", "--data", one)
    assert re.search(r"A.split.csv: 1 of 36 images are not in some, by the SHA-256", line), line

    few = tmp_path / "few"
    for kind in ("bar", "check"):
        (few / kind).mkdir(parents=True)
    seen = [files[row] for row in asked(models, "A-Shapes", drawn, "training")[2]]
    for kind in ("bar", "check"):
        shutil.copy(one / next(name for name in seen if name.startswith(kind)), few / kind)
    arguments = (models / "A-Shapes", "--data", few, "--part", "all")
    line = refused(tmp_path / "out", *arguments)
    assert "no image of the data for A-Shapes is left to measure on (2 seen in training" in line

    write_pictures(few, {"check": 1}, seed=77)
    figures = model(done(tmp_path / "out", *arguments), "A-Shapes").Figures
    assert (figures.Images, figures.ROCAUC, figures.Intervals) == (1, None, {})


def test_no_validation_part(make_run: MakeRun, drawn: Drawn, tmp_path: Path) -> None:
    models = make_run(tmp_path / "models", validation=0)
    line = refused(tmp_path / "out", models, "--root", drawn.root, "--calibrate")
    assert "--calibrate: Net-Shapes has no validation part in its split" in line
    assert read_card(models / "Net-Shapes").Calibration is None


def test_a_model_without_a_split(models: Path, drawn: Drawn, tmp_path: Path) -> None:
    card = json.loads((models / "A-Shapes" / "card.json").read_text())
    card["Training"]["SplitSHA256"] = None
    edited(models / "A-Shapes", Training=card["Training"])
    line = refused(tmp_path / "out", models / "A-Shapes", "--root", drawn.root)
    assert "A-Shapes: its card names no split (Training.SplitSHA256)" in line
    found = done(tmp_path / "all", models / "A-Shapes", "--data", drawn.root, "--part", "all")
    assert model(found, "A-Shapes").Split is None
    assert "nothing shows that they have not seen" in " ".join(
        (tmp_path / "all" / "report.html").read_text().split()
    )


def test_a_split_that_is_not_grouped_as_the_card_says(
    models: Path, drawn: Drawn, tmp_path: Path
) -> None:
    done(tmp_path / "first", models / "A-Two", "--root", drawn.root, "--write-cards")
    card = json.loads((models / "A-Two" / "card.json").read_text())
    card["Metrics"][0]["Split"] = "grouped"
    edited(models / "A-Two", Metrics=card["Metrics"])
    # Every image of the random split is a group of its own, which contradicts nothing.
    found = done(tmp_path / "second", models / "A-Two", "--root", drawn.root)
    assert model(found, "A-Two").Split is not None

    split = models / "backbones" / "A.split.csv"
    lines = split.read_text().splitlines()
    cells = [line.split(",") for line in lines]
    one = next(row for row in cells if row[-1] == "training")
    other = next(row for row in cells if row[-1] == "test")
    other[-2] = one[-2]
    split.write_text("\n".join(",".join(row) for row in cells) + "\n")
    from preread.training.split_file import split_digest

    card["Training"]["SplitSHA256"] = split_digest(split)
    edited(models / "A-Two", Training=card["Training"])
    line = refused(tmp_path / "out", models / "A-Two", "--root", drawn.root)
    assert re.search(r"group \d+ is in the \w+ and the \w+ part, so that the split is not", line)
