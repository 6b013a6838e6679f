"""The report: one page without any link to elsewhere, made of an evaluation."""

from __future__ import annotations

import base64
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import jinja2

from preread.models.card import INTENDED_USE
from preread.models.weights import write_atomically
from preread.training.evaluation.document import SUMMARISED
from preread.training.evaluation.paper import paper
from preread.training.evaluation.plots import figures_png, history_png
from preread.training.evaluation.spread import ENSEMBLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from preread.training.evaluation.document import (
        EnsembleResult,
        Evaluation,
        Figures,
        ModelResult,
        Summary,
    )

NAME: Final = "report.html"

_TITLES: Final = {
    "MicroAccuracy": "micro-accuracy",
    "MacroAccuracy": "macro-accuracy",
    "LogLoss": "log-loss",
    "LogLossReduction": "log-loss reduction",
    "ROCAUC": "ROC AUC",
    "ECE": "ECE",
}
_MISTAKES: Final = 12


@dataclass(frozen=True, slots=True)
class Cell:
    """A figure: what was measured, how sure it is, and what the paper has."""

    value: str
    sure: str = ""
    paper: str = ""


@dataclass(frozen=True, slots=True)
class ClassRow:
    """A class in the table of a model."""

    name: str
    images: int
    answered: int
    cells: tuple[Cell, ...]


@dataclass(frozen=True, slots=True)
class Wrong:
    """An image that was wrong; without a picture where it is not at hand."""

    picture: str
    true: str
    answered: str
    probability: str


@dataclass(frozen=True, slots=True)
class Section:
    """One model or ensemble over the runs."""

    title: str
    together: bool
    facts: tuple[str, ...]
    cells: tuple[Cell, ...]
    classes: tuple[ClassRow, ...]
    averages: tuple[ClassRow, ...]
    plot: str
    history: str
    mistakes: tuple[Wrong, ...]


@dataclass(frozen=True, slots=True)
class Chapter:
    """A set and a kind of split: the table of its models, and a section for each."""

    title: str
    notes: tuple[str, ...]
    sections: tuple[Section, ...]


def write_report(path: Path, evaluation: Evaluation, pictures: Mapping[str, bytes]) -> Path:
    """Write the page of an evaluation to a file, at once or not at all; see `report`."""
    write_atomically(path, report(evaluation, pictures).encode())
    return path


def report(evaluation: Evaluation, pictures: Mapping[str, bytes]) -> str:
    """Make the page of an evaluation.

    Parameters
    ----------
    evaluation
        All that the page tells.
    pictures
        PNG by the SHA-256 of an image's pixels, for the images that were wrong; those that are
        not in it are told without a picture.

    Returns
    -------
    str
        HTML with style and pictures in it.
    """
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("preread.training.evaluation", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    keys = dict.fromkeys((one.Set, one.Kind) for one in evaluation.Summaries)
    return environment.get_template("report.html.jinja").render(
        evaluation=evaluation,
        intended_use=INTENDED_USE,
        titles=tuple(_TITLES.values()),
        paper=paper(),
        chapters=[
            _chapter(
                evaluation,
                [one for one in evaluation.Summaries if (one.Set, one.Kind) == key],
                pictures,
            )
            for key in keys
        ],
        limits=_limits(evaluation),
        runs=len(evaluation.Runs),
    )


def _chapter(
    evaluation: Evaluation, summaries: Sequence[Summary], pictures: Mapping[str, bytes]
) -> Chapter:
    first = summaries[0]
    kind = f", {first.Kind} split" if first.Kind else ""
    if evaluation.Source.Part == "all":
        title = f"Models of {first.Set}, measured on {evaluation.Source.Name}"
    else:
        title = f"{first.Set}{kind}, {evaluation.Source.Part} part"
    return Chapter(
        title=title,
        notes=_notes(evaluation, first),
        # The ensemble is what answers: it stands first.
        sections=tuple(
            _section(evaluation, one, pictures)
            for one in sorted(summaries, key=lambda one: one.Name != ENSEMBLE)
        ),
    )


def _notes(evaluation: Evaluation, summary: Summary) -> tuple[str, ...]:
    models = [
        model
        for run in evaluation.Runs
        for model in run.Models
        if model.Set == summary.Set and (model.Split.Kind if model.Split else None) == summary.Kind
    ]
    notes = []
    if models[0].Split is None:
        notes.append(
            "The models have no record of what they were trained on: nothing shows that they have "
            "not seen these images."
        )
    twice = max((model.Split.TestImagesInTraining if model.Split else 0) for model in models)
    if twice and evaluation.Source.Part == "test":
        notes.append(
            f"Up to {twice} images of the test part have the very pixels of an image of the "
            "training part: the data have duplicates, and a random split lets them fall on both "
            "sides. That flatters."
        )
    left = models[0].LeftOut
    for count, why in (
        (left.Seen, "because the models were trained or chosen on them"),
        (left.Duplicates, "because their pixels were there already"),
        (left.Contradictory, "because the source has the same pixels in two classes"),
        (left.Unmapped, "because --map gives their label no class"),
    ):
        if count:
            notes.append(f"{count} images were left out {why}.")
    return tuple(notes)


def _results(
    evaluation: Evaluation, summary: Summary
) -> tuple[list[ModelResult], list[EnsembleResult]]:
    models = [
        model
        for run in evaluation.Runs
        for model in run.Models
        if (model.Name, model.Set) == (summary.Name, summary.Set)
        and (model.Split.Kind if model.Split else None) == summary.Kind
    ]
    together = [
        one
        for run in evaluation.Runs
        for one in run.Ensembles
        if (one.Set, one.Kind) == (summary.Set, summary.Kind)
    ]
    return ([], together) if summary.Name == ENSEMBLE else (models, [])


def _section(evaluation: Evaluation, summary: Summary, pictures: Mapping[str, bytes]) -> Section:
    models, together = _results(evaluation, summary)
    measured = [one.Figures for one in models] + [one.Figures for one in together]
    histories = [one.History for one in models if one.History]
    return Section(
        title=summary.Name if models else f"Ensemble, {together[0].Rule.value}",
        together=not models,
        facts=(
            *(_model_facts(models) if models else _ensemble_facts(together)),
            _counts(measured),
        ),
        cells=_cells(evaluation, summary, measured),
        classes=tuple(_class_row(name, measured, summary) for name in measured[0].Classes),
        averages=_averages(measured),
        plot=_embedded(figures_png(measured)),
        history=_embedded(history_png(histories)) if histories else "",
        mistakes=_mistakes(measured, pictures),
    )


def _counts(measured: Sequence[Figures]) -> str:
    images = _span([one.Images for one in measured])
    groups = _span([one.Groups for one in measured])
    return f"measured on {images} images in {groups} groups that look alike"


def _cells(
    evaluation: Evaluation, summary: Summary, measured: Sequence[Figures]
) -> tuple[Cell, ...]:
    theirs: Mapping[str, float] = {}
    if evaluation.Source.Part == "test":
        theirs = paper().of(summary.Set, summary.Architecture)
        best = paper().best(summary.Set)
        if summary.Name == ENSEMBLE and best is not None:
            theirs = {"MicroAccuracy": best}
    return tuple(
        Cell(
            _number(summary.Mean.get(name)),
            _sure(name, summary, measured),
            f"{theirs[name]:.4f}" if name in theirs else "",
        )
        for name in SUMMARISED
    )


def _sure(name: str, summary: Summary, measured: Sequence[Figures]) -> str:
    if name in summary.Spread:
        return f"± {summary.Spread[name]:.3f}"
    if len(measured) == 1 and name in measured[0].Intervals:
        low, high = measured[0].Intervals[name]
        return f"{low:.3f} to {high:.3f}"
    return ""


def _class_row(name: str, measured: Sequence[Figures], summary: Summary) -> ClassRow:
    classes = [figures.Classes[name] for figures in measured]
    recall = Cell(
        _number(_mean(one.Recall for one in classes)), _sure(f"Recall.{name}", summary, measured)
    )
    others = [
        Cell(_number(_mean(getattr(one, figure) for one in classes)))
        for figure in ("Precision", "F1", "LogLoss", "ROCAUC")
    ]
    return ClassRow(
        name,
        sum(one.Images for one in classes),
        sum(one.Answered for one in classes),
        (recall, *others),
    )


def _averages(measured: Sequence[Figures]) -> tuple[ClassRow, ...]:
    images = sum(figures.Images for figures in measured)
    return tuple(
        ClassRow(
            words,
            images,
            images,
            tuple(
                Cell(_number(_mean(getattr(getattr(one, which), figure) for one in measured)))
                for figure in ("Recall", "Precision", "F1")
            ),
        )
        for words, which in (("mean over classes", "Macro"), ("mean by images", "Weighted"))
    )


def _model_facts(models: Sequence[ModelResult]) -> tuple[str, ...]:
    first = models[0]
    facts = [f"{first.Architecture.value}, version {first.Version}, trained on {first.Dataset}"]
    if first.Split is not None:
        parts = [
            f"{words} {_span([getattr(one.Split, name) for one in models])}"
            for words, name in (
                ("training", "TrainingImages"),
                ("validation", "ValidationImages"),
                ("test", "TestImages"),
            )
        ]
        facts.append(f"images: {', '.join(parts)}")
    temperatures = [one.Calibration.Temperature if one.Calibration else 1.0 for one in models]
    facts.append(f"temperature {_span(temperatures)}")
    shares = [one.Figures.OutOfDistribution for one in models]
    if shares[0] is not None:
        facts.append(f"unlike the training data: {_mean(shares) or 0:.1%} of the images")
    epochs = [one.BestEpoch for one in models if one.BestEpoch is not None]
    if epochs:
        facts.append(f"weights of epoch {_span(epochs)}")
    return tuple(facts)


def _ensemble_facts(together: Sequence[EnsembleResult]) -> tuple[str, ...]:
    members = together[0].Members
    if len(set(members.values())) == 1:
        return (", ".join(members),)
    return (", ".join(f"{name} {weight:.3f}" for name, weight in members.items()),)


def _mistakes(measured: Sequence[Figures], pictures: Mapping[str, bytes]) -> tuple[Wrong, ...]:
    told = sorted(
        (mistake for figures in measured for mistake in figures.Mistakes),
        key=lambda mistake: -mistake.Probability,
    )
    return tuple(
        Wrong(
            _embedded(pictures[one.SHA256]) if one.SHA256 in pictures else "",
            one.True_,
            one.Answered,
            f"{one.Probability:.3f}",
        )
        for one in told[:_MISTAKES]
    )


def _limits(evaluation: Evaluation) -> list[tuple[str, str]]:
    """Give each limit of the cards once, with the models that it is of."""
    found: dict[str, dict[str, None]] = {}
    for run in evaluation.Runs:
        for model in run.Models:
            for limit in model.Limits:
                found.setdefault(limit, {})[model.Name] = None
    everybody = {model.Name for run in evaluation.Runs for model in run.Models}
    return [
        (limit, "" if set(names) == everybody else ", ".join(names))
        for limit, names in found.items()
    ]


def _embedded(png: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(png).decode('ascii')}"


def _span(values: Sequence[float]) -> str:
    low, high = min(values), max(values)
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.fmean(known) if known else None


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"
