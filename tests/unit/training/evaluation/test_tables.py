from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from preread.models.card import CARD, NETWORK, WEIGHTS, card_text, read_card
from preread.models.catalogue import Catalogue
from preread.training.evaluation.cards import metrics_of
from preread.training.evaluation.document import (
    Evaluation,
    Source,
    read_evaluation,
    write_evaluation,
)
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.report import report
from preread.training.evaluation.tables import main, table, with_table
from tests.unit.models.conftest import make_card
from tests.unit.training.evaluation.measured import CLASSES, evaluation, run

ROOT = Path(__file__).parents[4]
SHIPPED = sorted((ROOT / "docs" / "evaluation").glob("*.json"))

app = typer.Typer()
app.command()(main)


def cells(text: str, row: str) -> list[str]:
    [line] = [line for line in text.splitlines() if line.startswith(f"| {row} |")]
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_the_table_has_what_was_measured_and_what_the_paper_has() -> None:
    random = evaluation(run(1), run(2), run(3))
    grouped = evaluation(run(4, kind="grouped"))
    text = table([random, grouped])
    _, ours, theirs, lowest, paper = cells(text, "`MobileNetV2-IQ`")
    [summary] = [one for one in random.Summaries if one.Name == "MobileNetV2-IQ"]
    mean, spread = summary.Mean, summary.Spread
    assert ours.startswith(f"{mean['MicroAccuracy']:.3f} ± {spread['MicroAccuracy']:.3f}, ")
    assert f"{mean['LogLossReduction']:.3f} ± {spread['LogLossReduction']:.3f}" in ours
    assert ours.endswith("(3 splits)")
    one = grouped.Runs[0].Models[0].Figures
    low, high = one.Intervals["MicroAccuracy"]
    assert theirs.startswith(f"{one.MicroAccuracy:.3f} [{low:.3f} to {high:.3f}], ")
    assert theirs.endswith("(1 split)")
    recalls = {name: found.Recall or 0 for name, found in one.Classes.items()}
    worst = min(recalls, key=lambda name: recalls[name])
    assert lowest == f"{worst} {recalls[worst]:.3f}"
    assert paper == "0.9595, 0.8870, 0.1247, 0.8693"
    assert cells(text, "`ResNet50V2-IQ`")[-1] == "0.9626, 0.8934, 0.1156, 0.8770"
    assert cells(text, "**ensemble**")[-1] == "best single network: 0.9657"
    assert text.index("**ensemble**") > text.index("ResNet50V2")


def test_of_two_evaluations_that_of_more_runs_counts() -> None:
    one, two = evaluation(run(1)), evaluation(run(2), run(3))
    assert table([one, two]) == table([two, one]) == table([two])
    assert table([one, evaluation(run(5))]) == table([one])


def test_another_source_has_a_table_of_its_own() -> None:
    elsewhere = evaluation(run(1), Source=Source(Name="chest-ct-scan", Part="all", Map={}))
    text = table([evaluation(run(2)), elsewhere])
    row = cells(text, "IQ-OTHNCCD, on chest-ct-scan | MobileNetV2-IQ")
    figures = elsewhere.Runs[0].Models[0].Figures
    assert row[2:4] == ["60", f"{figures.MicroAccuracy:.3f}"]
    # Neither those figures nor those of a training part go among the models' own.
    seen = evaluation(run(3), Source=Source(Name="", Part="training", Map={}))
    assert table([evaluation(run(2)), seen]) == table([evaluation(run(2))])


def test_only_what_is_between_the_markers_is_written_anew() -> None:
    text = "before\n<!-- models:begin -->\nold\n<!-- models:end -->\nbehind\n"
    told = with_table(text, "| new |\n")
    assert told == "before\n<!-- models:begin -->\n| new |\n<!-- models:end -->\nbehind\n"
    assert with_table(told, "| new |\n") == told
    for wrong in ("", text + text, "<!-- models:end --> <!-- models:begin -->"):
        with pytest.raises(EvaluationError, match=r"^README.md: expected <!-- models:begin -->"):
            with_table(wrong, "")


def put(folder: Path, name: str, sha256: str, **changes: Any) -> Path:
    place = folder / name
    place.mkdir(parents=True)
    (place / WEIGHTS).write_bytes(b"none")
    (place / NETWORK).write_bytes(b"none")
    (place / CARD).write_text(card_text(make_card(sha256, Classes=CLASSES, **changes)))
    return place


def test_the_command_writes_readme_and_cards(tmp_path: Path) -> None:
    documents = []
    for number, made in enumerate((evaluation(run(1), run(2)), evaluation(run(3, kind="grouped")))):
        (tmp_path / str(number)).mkdir()
        documents.append(str(write_evaluation(tmp_path / str(number), made)))
    printed = CliRunner().invoke(app, documents)
    assert printed.exit_code == 0, printed.output
    readme = tmp_path / "README.md"
    readme.write_text("<!-- models:begin -->\n<!-- models:end -->\n")
    # These are the very weights of the grouped run, whose seed is 3.
    place = put(tmp_path / "models", "MobileNetV2-IQ", f"{3:064x}")
    other = put(tmp_path / "models", "InceptionV3-IQ", f"{9:064x}")
    before = (other / CARD).read_text()
    done = CliRunner().invoke(
        app, [*documents, "--readme", str(readme), "--cards", str(tmp_path / "models")]
    )
    assert done.exit_code == 0, done.output
    assert readme.read_text() == f"<!-- models:begin -->\n{printed.stdout}<!-- models:end -->\n"
    metrics = read_card(place).Metrics
    assert [(one.Split, one.ShippedWeights, one.Runs) for one in metrics] == [
        ("grouped", True, 1),
        ("random", False, 2),
    ]
    assert (metrics[0].Groups, metrics[0].BestEpoch) == (90, 7)
    assert (metrics[1].Groups, metrics[1].BestEpoch) == (None, None)
    assert (other / CARD).read_text() == before

    done = CliRunner().invoke(app, [*documents, "--reports"])
    assert done.exit_code == 0, done.output
    for document in documents:
        page = Path(document).with_suffix(".html").read_text(encoding="utf-8")
        assert page == report(read_evaluation(Path(document)), {})

    wrong = CliRunner().invoke(app, [*documents, str(tmp_path / "none.json")])
    assert wrong.exit_code == 1
    assert wrong.output.strip().endswith("none.json: cannot be read (No such file or directory)")


def test_figures_that_evaluations_do_not_tell_of_stay(tmp_path: Path) -> None:
    from preread.training.evaluation.cards import write_cards

    place = put(tmp_path, "MobileNetV2-IQ", f"{1:064x}")
    first = evaluation(run(1, kind="grouped"))
    write_cards(Catalogue.load(tmp_path), [first])
    write_cards(Catalogue.load(tmp_path), [evaluation(run(5), run(6))])
    entries = read_card(place).Metrics
    assert {(one.Split, one.Runs) for one in entries} == {("grouped", 1), ("random", 2)}
    # A run of other weights is told of as such.
    [entry] = metrics_of("MobileNetV2-IQ", read_card(place), [evaluation(run(7))])
    assert (entry.ShippedWeights, entry.Runs) == (False, 1)


def test_a_card_tells_of_the_model_as_it_is(tmp_path: Path) -> None:
    """Neither of labels that were mapped, nor of another part."""
    card = read_card(put(tmp_path, "MobileNetV2-IQ", f"{1:064x}"))
    own = evaluation(run(1))
    assert metrics_of("MobileNetV2-IQ", card, [own])
    for other in (
        evaluation(run(1), Source=Source(Name="", Part="test", Map={"cyst": "Benign"})),
        evaluation(run(1), Source=Source(Name="", Part="validation", Map={})),
    ):
        assert metrics_of("MobileNetV2-IQ", card, [other]) == ()


def test_figures_of_other_classes_are_refused(tmp_path: Path) -> None:
    from preread.training.evaluation.cards import write_cards

    place = put(tmp_path, "MobileNetV2-IQ", f"{1:064x}")
    card = make_card(f"{1:064x}", Classes=("Good", "Bad"))
    (place / CARD).write_text(card_text(card))
    with pytest.raises(EvaluationError, match=r"^MobileNetV2-IQ/card.json: .*a row and column per"):
        write_cards(Catalogue.load(tmp_path), [evaluation(run(1))])
    assert read_card(place) == card


def shipped() -> list[Evaluation]:
    if not SHIPPED:
        pytest.skip("docs/evaluation holds no evaluation yet")
    return [read_evaluation(path) for path in SHIPPED]


def test_the_readme_has_the_table_of_the_evaluations() -> None:
    told = shipped()
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert with_table(readme, table(told)) == readme, (
        "run: python -m preread.training.evaluation.tables docs/evaluation/*.json "
        "--readme README.md"
    )


def test_the_cards_have_the_figures_of_the_evaluations() -> None:
    told = shipped()
    for model in Catalogue.load(ROOT / "models"):
        entries = metrics_of(model.name, model.card, told)
        assert any(entry.ShippedWeights for entry in entries), model.name
        assert set(map(repr, entries)) <= set(map(repr, model.card.Metrics)), model.name
        for one in (model_ for each in told for run_ in each.Runs for model_ in run_.Models):
            if one.WeightsSHA256 == model.card.WeightsSHA256:
                assert one.Calibration == model.card.Calibration, model.name


def test_the_pages_are_those_of_the_evaluations() -> None:
    for made, path in zip(shipped(), SHIPPED, strict=True):
        page = path.with_suffix(".html").read_text(encoding="utf-8")
        # Another version of the library may draw a plot a little differently.
        plots = r"base64,[A-Za-z0-9+/=]+"
        assert re.sub(plots, "", page) == re.sub(plots, "", report(made, {})), path.name


def test_no_evaluation_names_a_path_of_a_machine() -> None:
    shipped()
    for path in SHIPPED:
        assert not re.search(r"[\s\"'=](/[a-z]+){2}", path.read_text(encoding="utf-8")), path.name


def test_a_copy_of_a_model_is_told_by_its_weights(tmp_path: Path) -> None:
    place = put(tmp_path / "a", "MobileNetV2-IQ", f"{1:064x}")
    copy = Path(shutil.copytree(place, tmp_path / "b" / "MobileNetV2-IQ"))
    entries = metrics_of("MobileNetV2-IQ", read_card(copy), [evaluation(run(1), run(2))])
    assert [(one.ShippedWeights, one.Seed) for one in entries] == [(True, 1), (False, 1)]
