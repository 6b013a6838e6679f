"""From a folder of images to a folder with a model: weights and the card that tells of them."""

from __future__ import annotations

import datetime as dt
import hashlib
import json
import platform
from dataclasses import asdict, dataclass
from importlib.metadata import version
from typing import TYPE_CHECKING, Protocol

import torch

from preread.imaging import Preprocessing
from preread.models.architectures import build
from preread.models.card import (
    CARD,
    WEIGHTS,
    ArchitectureName,
    ClassMetrics,
    DatasetFacts,
    ModelCard,
    QuantizationFacts,
    SplitMetrics,
    TrainingFacts,
    card_text,
)
from preread.models.weights import (
    load_network,
    load_pretrained,
    sha256_of,
    weights_bytes,
    write_atomically,
)
from preread.training import augmentation
from preread.training.errors import TrainingError
from preread.training.fitting import Epoch, Fitted, Fitting, Plan, batches_of, probabilities
from preread.training.folder import DataSet, read_folder
from preread.training.metrics import Figures, figures
from preread.training.normalisation import is_folded, unfold
from preread.training.quantizing import quantize
from preread.training.splits import Split, SplitKind, split

if TYPE_CHECKING:
    from pathlib import Path

    from torch import nn

    from preread.training.description import Description

HISTORY = "history.json"
"""Beside the card: loss and accuracy of each epoch of each split."""

_RANDOM_NOT_RUN = "No random split was run for comparison."


class Progress(Protocol):
    """Who is told how far it is."""

    def reading(self, done: int, count: int) -> None:
        """Tell that so many files of all are read."""
        ...

    def fitting(self, kind: SplitKind, epochs: int, done: int) -> None:
        """Tell that the fit on a split begins, or goes on after so many epochs."""
        ...

    def epoch(self, epoch: Epoch) -> None:
        """Tell that an epoch is done."""
        ...

    def measured(self, kind: SplitKind, found: Figures) -> None:
        """Tell what the test part of a split gave."""
        ...


@dataclass(frozen=True, slots=True)
class Request:
    """All that a training is asked for.

    Attributes
    ----------
    data
        Folder of class folders.
    output
        Folder of the model; its card and weights are replaced.
    checkpoints
        Folder where the states of unfinished fits are kept.
    architecture, pretrained
        The network, and the file that it starts from; None for random weights.
    description
        What the card says that cannot be measured.
    size
        Side of the network's input, in pixels.
    test, validation
        Shares, see `preread.training.splits.split`.
    kind
        The split of the shipped weights.
    compare
        Whether a second network is fitted on the random split, only to be measured.
    plan
        How it is fitted.
    half
        Whether the weights are kept in float16.
    int8
        Whether an 8-bit copy is made and measured.
    device
        Where it runs.
    command
        For the card.
    """

    data: Path
    output: Path
    checkpoints: Path
    architecture: ArchitectureName
    pretrained: Path | None
    description: Description
    size: int
    test: float
    validation: float
    kind: SplitKind
    compare: bool
    plan: Plan
    half: bool
    int8: bool
    device: torch.device
    command: str

    @property
    def preprocessing(self) -> Preprocessing:
        """What is done to images before the network sees them."""
        return Preprocessing(size=(self.size, self.size), window=self.description.Window)


@dataclass(frozen=True, slots=True, eq=False)
class _Outcome:
    network: nn.Module
    split: Split
    fitted: Fitted
    initial_sha256: str | None


def train(request: Request, progress: Progress) -> ModelCard:
    """Fit, measure, and write the model's folder.

    Returns
    -------
    ModelCard
        The card that was written.

    Raises
    ------
    TrainingError
        If the data or the options cannot be used.
    preread.models.card.InvalidModelError
        If the pretrained weights do not fit.
    """
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    data = read_folder(
        request.data, request.preprocessing, request.description.Classes, progress.reading
    )
    request.checkpoints.mkdir(parents=True, exist_ok=True)
    main = _fit(request, data, request.kind, progress)
    weights = weights_bytes(main.network, half=request.half)
    request.output.mkdir(parents=True, exist_ok=True)
    write_atomically(request.output / WEIGHTS, weights)

    # What is measured is what was written, rounding included.
    sha256 = sha256_of(weights)
    shipped = load_network(
        request.output / WEIGHTS, sha256, request.architecture, len(data.classes)
    ).to(request.device)
    tested = main.split.test
    found = probabilities(shipped, data, tested, request.device)
    exact = probabilities(main.network, data, tested, request.device)
    labels = torch.from_numpy(data.labels[tested])
    measured = figures(found, labels)
    progress.measured(request.kind, measured)
    metrics = [_metrics(request, data, main, measured, request.kind, shipped=True)]
    history = {request.kind.value: [asdict(line) for line in main.fitted.history]}
    if request.compare and request.kind is not SplitKind.RANDOM:
        other = _fit(request, data, SplitKind.RANDOM, progress)
        labels = torch.from_numpy(data.labels[other.split.test])
        measured = figures(
            probabilities(other.network, data, other.split.test, request.device), labels
        )
        progress.measured(SplitKind.RANDOM, measured)
        metrics.append(_metrics(request, data, other, measured, SplitKind.RANDOM, shipped=False))
        history["random"] = [asdict(line) for line in other.fitted.history]
    quantized = None
    if request.int8:
        quantized = quantize(
            shipped.cpu(), data, main.split, seed=request.plan.seed, output=request.output
        )
    card = _card(
        request,
        data,
        main,
        tuple(metrics),
        quantized,
        sha256=sha256,
        rounding=float((found - exact).abs().max()),
    )
    write_atomically(request.output / HISTORY, (json.dumps(history, indent=1) + "\n").encode())
    write_atomically(request.output / CARD, card_text(card).encode())
    return card


def _fit(request: Request, data: DataSet, kind: SplitKind, progress: Progress) -> _Outcome:
    parts = split(
        data.labels,
        data.thumbnails,
        kind,
        test=request.test,
        validation=request.validation,
        seed=request.plan.seed,
    )
    torch.manual_seed(request.plan.seed)
    network = build(request.architecture, len(data.classes))
    initial = None
    if request.pretrained is not None:
        initial = load_pretrained(network, request.pretrained, request.architecture)
        if is_folded(network):
            unfold(network, batches_of(data, parts.training, 32))
    black, white = _black_and_white(request.preprocessing)
    fitting = Fitting(
        network,
        data,
        parts,
        black=black,
        white=white,
        plan=request.plan,
        checkpoint=request.checkpoints / f"{request.output.name}-{kind.value}.pt",
        origin=_origin(request, data, parts, initial),
        device=request.device,
    )
    progress.fitting(kind, request.plan.epochs, fitting.done)
    return _Outcome(network, parts, fitting.run(progress.epoch), initial)


def _black_and_white(preprocessing: Preprocessing) -> tuple[float, float]:
    if len(set(preprocessing.mean)) > 1 or len(set(preprocessing.std)) > 1:
        raise TrainingError("preprocessing: training takes one mean and std for all channels")
    low, high = preprocessing.range
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    return (low - mean) / std, (high - mean) / std


def _origin(request: Request, data: DataSet, parts: Split, initial: str | None) -> str:
    """Give a digest of all that the outcome of a fit depends on."""
    digest = hashlib.sha256()
    facts = [
        request.architecture.value,
        initial,
        asdict(request.plan),
        data.classes,
        data.digests,
        [int(label) for label in data.labels],
    ]
    digest.update(json.dumps(facts).encode())
    for image in data.images:
        digest.update(image.data)
    for part in (parts.training, parts.validation, parts.test):
        digest.update(b"|" + part.tobytes())
    return digest.hexdigest()


def _metrics(
    request: Request,
    data: DataSet,
    outcome: _Outcome,
    found: Figures,
    kind: SplitKind,
    *,
    shipped: bool,
) -> SplitMetrics:
    tested = [sum(row) for row in found.confusion]
    return SplitMetrics(
        Split=kind.value,
        Seed=request.plan.seed,
        TrainingImages=len(outcome.split.training),
        ValidationImages=len(outcome.split.validation),
        TestImages=len(outcome.split.test),
        Groups=outcome.split.groups,
        ShippedWeights=shipped,
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
            for label, name in enumerate(data.classes)
        },
        ConfusionMatrix=found.confusion,
        BestEpoch=outcome.fitted.best_epoch,
    )


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _card(
    request: Request,
    data: DataSet,
    outcome: _Outcome,
    metrics: tuple[SplitMetrics, ...],
    quantized: QuantizationFacts | None,
    *,
    sha256: str,
    rounding: float,
) -> ModelCard:
    told, plan = request.description, request.plan
    limits = told.Limits
    if not any(entry.Split == SplitKind.RANDOM.value for entry in metrics):
        limits = (*limits, _RANDOM_NOT_RUN)
    return ModelCard(
        Name=told.Name,
        Version=told.Version,
        Date=dt.datetime.now(dt.UTC).date(),
        Architecture=request.architecture,
        Preprocessing=request.preprocessing,
        Classes=data.classes,
        Dataset=DatasetFacts(
            Name=told.Dataset.Name,
            License=told.Dataset.License,
            Attribution=told.Dataset.Attribution,
            Source=told.Dataset.Source,
            Images=len(data) + data.duplicates,
            UniqueImages=len(data),
            ImagesPerClass=data.counts(),
        ),
        Metrics=metrics,
        Limits=limits,
        License=told.License,
        Attribution=told.Attribution,
        AppliesTo=told.AppliesTo,
        WeightsSHA256=sha256,
        Quantization=quantized,
        Training=TrainingFacts(
            InitialWeights=(told.InitialWeights or "not described")
            if outcome.initial_sha256
            else "random",
            InitialWeightsSHA256=outcome.initial_sha256,
            Epochs=len(outcome.fitted.history),
            BatchSize=plan.batch_size,
            LearningRate=plan.learning_rate,
            Optimizer=f"AdamW, weight decay {plan.weight_decay:g}, one epoch of warming up, then "
            "half a cosine; all layers trained",
            ClassBalance="each class weighs the same in the loss" if plan.balanced else "none",
            Augmentation=augmentation.DESCRIPTION if plan.augmented else "none",
            Seed=plan.seed,
            Command=request.command,
            Device=f"{request.device.type}, {platform.machine()}",
            Seconds=round(sum(line.seconds for line in outcome.fitted.history), 1),
            Precision="float16" if request.half else "float32",
            LargestRoundingDifference=round(rounding, 6),
            Versions={name: version(name) for name in ("preread", "torch", "torchvision", "numpy")},
        ),
    )
