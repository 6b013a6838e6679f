from __future__ import annotations

import base64
import io
import re
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from PIL import Image

from preread.models.card import INTENDED_USE, ArchitectureName
from preread.training.evaluation.document import Evaluation, Run, Source
from preread.training.evaluation.report import report, write_report
from tests.unit.training.evaluation.measured import evaluation, result, run

RESNET = ArchitectureName.RESNET50_V2
VOID = {"meta", "img", "br"}


class Page(HTMLParser):
    """Reads a page: its text, its pictures, and whether every element is closed."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.source = text
        self.open: list[str] = []
        self.text: list[str] = []
        self.rows: list[list[str]] = []
        self.pictures: list[tuple[str, Image.Image]] = []
        self.links: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        told = dict(attrs)
        self.links += [
            value or "" for name, value in attrs if name in ("src", "href", "action", "data")
        ]
        if tag == "img":
            source = told["src"] or ""
            assert source.startswith("data:image/png;base64,")
            data = base64.b64decode(source.partition(",")[2], validate=True)
            picture = Image.open(io.BytesIO(data))
            picture.load()
            self.pictures.append((told["alt"] or "", picture))
        if tag == "tr":
            self.rows.append([])
        if tag in ("td", "th"):
            self.rows[-1].append("")
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if not {"style", "title"} & set(self.open):
            self.text.append(data)
            if {"td", "th"} & set(self.open):
                self.rows[-1][-1] += f"{data} "

    @property
    def words(self) -> str:
        return " ".join(" ".join(self.text).split())

    def row(self, name: str) -> list[str]:
        return next([cell.strip() for cell in row] for row in self.rows if row[0].strip() == name)


def dot() -> bytes:
    kept = io.BytesIO()
    Image.new("L", (8, 8), 200).save(kept, "PNG")
    return kept.getvalue()


@cache
def of_one_run() -> tuple[Evaluation, Page]:
    made = evaluation(run(1))
    told = made.Runs[0].Ensembles[0].Figures.Mistakes
    return made, Page(report(made, {told[0].SHA256: dot()}))


def test_tells_what_was_measured() -> None:
    made, page = of_one_run()
    figures = made.Runs[0].Models[0].Figures
    low, high = figures.Intervals["MicroAccuracy"]
    cell = page.row("MobileNetV2-IQ")[1]
    assert " ".join(cell.split()) == (
        f"{figures.MicroAccuracy:.4f} {low:.3f} to {high:.3f} paper 0.9595"
    )
    assert "paper 0.9657" in page.row("Ensemble, mean")[1]
    recall = figures.Classes["Malignant"].Recall
    assert any(row[0].strip() == "Malignant" and f"{recall:.4f}" in row[3] for row in page.rows)
    assert (
        page.row("mean over classes")[3] == f"{made.Runs[0].Ensembles[0].Figures.Macro.Recall:.4f}"
    )
    for words in (
        INTENDED_USE,
        "It does not travel.",
        "IQ-OTHNCCD, random split, test part",
        "Up to 3 images of the test part have the very pixels of an image of the training part",
        "best of ten runs",
        "They were not measured here",
        "preread evaluate runs",
        "whole groups of images that look alike are drawn",
        "measured on 60 images in 30 groups",
    ):
        assert words in page.words


def test_shows_matrices_curves_and_wrong_images() -> None:
    made, page = of_one_run()
    plots = [picture for alt, picture in page.pictures if alt.startswith("Confusion matrix")]
    histories = [picture for alt, picture in page.pictures if alt.startswith("Loss and accuracy")]
    wrong = [picture for alt, picture in page.pictures if ", answered " in alt]
    assert len(plots) == 3
    assert len(histories) == 2
    for plot in (*plots, *histories):
        assert plot.width > 1000
        assert len(set(plot.convert("L").tobytes())) > 20
    [shown] = wrong  # the others' pictures are not at hand
    assert shown.size == (8, 8)
    first = made.Runs[0].Ensembles[0].Figures.Mistakes[0]
    assert f"{first.Answered} {first.Probability:.3f} is {first.True_}" in page.words


def test_refers_to_nothing_elsewhere() -> None:
    _, page = of_one_run()
    assert all(link.startswith("data:image/png;base64,") for link in page.links)
    text = re.sub(r"base64,[A-Za-z0-9+/=]+", "", page.source)
    assert "<style>" in text
    assert not re.search(r"https?:|//[a-z]|@import|url\(|<script|<link|<iframe", text)


def test_several_runs_have_a_spread_and_no_interval() -> None:
    models = [(result("ResNet50V2-IQ", seed, Architecture=RESNET),) for seed in (1, 2, 3)]
    made = evaluation(*[Run(Name=f"run {one[0].Name}", Models=one) for one in models])
    page = Page(report(made, {}))
    [summary] = [one for one in made.Summaries if one.Name == "ResNet50V2-IQ"]
    mean, spread = summary.Mean["LogLoss"], summary.Spread["LogLoss"]
    cell = " ".join(page.row("ResNet50V2-IQ")[3].split())
    assert cell == f"{mean:.4f} ± {spread:.3f} paper 0.1156"
    assert " to " not in cell
    assert "3 runs" in page.words
    assert "measured on 60 images" in page.words


def test_what_stands_in_cards_is_text_and_nothing_else() -> None:
    evil = '<script>alert("x")</script><img src="https://example.org/a.png">'
    models = (
        result("MobileNetV2-IQ", 1, Limits=(evil,), Dataset=evil, History={}),
        result("ResNet50V2-IQ", 2, Architecture=RESNET, History={}),
    )
    page = Page(report(evaluation(Run(Name="run", Models=models)), {}))
    assert evil in "".join(page.text)
    assert all(link.startswith("data:") for link in page.links)
    # A limit of one model says whose it is.
    assert "(MobileNetV2-IQ)" in page.words


def test_another_source_is_named_and_not_held_against_the_paper(tmp_path: Path) -> None:
    changes: dict[str, Any] = {
        "Source": Source(Name="chest-ct-scan", Part="all", Map={"adenocarcinoma": "Malignant"})
    }
    only = Run(Name="run", Models=(result("MobileNetV2-IQ", 1, History={}),))
    path = write_report(tmp_path / "page.html", evaluation(only, **changes), {})
    page = Page(path.read_text(encoding="utf-8"))
    assert "Models of IQ-OTHNCCD, measured on chest-ct-scan" in page.words
    assert "adenocarcinoma = Malignant" in page.words
    assert not any("paper 0." in cell for row in page.rows for cell in row)
