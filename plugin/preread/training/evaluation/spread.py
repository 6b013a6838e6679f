"""Several runs in one line: mean and standard deviation of each figure."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np

from preread.training.evaluation.document import Figures, Kind, Run, Summary

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from preread.models.card import ArchitectureName

ENSEMBLE: Final = "ensemble"
"""Name of the ensemble in summaries; no model's folder may have it."""


class _Line(NamedTuple):
    set_name: str
    kind: Kind | None
    name: str
    architecture: ArchitectureName | None


def summarise(runs: Sequence[Run]) -> tuple[Summary, ...]:
    """Summarise over runs: models by name, and the ensemble, for each set and kind of split.

    Returns
    -------
    tuple of Summary
        By set, then kind, models in the order of the first run, the ensemble behind them.
    """
    lines: dict[_Line, list[Figures]] = {}
    for run in runs:
        for line, figures in _lines(run):
            lines.setdefault(line, []).append(figures)
    ordered = sorted(
        lines, key=lambda line: (line.set_name, line.kind or "", line.name == ENSEMBLE)
    )
    return tuple(_summary(line, lines[line]) for line in ordered)


def _lines(run: Run) -> Iterator[tuple[_Line, Figures]]:
    for model in run.Models:
        kind = model.Split.Kind if model.Split else None
        yield _Line(model.Set, kind, model.Name, model.Architecture), model.Figures
    for ensemble in run.Ensembles:
        yield _Line(ensemble.Set, ensemble.Kind, ENSEMBLE, None), ensemble.Figures


def _summary(line: _Line, measured: Sequence[Figures]) -> Summary:
    values = [figures.values() for figures in measured]
    # A figure that a run lacks has no mean over the runs.
    names = [name for name in values[0] if all(name in each for each in values)]
    matrix = np.sum([figures.ConfusionMatrix for figures in measured], axis=0)
    return Summary(
        Set=line.set_name,
        Kind=line.kind,
        Name=line.name,
        Architecture=line.architecture,
        Runs=len(measured),
        Mean={name: _mean([each[name] for each in values]) for name in names},
        Spread={
            name: round(statistics.stdev([each[name] for each in values]), 6)
            for name in names
            if len(values) > 1
        },
        ConfusionMatrix=tuple(tuple(int(cell) for cell in row) for row in matrix),
    )


def _mean(values: Sequence[float]) -> float:
    return round(statistics.fmean(values), 6)
