"""The README's table of models, made of evaluations.

    python -m preread.training.evaluation.tables EVALUATION.json... [--readme README.md]
        [--cards models] [--reports]

prints the table in Markdown, or puts it between the README's two markers, writes the figures into
the models' cards, and the page of each evaluation beside it, without pictures of the data.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final, NamedTuple

import typer

from preread.errors import PrereadError
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.paper import paper
from preread.training.evaluation.spread import ENSEMBLE

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from preread.training.evaluation.document import Evaluation, Interval, Summary

BEGIN: Final = "<!-- models:begin -->"
END: Final = "<!-- models:end -->"

_FIGURES: Final = ("MicroAccuracy", "MacroAccuracy", "LogLoss", "LogLossReduction")
_ELSEWHERE: Final = ("micro-accuracy", "macro-accuracy", "ROC AUC")


class _Measured(NamedTuple):
    """A line of an evaluation, with the intervals where there is one run."""

    summary: Summary
    intervals: Mapping[str, Interval]
    source: str


def table(evaluations: Sequence[Evaluation]) -> str:
    """Give the table in Markdown: each set's models, the paper's figures, other sources.

    Of several evaluations of a model on the same kind of split, that of most runs counts, and of
    those the first.
    """
    lines = list(_lines(evaluations))
    own = [line for line in lines if not line.source]
    parts = [
        _set_table(name, [line for line in own if line.summary.Set == name])
        for name in dict.fromkeys(line.summary.Set for line in own)
    ]
    elsewhere = [line for line in lines if line.source]
    if elsewhere:
        parts.append(_elsewhere(elsewhere))
    return "\n".join(parts)


def _lines(evaluations: Sequence[Evaluation]) -> Iterator[_Measured]:
    found: dict[tuple[object, ...], _Measured] = {}
    for evaluation in evaluations:
        part = evaluation.Source.Part
        if part not in ("test", "all"):
            continue
        for summary in evaluation.Summaries:
            source = evaluation.Source.Name if part == "all" else ""
            key = (source, summary.Set, summary.Kind, summary.Name)
            if key not in found or found[key].summary.Runs < summary.Runs:
                found[key] = _Measured(summary, _intervals(evaluation, summary), source)
    yield from sorted(found.values(), key=lambda line: (line.summary.Set, line.source))


def _intervals(evaluation: Evaluation, summary: Summary) -> Mapping[str, Interval]:
    if summary.Runs > 1:
        return {}
    for run in evaluation.Runs:
        for ensemble in run.Ensembles:
            key = (ensemble.Set, ensemble.Kind)
            if summary.Name == ENSEMBLE and key == (summary.Set, summary.Kind):
                return ensemble.Figures.Intervals
        for model in run.Models:
            kind = model.Split.Kind if model.Split else None
            if (model.Name, model.Set, kind) == (summary.Name, summary.Set, summary.Kind):
                return model.Figures.Intervals
    return {}


def _set_table(name: str, lines: Sequence[_Measured]) -> str:
    theirs = paper().Sets.get(name)
    title = f"{theirs.Name} ({theirs.Classes} classes)" if theirs else name
    rows = [
        f"| {title} | random split | grouped split | lowest recall, grouped | paper |",
        "|---|---|---|---|---|",
    ]
    models = {line.summary.Name: line.summary.Architecture for line in lines}
    order = sorted(models, key=lambda model: (model == ENSEMBLE, models[model] or "", model))
    for model in order:
        kinds = {line.summary.Kind: line for line in lines if line.summary.Name == model}
        figures = paper().of(name, models[model])
        known = ", ".join(f"{figures[key]:.4f}" for key in _FIGURES) if figures else ""
        best = paper().best(name)
        if model == ENSEMBLE and best is not None:
            known = f"best single network: {best:.4f}"
        cells = (
            f"**{model}**" if model == ENSEMBLE else f"`{model}`",
            _cell(kinds.get("random")),
            _cell(kinds.get("grouped")),
            _lowest_recall(kinds.get("grouped")),
            known,
        )
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows) + "\n"


def _cell(line: _Measured | None) -> str:
    if line is None:
        return ""
    told = []
    for name in _FIGURES:
        value = f"{line.summary.Mean[name]:.3f}"
        if name in line.summary.Spread:
            value += f" ± {line.summary.Spread[name]:.3f}"
        elif name == "MicroAccuracy" and name in line.intervals:
            low, high = line.intervals[name]
            value += f" [{low:.3f} to {high:.3f}]"
        told.append(value)
    runs = line.summary.Runs
    return f"{', '.join(told)} ({runs} split{'s' if runs > 1 else ''})"


def _lowest_recall(line: _Measured | None) -> str:
    if line is None:
        return ""
    recalls = {
        name.removeprefix("Recall."): value
        for name, value in line.summary.Mean.items()
        if name.startswith("Recall.")
    }
    lowest = min(recalls, key=lambda name: recalls[name])
    return f"{lowest.replace('_', ' ')} {recalls[lowest]:.3f}"


def _elsewhere(lines: Iterable[_Measured]) -> str:
    titles = ("trained on, measured on another source", "model", "images", *_ELSEWHERE)
    rows = [f"| {' | '.join(titles)} |", "|---|---|---|---|---|---|"]
    for summary, _, source in lines:
        images = sum(map(sum, summary.ConfusionMatrix)) // summary.Runs
        area = summary.Mean.get("ROCAUC")
        rows.append(
            f"| {summary.Set}, on {source.removesuffix('.csv')} | {summary.Name} | {images} | "
            f"{summary.Mean['MicroAccuracy']:.3f} | {summary.Mean['MacroAccuracy']:.3f} | "
            f"{'' if area is None else f'{area:.3f}'} |"
        )
    return "\n".join(rows) + "\n"


def with_table(text: str, told: str, name: str = "README.md") -> str:
    """Put a table between the markers of a text.

    Raises
    ------
    EvaluationError
        If the markers are not there, once each and in order.
    """
    if text.count(BEGIN) != 1 or text.count(END) != 1 or text.index(BEGIN) > text.index(END):
        raise EvaluationError(f"{name}: expected {BEGIN} and, behind it, {END}, once each")
    before, _, rest = text.partition(BEGIN)
    return f"{before}{BEGIN}\n{told}{END}{rest.partition(END)[2]}"


def main(
    documents: Annotated[
        list[Path], typer.Argument(metavar="EVALUATION.json...", help="What `evaluate` wrote.")
    ],
    *,
    readme: Annotated[
        Path | None,
        typer.Option(
            help=f"Put the table between {BEGIN} and {END} of this file.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    cards: Annotated[
        Path | None,
        typer.Option(
            help="Folder of models whose cards get the figures.", exists=True, file_okay=False
        ),
    ] = None,
    reports: Annotated[
        bool, typer.Option("--reports", help="Write each evaluation's page beside it, as .html.")
    ] = False,
) -> None:
    """Print the table of models; or put it into a README, and figures into cards."""
    # pydantic's models of the document, and what writes cards, are not needed for help.
    from preread.models.catalogue import Catalogue  # noqa: PLC0415
    from preread.models.weights import write_atomically  # noqa: PLC0415
    from preread.training.evaluation.cards import write_cards  # noqa: PLC0415
    from preread.training.evaluation.document import read_evaluation  # noqa: PLC0415
    from preread.training.evaluation.report import write_report  # noqa: PLC0415

    try:
        evaluations = [read_evaluation(path) for path in documents]
        told = table(evaluations)
        if readme is not None:
            text = with_table(readme.read_text(encoding="utf-8"), told, readme.name)
            write_atomically(readme, text.encode())
        if cards is not None:
            for name in write_cards(Catalogue.load(cards), evaluations):
                typer.echo(f"{name}/card.json written")
        for path, evaluation in zip(documents, evaluations, strict=True) if reports else ():
            typer.echo(f"{write_report(path.with_suffix('.html'), evaluation, {}).name} written")
        if readme is None and cards is None and not reports:
            typer.echo(told, nl=False)
    except PrereadError as error:
        typer.echo(f"preread.training.evaluation.tables: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
