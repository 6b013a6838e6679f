"""Measuring runs of models, alone and together."""

from __future__ import annotations

import datetime as dt
from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread import __version__
from preread.training.data_set import Contradictions
from preread.training.evaluation.document import Evaluation, Source
from preread.training.evaluation.images import Images
from preread.training.evaluation.measured_models import measured_models
from preread.training.evaluation.results import pictures_of, run_of
from preread.training.evaluation.runs import catalogue_of
from preread.training.evaluation.spread import summarise

if TYPE_CHECKING:
    from preread.models.card import CalibrationFacts
    from preread.training.evaluation.request import Progress, Request


@dataclass(frozen=True, slots=True, eq=False)
class Outcome:
    """What a measuring came to.

    Attributes
    ----------
    evaluation
        The document.
    calibrations
        The temperatures that were found, for each run by name of the model.
    pictures
        PNG of each image that was wrong, by the SHA-256 of its pixels.
    """

    evaluation: Evaluation
    calibrations: tuple[dict[str, CalibrationFacts], ...]
    pictures: dict[str, bytes]


def evaluate(request: Request, progress: Progress) -> Outcome:
    """Measure.

    Raises
    ------
    EvaluationError
        If the models, the data or the options do not fit together.
    preread.models.card.InvalidModelError
        If a model cannot be used.
    preread.training.errors.TrainingError
        If the data cannot be read.
    """
    # Where a split says what an image is, pixels in two classes are in the one it says.
    whole = request.part == "all"
    contradictions = Contradictions.DROP if whole else Contradictions.KEEP
    images = Images(request.data, request.root, progress.reading, contradictions)
    runs, calibrations = [], []
    pictures: dict[str, bytes] = {}
    for place in request.runs:
        models = measured_models(request, images, catalogue_of(place), progress)
        runs.append(run_of(place.resolve().name, models, request, images))
        calibrations.append(
            {one.member.model.name: one.calibration for one in models if one.calibration}
            if request.calibrate
            else {}
        )
        pictures |= pictures_of(runs[-1], models, images)
    evaluation = Evaluation(
        Preread=__version__,
        Date=dt.datetime.now(dt.UTC).replace(microsecond=0),
        Command=request.command,
        Engine=request.engine,
        Source=Source(
            Name=request.data.resolve().name if request.data else "",
            Part=request.part,
            Map=dict(request.map),
        ),
        Draws=request.draws,
        Seed=request.seed,
        Runs=tuple(runs),
        Summaries=summarise(runs),
    )
    return Outcome(evaluation, tuple(calibrations), pictures)
