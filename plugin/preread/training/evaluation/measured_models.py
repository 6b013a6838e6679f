"""The models of a run, asked for their images, at the temperature that they are to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from preread.models.ensemble import Ensemble
from preread.training.evaluation.answers import Answers, Asking
from preread.training.evaluation.combining import Rule
from preread.training.evaluation.errors import EvaluationError
from preread.training.evaluation.items import items_of, validation_items
from preread.training.evaluation.runs import members_of
from preread.training.evaluation.temperature import fit_temperature, logits_of, scaled
from preread.training.metrics import LEAST

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.models.card import CalibrationFacts
    from preread.models.catalogue import Catalogue
    from preread.training.evaluation.document import SplitFacts
    from preread.training.evaluation.images import Images
    from preread.training.evaluation.items import Items, Member
    from preread.training.evaluation.request import Progress, Request


@dataclass(frozen=True, slots=True, eq=False)
class MeasuredModel:
    """A model with what it answered.

    Attributes
    ----------
    member
        The model, its set and its split.
    split
        About the split; None where the model has no record of it.
    items, answers
        The images and what it said of each.
    calibration
        Whose temperature the answers are at; None: 1.
    validation_log_loss
        At that temperature; None where nothing asked for it.
    """

    member: Member
    split: SplitFacts | None
    items: Items
    answers: Answers
    calibration: CalibrationFacts | None
    validation_log_loss: float | None


def measured_models(
    request: Request, images: Images, catalogue: Catalogue, progress: Progress
) -> tuple[MeasuredModel, ...]:
    """Ask the models of a run for the images that they are measured on.

    All that can be wrong with the options and the data is told before a network is asked.

    Parameters
    ----------
    request
        What is asked for.
    images
        What is measured on.
    catalogue
        The run's models.
    progress
        Who is told how far it is.

    Raises
    ------
    EvaluationError
        If the models, the data or the options do not fit together.
    preread.models.card.InvalidModelError
        If a model cannot be used.
    preread.training.errors.TrainingError
        If the data cannot be read.
    """
    members = members_of(catalogue, request.set_name, needs_split=request.part != "all")
    _check_weights(request, members)
    splits = [one.record.facts(one.model) if one.record else None for one in members]
    chosen = [items_of(member, request, images) for member in members]
    held_out = [_held_out(member, request, images) for member in members]
    ensemble = Ensemble(catalogue, request.engine, request.threads, eager=False)
    asking = Asking(ensemble, images, progress)
    wanted = {
        member.model.name: (*items.digests, *(validation.digests if validation else ()))
        for member, items, validation in zip(members, chosen, held_out, strict=True)
    }
    asking.ask(members, wanted)
    return tuple(
        _measured(member, split, items, validation, asking, calibrate=request.calibrate)
        for member, split, items, validation in zip(members, splits, chosen, held_out, strict=True)
    )


def _check_weights(request: Request, members: Sequence[Member]) -> None:
    given, names = set(request.weights), {member.model.name for member in members}
    if given and given != names:
        odd = min(given ^ names)
        why = "no such model" if odd in given else "has no weight"
        raise EvaluationError(f"--weights: {odd}: {why}; expected one for each model")


def _held_out(member: Member, request: Request, images: Images) -> Items | None:
    """Give the images of the validation part, if something is to be found on them."""
    if request.calibrate:
        return validation_items(member, request, images, "--calibrate")
    if request.rule is Rule.WEIGHTED and not request.weights:
        return validation_items(member, request, images, "--ensemble weighted without --weights")
    return None


def _measured(
    member: Member,
    split: SplitFacts | None,
    items: Items,
    validation: Items | None,
    asking: Asking,
    *,
    calibrate: bool,
) -> MeasuredModel:
    answers, calibration = asking.answers(member, items.digests), member.model.card.Calibration
    loss = None
    if validation is not None:
        held_out = asking.answers(member, validation.digests).probabilities
        if calibrate:
            before = calibration.Temperature if calibration else 1.0
            logits = logits_of(held_out, before)
            calibration = fit_temperature(logits, validation.labels)
            held_out = scaled(logits, calibration.Temperature)
            logits = logits_of(answers.probabilities, before)
            answers = Answers(scaled(logits, calibration.Temperature), answers.novel)
        true = held_out[np.arange(len(held_out)), validation.labels]
        loss = float(-np.log(np.maximum(true, LEAST)).mean())
    return MeasuredModel(member, split, items, answers, calibration, loss)
