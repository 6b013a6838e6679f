"""The figures of models' cards, made from evaluations."""

from __future__ import annotations

import statistics
from typing import TYPE_CHECKING, Final

from preread.models.card import CARD, InvalidModelError, card_text, parse_card
from preread.models.card_facts import ClassMetrics, SplitMetrics
from preread.models.weights import write_atomically
from preread.training.evaluation.errors import EvaluationError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from preread.models.card import CalibrationFacts, ModelCard
    from preread.models.catalogue import Catalogue
    from preread.training.evaluation.document import (
        Evaluation,
        Kind,
        ModelResult,
        SplitFacts,
        Summary,
    )

_DIGITS: Final = 4
"""The engine whose figures are those of a rounded copy of the weights."""


def write_cards(
    catalogue: Catalogue,
    evaluations: Sequence[Evaluation],
    calibrations: Mapping[str, CalibrationFacts] | None = None,
) -> tuple[str, ...]:
    """Put figures, and temperatures that were found, into the cards of models.

    Figures of a split, a number of runs or weights that the evaluations do not tell of stay.

    Parameters
    ----------
    catalogue
        The models whose cards are written.
    evaluations
        Of test parts; others say nothing for a card, nor do those of 8-bit copies or with labels
        that were mapped.
    calibrations
        By name of the model.

    Returns
    -------
    tuple of str
        Names of the models whose cards were written.

    Raises
    ------
    EvaluationError
        If a card cannot be written, or figures are of other classes than a model has.
    """
    written = []
    for model in catalogue:
        told = metrics_of(model.name, model.card, evaluations)
        calibration = (calibrations or {}).get(model.name)
        if not told and calibration is None:
            continue
        keys = {_key(entry) for entry in told}
        kept = tuple(entry for entry in model.card.Metrics if _key(entry) not in keys)
        changes = {
            "Metrics": (*told, *kept),
            "Calibration": calibration or model.card.Calibration,
        }
        name = f"{model.name}/{CARD}"
        text = card_text(model.card.model_copy(update=changes))
        try:
            parse_card(text, name)
            write_atomically(model.folder / CARD, text.encode())
        except InvalidModelError as error:
            raise EvaluationError(f"{error}; the figures are of a model of other classes") from None
        except OSError as error:
            raise EvaluationError(f"{name}: cannot be written ({error.strerror})") from None
        written.append(model.name)
    return tuple(written)


def metrics_of(
    name: str, card: ModelCard, evaluations: Iterable[Evaluation]
) -> tuple[SplitMetrics, ...]:
    """Give what evaluations tell of a model: of the very weights first, then of several runs.

    Of evaluations that tell the same, the first counts.
    """
    found: dict[tuple[object, ...], SplitMetrics] = {}
    for evaluation in evaluations:
        if _is_of_models_as_they_are(evaluation):
            for entry in _entries(name, card, evaluation):
                found.setdefault(_key(entry), entry)
    return tuple(sorted(found.values(), key=lambda entry: not entry.ShippedWeights))


def _is_of_models_as_they_are(evaluation: Evaluation) -> bool:
    source = evaluation.Source
    return source.Part == "test" and not source.Map


def _key(entry: SplitMetrics) -> tuple[object, ...]:
    """Tell which entry replaces which: there is one of the very weights, whatever its split."""
    return ("shipped",) if entry.ShippedWeights else (entry.Split, entry.Runs > 1)


def _entries(name: str, card: ModelCard, evaluation: Evaluation) -> Iterator[SplitMetrics]:
    backbone = card.Backbone.SHA256
    kinds: dict[Kind, list[tuple[ModelResult, SplitFacts]]] = {}
    for run in evaluation.Runs:
        for result in run.Models:
            if result.Name == name and result.Split is not None:
                kinds.setdefault(result.Split.Kind, []).append((result, result.Split))
    for kind, results in kinds.items():
        for result, split in results:
            shipped = (result.WeightsSHA256, result.BackboneSHA256) == (
                card.WeightsSHA256,
                backbone,
            )
            if shipped or len(results) == 1:
                yield _of_one(result, split, shipped=shipped)
        if len(results) > 1:
            summary = next(
                one for one in evaluation.Summaries if one.Name == name and one.Kind == kind
            )
            yield _of_several(results, summary)


def _of_one(result: ModelResult, split: SplitFacts, *, shipped: bool) -> SplitMetrics:
    figures = result.Figures
    return SplitMetrics(
        Split=split.Kind,
        Seed=split.Seed,
        TrainingImages=split.TrainingImages,
        ValidationImages=split.ValidationImages,
        TestImages=figures.Images,
        Groups=split.Groups,
        ShippedWeights=shipped,
        MicroAccuracy=_rounded(figures.MicroAccuracy),
        MacroAccuracy=_rounded(figures.MacroAccuracy),
        LogLoss=_rounded(figures.LogLoss),
        LogLossReduction=_rounded(figures.LogLossReduction),
        Classes={
            name: ClassMetrics(
                Images=found.Images,
                Recall=_known(found.Recall),
                Precision=_known(found.Precision),
            )
            for name, found in figures.Classes.items()
        },
        ConfusionMatrix=figures.ConfusionMatrix,
        BestEpoch=result.BestEpoch,
        Intervals={
            name: (_rounded(low), _rounded(high)) for name, (low, high) in figures.Intervals.items()
        },
        ROCAUC=_known(figures.ROCAUC),
        ECE=_rounded(figures.ECE),
    )


def _of_several(
    results: Sequence[tuple[ModelResult, SplitFacts]], summary: Summary
) -> SplitMetrics:
    measured = [result.Figures for result, _ in results]
    splits = [split for _, split in results]
    mean = {name: _rounded(value) for name, value in summary.Mean.items()}
    groups = [split.Groups for split in splits if split.Groups is not None]
    return SplitMetrics(
        Split=splits[0].Kind,
        Seed=splits[0].Seed,
        TrainingImages=sum(split.TrainingImages for split in splits),
        ValidationImages=sum(split.ValidationImages for split in splits),
        TestImages=sum(figures.Images for figures in measured),
        Groups=sum(groups) if groups else None,
        ShippedWeights=False,
        MicroAccuracy=mean["MicroAccuracy"],
        MacroAccuracy=mean["MacroAccuracy"],
        LogLoss=mean["LogLoss"],
        LogLossReduction=mean["LogLossReduction"],
        Classes={
            name: ClassMetrics(
                Images=sum(figures.Classes[name].Images for figures in measured),
                Recall=mean.get(f"Recall.{name}"),
                Precision=_mean(figures.Classes[name].Precision for figures in measured),
            )
            for name in measured[0].Classes
        },
        ConfusionMatrix=summary.ConfusionMatrix,
        Runs=len(results),
        Spread={name: _rounded(value) for name, value in summary.Spread.items()},
        ROCAUC=mean.get("ROCAUC"),
        ECE=mean["ECE"],
    )


def _mean(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return _rounded(statistics.fmean(known)) if known else None


def _rounded(value: float) -> float:
    return round(value, _DIGITS)


def _known(value: float | None) -> float | None:
    return None if value is None else _rounded(value)
