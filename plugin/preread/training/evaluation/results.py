"""From what the models of a run answered to what the document tells of the run."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np

from preread.training.evaluation.combining import Rule, combine, inverse_loss_weights
from preread.training.evaluation.document import EnsembleResult, LeftOut, ModelResult, Run
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.items import Items, common, drawn_together
from preread.training.evaluation.measuring import measure
from preread.training.evaluation.runs import history_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.training.evaluation.document import Figures
    from preread.training.evaluation.images import Images
    from preread.training.evaluation.measured_models import MeasuredModel
    from preread.training.evaluation.request import Request

_PICTURE: Final = 96  # pixels of the longer side of the pictures of wrong images


def run_of(name: str, models: Sequence[MeasuredModel], request: Request, images: Images) -> Run:
    """Give the figures of each model of a run, and of the models of each set together.

    Raises
    ------
    EvaluationError
        If models of one set have no image in common, or weights cannot be used.
    """
    sets: dict[str, list[MeasuredModel]] = {}
    for one in models:
        sets.setdefault(one.member.set_name, []).append(one)
    return Run(
        Name=name,
        Models=tuple(_model(one, request, images) for one in models),
        Ensembles=tuple(
            _together(key, several, request, images)
            for key, several in sets.items()
            if len(several) > 1
        ),
    )


def pictures_of(run: Run, models: Sequence[MeasuredModel], images: Images) -> dict[str, bytes]:
    """Give a small PNG of each image that a run tells as wrong, by the SHA-256 of its pixels."""
    told = [one.Figures for one in run.Models] + [one.Figures for one in run.Ensembles]
    digests = {mistake.SHA256 for figures in told for mistake in figures.Mistakes}
    found: dict[str, bytes] = {}
    for one in models:
        preprocessing = one.member.model.card.Preprocessing
        for digest in digests.intersection(one.items.digests) - found.keys():
            found[digest] = images.picture(digest, preprocessing, _PICTURE)
    return found


def _model(one: MeasuredModel, request: Request, images: Images) -> ModelResult:
    model, card = one.member.model, one.member.model.card
    own = next((entry for entry in card.Metrics if entry.ShippedWeights), None)
    return ModelResult(
        Name=model.name,
        CardName=card.Name,
        Version=card.Version,
        Architecture=card.Architecture,
        Set=one.member.set_name,
        Dataset=card.Dataset.Name,
        WeightsSHA256=card.WeightsSHA256,
        BackboneSHA256=card.Backbone.SHA256,
        Split=one.split,
        Calibration=one.calibration,
        BestEpoch=own.BestEpoch if own else None,
        Limits=card.Limits,
        LeftOut=one.items.left_out,
        Figures=_figures(
            one.answers.probabilities,
            one.items,
            card.Classes,
            request,
            images,
            novel=one.answers.novel,
        ),
        History=history_of(model),
    )


def _together(
    set_name: str, several: Sequence[MeasuredModel], request: Request, images: Images
) -> EnsembleResult:
    places = common([one.items for one in several])
    first = several[0]
    if not len(places[0]):
        raise EvaluationError(
            f"the models of {set_name} have no image that all of them may be measured on: they "
            "were trained on different splits"
        )
    classes = first.member.model.card.Classes
    stacked = np.stack(
        [_reordered(one, classes)[place] for one, place in zip(several, places, strict=True)]
    )
    weights = _weights(several, request)
    items = Items(
        digests=tuple(first.items.digests[place] for place in places[0]),
        labels=first.items.labels[places[0]],
        groups=first.items.groups[places[0]],
        left_out=LeftOut(),
    )
    kinds = {one.split.Kind if one.split else None for one in several}
    return EnsembleResult(
        Set=set_name,
        Kind=kinds.pop() if len(kinds) == 1 else None,
        Rule=request.rule,
        Members=weights,
        Figures=_figures(
            combine(stacked, request.rule, list(weights.values())),
            items,
            classes,
            request,
            images,
        ),
    )


def _reordered(one: MeasuredModel, classes: Sequence[str]) -> NDArray[np.float64]:
    own = one.member.model.card.Classes
    return one.answers.probabilities[:, [own.index(name) for name in classes]]


def _weights(several: Sequence[MeasuredModel], request: Request) -> dict[str, float]:
    names = [one.member.model.name for one in several]
    if request.rule is not Rule.WEIGHTED:
        return {name: round(1 / len(names), 6) for name in names}
    if request.weights:
        total = sum(request.weights[name] for name in names)
        return {
            name: round(request.weights[name] / total, 6) if total > 0 else 0.0 for name in names
        }
    return inverse_loss_weights(
        {
            one.member.model.name: one.validation_log_loss
            for one in several
            if one.validation_log_loss is not None
        }
    )


def _figures(
    probabilities: NDArray[np.float64],
    items: Items,
    classes: Sequence[str],
    request: Request,
    images: Images,
    novel: NDArray[np.bool_] | None = None,
) -> Figures:
    return measure(
        probabilities,
        items.labels,
        drawn_together(items, images),
        classes=classes,
        digests=items.digests,
        draws=request.draws,
        seed=request.seed,
        novel=novel,
    )
