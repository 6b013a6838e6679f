"""The card of a model that was just trained, with what was measured on its test part."""

from __future__ import annotations

import datetime as dt
import platform
from dataclasses import dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

import numpy as np
import torch
from pydantic import TypeAdapter, ValidationError

from preread.models.card import InputKind, ModelCard
from preread.models.card_facts import (
    CalibrationFacts,
    ClassMetrics,
    DatasetFacts,
    Label,
    QuantizationFacts,
    SplitMetrics,
    TeacherFacts,
    TrainingFacts,
)
from preread.models.kinds import kind_of
from preread.training import augmentation
from preread.training.data_set import ONLY_SET
from preread.training.errors import TrainingError
from preread.training.evaluation.temperature import fit_temperature, scaled
from preread.training.metrics import Figures, figures
from preread.training.onnx_rounding import METHOD
from preread.training.plan import Optimizer, Plan
from preread.training.split_file import split_digest
from preread.training.teacher import VIEWS

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.training.data_set import DataSet, LabelSet
    from preread.training.description import Description
    from preread.training.fitting import Fitted
    from preread.training.request import Request
    from preread.training.splits import Split
    from preread.training.writing import Written

_LABEL: Final = TypeAdapter[str](Label)
_MOST_CLASSES: Final = 1000
_ONE_SPLIT: Final = (
    "One fit on one split, chosen by no test image; other seeds and splits give other figures."
)
_NO_HELD_OUT: Final = (
    "No validation part was held out: the model was not calibrated, and it cannot tell images "
    "that are unlike its training data."
)


@dataclass(frozen=True, slots=True, eq=False)
class Made:
    """What came of a training for one set.

    Attributes
    ----------
    number
        Of the set.
    fitted, written
        The fit, and what is to be written.
    initial_sha256, grown_from, teacher
        What the network started and learnt from.
    """

    number: int
    fitted: Fitted
    written: Written
    initial_sha256: str | None
    grown_from: TeacherFacts | None
    teacher: TeacherFacts | None


def check_classes(sets: Sequence[LabelSet]) -> None:
    """Refuse classes that no card can have, before anything is fitted to them.

    Raises
    ------
    TrainingError
        With the class, or with how many there are.
    """
    for one in sets:
        where = "" if one.name == ONLY_SET else f" of {one.name}"
        if not 2 <= len(one.classes) <= _MOST_CLASSES:
            raise TrainingError(
                f"classes{where}: expected 2 to {_MOST_CLASSES}, found {len(one.classes)}"
            )
        for name in one.classes:
            try:
                _LABEL.validate_python(name)
            except ValidationError:
                raise TrainingError(
                    f"class {name[:60]!r}{where}: expected a name of 40 characters at most, "
                    "without braces, colons, backslashes, line breaks and blanks around it; give "
                    "it one with the description's Classes"
                ) from None


def check_kind(data: DataSet) -> InputKind:
    """Give the kind of image that a model is made for, before anything is fitted.

    Raises
    ------
    TrainingError
        If there are images of several kinds, or of one that no model can state.
    """
    kinds = {kind_of(units) for units in data.units}
    kind = kinds.pop() if len(kinds) == 1 else None
    if kind is None:
        raise TrainingError(
            "the images are of several kinds, or of none that a card can state: expected pictures "
            "(PNG, JPEG, Secondary Captures, 8 bits) or CT in Hounsfield units alone, since a "
            "model answers only on the kind that it was made for"
        )
    return kind


def card_of(
    request: Request, told: Description, data: DataSet, split: Split, made: Made
) -> tuple[ModelCard, Figures]:
    """Measure a model on its own part of the test images, and write its card.

    Returns
    -------
    tuple of ModelCard and Figures
        The card, and the figures of the test part.
    """
    one = data.sets[made.number]
    calibration = _calibration(one, split, made.written)
    temperature = 1.0 if calibration is None else calibration.Temperature
    tested = split.test[one.labels[split.test] >= 0]
    found = scaled(made.written.logits[tested], temperature)
    exact = scaled(made.written.exact[one.labels[split.test] >= 0], temperature)
    measured = figures(torch.from_numpy(found), torch.from_numpy(one.labels[tested]))
    right = [answers.argmax(axis=1) == one.labels[tested] for answers in (exact, found)]
    loss = float(right[0].mean() - right[1].mean())
    limits = told.Limits if calibration is not None else (*told.Limits, _NO_HELD_OUT)
    card = ModelCard(
        Name=told.Name or request.architecture.value,
        Version=told.Version,
        Date=dt.datetime.now(dt.UTC).date(),
        Architecture=request.architecture,
        Input=check_kind(data),
        Preprocessing=request.preprocessing,
        Classes=one.classes,
        Dataset=_dataset(told, data, one),
        Metrics=(_metrics(request, data, one, split, made, measured),),
        Limits=(*limits, _ONE_SPLIT),
        License=told.License,
        Attribution=told.Attribution,
        AppliesTo=told.AppliesTo,
        WeightsSHA256=made.written.weights_sha256,
        Backbone=made.written.backbone,
        Calibration=calibration,
        OutOfDistribution=made.written.out_of_distribution,
        Training=_training(request, told, made, float(np.abs(found - exact).max()), loss),
        Quantization=quantization(exact, found, made.written.calibrating),
    )
    return card, measured


def quantization(
    exact: NDArray[np.float64], found: NDArray[np.float64], calibrating: int
) -> QuantizationFacts | None:
    """Say what 8 bits cost; None where there are none.

    Parameters
    ----------
    exact, found
        (N, classes), probabilities in float32 and as the network is kept.
    calibrating
        How many images set the ranges; 0 for a network that is kept in float32.
    """
    if not calibrating:
        return None
    return QuantizationFacts(
        Method=METHOD,
        CalibrationImages=calibrating,
        TestImages=len(found),
        ChangedClasses=int((exact.argmax(axis=1) != found.argmax(axis=1)).sum()),
        LargestDifference=round(float(np.abs(found - exact).max(initial=0)), 4),
    )


def _calibration(one: LabelSet, split: Split, written: Written) -> CalibrationFacts | None:
    held_out = split.validation[one.labels[split.validation] >= 0]
    if len(held_out) < 2:
        return None
    return fit_temperature(written.logits[held_out], one.labels[held_out])


def _dataset(told: Description, data: DataSet, one: LabelSet) -> DatasetFacts:
    digests = {digest for digest, label in zip(data.digests, one.labels, strict=True) if label >= 0}
    return DatasetFacts(
        Name=told.Dataset.Name,
        License=told.Dataset.License,
        Attribution=told.Dataset.Attribution,
        Source=told.Dataset.Source,
        Images=len(one) + (data.duplicates if len(data.sets) == 1 else 0),
        UniqueImages=len(digests),
        ImagesPerClass=one.counts(),
    )


def _metrics(
    request: Request, data: DataSet, one: LabelSet, split: Split, made: Made, found: Figures
) -> SplitMetrics:
    inside = one.labels >= 0
    tested = [sum(row) for row in found.confusion]
    return SplitMetrics(
        Split="random" if split.groups is None else "grouped",
        Seed=request.plan.seed if data.parts is None else None,
        TrainingImages=int(inside[split.training].sum()),
        ValidationImages=int(inside[split.validation].sum()),
        TestImages=int(inside[split.test].sum()),
        Groups=split.groups and len(set(split.group_of[inside].tolist())),
        ShippedWeights=True,
        MicroAccuracy=round(found.micro_accuracy, 4),
        MacroAccuracy=round(found.macro_accuracy, 4),
        LogLoss=round(found.log_loss, 4),
        LogLossReduction=round(found.log_loss_reduction, 4),
        Classes={
            name: ClassMetrics(
                Images=tested[label],
                Recall=_rounded(found.recall[label]),
                Precision=_rounded(found.precision[label]),
            )
            for label, name in enumerate(one.classes)
        },
        ConfusionMatrix=found.confusion,
        BestEpoch=made.fitted.best_epoch,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _training(
    request: Request, told: Description, made: Made, rounding: float, loss: float
) -> TrainingFacts:
    plan = request.plan
    initial = "random"
    if made.initial_sha256:
        initial = told.InitialWeights or "not described"
    elif made.grown_from:
        initial = f"the layers of {made.grown_from.Name}; the added blocks begin as the identity"
    return TrainingFacts(
        InitialWeights=initial,
        InitialWeightsSHA256=made.initial_sha256,
        Epochs=len(made.fitted.history),
        BatchSize=plan.batch_size,
        LearningRate=plan.learning_rate,
        Optimizer=_optimizer(plan),
        ClassBalance="each class weighs the same in the loss" if plan.balanced else "none",
        Augmentation=_augmentation(plan, taught=made.teacher is not None),
        Seed=plan.seed,
        Command=request.command,
        Device=f"{request.device.type}, {platform.machine()}",
        Seconds=round(sum(line.seconds for line in made.fitted.history), 1),
        Precision=request.kept,
        LargestRoundingDifference=round(rounding, 6),
        AccuracyLossByRounding=round(loss, 4),
        Versions={name: version(name) for name in ("preread", "torch", "torchvision", "numpy")},
        Transfer=plan.transfer.value,
        Teacher=made.teacher,
        GrownFrom=made.grown_from,
        SplitSHA256=split_digest(request.split_draft),
    )


def _optimizer(plan: Plan) -> str:
    if plan.optimizer is Optimizer.SGD:
        told = "plain stochastic gradient descent at one rate"
    else:
        told = (
            f"AdamW, weight decay {plan.weight_decay:g}, a tenth of warming up, then half a cosine"
        )
    if plan.smoothing:
        told += f"; labels smoothed by {plan.smoothing:g}"
    if plan.averaging:
        told += f"; weights averaged over the steps (decay {plan.averaging:g})"
    return f"{told}; computed in {plan.precision.value}"


def _augmentation(plan: Plan, *, taught: bool) -> str:
    if not plan.augmentation:
        return "none"
    told = f"{plan.augmentation:g} times: {augmentation.DESCRIPTION}"
    return f"{told}; {VIEWS} such views of each image, as the teacher saw them" if taught else told
