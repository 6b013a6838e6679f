"""From images to folders with models: weights and the cards that tell of them."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Final

import torch

from preread.models.backbones import RECORDS
from preread.models.card import CARD, ModelCard, card_text, read_card
from preread.models.catalogue import FOLDER_NAME
from preread.models.loading import load_backbone, read_own
from preread.models.model import Model
from preread.models.weights import fill, load_pretrained, write_atomically
from preread.training.cards import Made, card_of, check_classes, check_kind
from preread.training.errors import TrainingError
from preread.training.fitting import Fitted, Fitting
from preread.training.folder import read_folder
from preread.training.growing import grow
from preread.training.kept_split import keep_split
from preread.training.lesson_file import kept_lessons
from preread.training.listing import read_listing
from preread.training.loop import Places
from preread.training.measuring import batches_of
from preread.training.network import Network
from preread.training.normalisation import is_folded, unfold
from preread.training.onnx_rounding import check_nncf
from preread.training.plan import Transfer
from preread.training.pretrained import check_same_split
from preread.training.split_file import split_digest
from preread.training.splits import Split, SplitKind
from preread.training.teacher import (
    VIEWS,
    facts_of,
    lessons,
    load_teacher,
    model_folders,
    trained_model,
)
from preread.training.writing import weights_of, write_weights

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    import numpy as np
    from numpy.typing import NDArray

    from preread.imaging import Preprocessing
    from preread.models.card_facts import TeacherFacts
    from preread.training.data_set import DataSet
    from preread.training.request import Progress, Request
    from preread.training.teacher import Lessons

HISTORY: Final = "history.json"
"""Beside the card: loss and accuracy of each epoch, by split."""

_STATISTICS: Final = 384  # images


@dataclass(frozen=True, slots=True, eq=False)
class _Origin:
    """What a network starts from."""

    initial_sha256: str | None = None
    grown_from: TeacherFacts | None = None
    teacher: TeacherFacts | None = None
    judge: Model | None = None


def train(request: Request, progress: Progress) -> tuple[ModelCard, ...]:
    """Fit, measure, and write the folder of each set's model.

    Returns
    -------
    tuple of ModelCard
        The cards that were written.

    Raises
    ------
    TrainingError
        If the data or the options cannot be used.
    preread.models.card.InvalidModelError
        If weights that it starts or learns from do not fit.
    """
    _check(request)
    torch.use_deterministic_algorithms(mode=True, warn_only=True)
    data = _read(request, request.preprocessing, progress)
    check_classes(data.sets)
    check_kind(data)
    split = keep_split(request, data)
    split_sha256 = split_digest(request.split_draft)
    torch.manual_seed(request.plan.seed)
    outputs = sum(len(one.classes) for one in data.sets)
    network = Network(request.architecture, outputs)
    grown = _start_grown(request, network, data, split_sha256)
    initial = _start_pretrained(request, network, data, split)
    taught, teacher = _learn(request, data, split, split_sha256, progress)
    judge = None
    if initial is None and request.teacher is not None:
        judge = trained_model(request.teacher, data.sets, split_sha256, "--teacher")[0]
    plan = request.plan
    if initial is None:
        # A random backbone has no features worth fitting a layer to; a grown one brings its layer.
        plan = replace(plan, probing=False, fixed_statistics=False)
    else:
        # A layer that began fitted has kept up with features that moved little.
        plan = replace(plan, refitting=False)
    fitting = Fitting(
        network,
        data,
        split,
        levels=levels(request.preprocessing),
        plan=plan,
        places=Places(
            checkpoint=request.checkpoints / f"{request.output.name}.pt",
            origin=_digest(
                request, data, split, [initial, *_names(grown, teacher), *_others(request, data)]
            ),
            device=request.device,
        ),
        lessons=taught,
    )
    progress.fitting(request.plan.epochs, fitting.done)
    fitted = fitting.run(progress.epoch)
    return _finish(
        request, data, split, network, fitted, _Origin(initial, grown, teacher, judge), progress
    )


def levels(preprocessing: Preprocessing) -> tuple[float, float]:
    """Give what a preprocessing makes of black and white.

    Raises
    ------
    TrainingError
        If it differs by channel.
    """
    if len(set(preprocessing.mean)) > 1 or len(set(preprocessing.std)) > 1:
        raise TrainingError("preprocessing: training takes one mean and std for all channels")
    low, high = preprocessing.range
    mean, std = preprocessing.mean[0], preprocessing.std[0]
    return (low - mean) / std, (high - mean) / std


def _check(request: Request) -> None:
    for name in request.models:
        if not FOLDER_NAME.fullmatch(name):
            raise TrainingError(
                f"--output: a model called {name[:80]!r} would not be served; expected letters, "
                "digits, '.', '_' and '-', a letter or digit first, 64 at most"
            )
    if len(set(request.models)) < len(request.models):
        raise TrainingError("--description: two have the same Set")
    smallest = RECORDS[request.architecture].smallest_side
    if request.size < smallest:
        raise TrainingError(
            f"--size {request.size}: {request.architecture} needs {smallest} or more"
        )
    if request.kept == "int8":
        check_nncf()
    _check_start(request)


def _check_start(request: Request) -> None:
    """Check what the network starts and learns from."""
    extraction = request.plan.transfer is Transfer.FEATURE_EXTRACTION
    if extraction and request.pretrained is None and request.grown_from is None:
        raise TrainingError(
            "--transfer feature-extraction fits the last layer alone: name what the others come "
            "from with --pretrained, or choose fine-tuning"
        )
    if extraction and request.teacher is not None:
        raise TrainingError("--teacher: for --transfer fine-tuning alone")
    if request.teacher is not None and not request.plan.distillation:
        raise TrainingError("--teacher: has no say with --distillation 0; choose more, up to 1")
    if request.pretrained is not None and request.grown_from is not None:
        raise TrainingError("--pretrained and --grown-from: a network starts from one of them")


def _read(request: Request, preprocessing: Preprocessing, progress: Progress) -> DataSet:
    told = request.descriptions
    if request.data.is_dir():
        if len(told) > 1:
            raise TrainingError(
                f"{request.data.name}: a folder is one set; describe several in a CSV"
            )
        return read_folder(request.data, preprocessing, told[0].Classes, progress.reading)
    return read_listing(
        request.data,
        request.root,
        preprocessing,
        [one.Set for one in told],
        progress.reading,
        names={one.Set: one.Classes for one in told if one.Classes},
    )


def _start_pretrained(
    request: Request, network: Network, data: DataSet, split: Split
) -> str | None:
    if request.pretrained is None:
        return None
    check_same_split(request.pretrained, split_digest(request.split_draft))
    sha256 = load_pretrained(network.backbone, request.pretrained, request.architecture)
    if is_folded(network.backbone):
        unfold(network.backbone, batches_of(data, _some(split.training), 32))
    return sha256


def _some(part: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give enough of some images to measure statistics on, spread evenly."""
    return part[:: max(1, len(part) // _STATISTICS)]


def _start_grown(
    request: Request, network: Network, data: DataSet, split_sha256: str
) -> TeacherFacts | None:
    if request.grown_from is None:
        return None
    models = trained_model(request.grown_from, data.sets, split_sha256, "--grown-from")
    grow(load_backbone(models[0]), network.backbone)
    heads = [read_own(model).head for model in models]
    rows = {
        key: torch.cat(
            [
                torch.from_numpy(array).flatten(1) if array.ndim > 1 else torch.from_numpy(array)
                for head in heads
                for name, array in head.items()
                if name.endswith(f".{key}")
            ]
        ).numpy()
        for key in ("weight", "bias")
    }
    fill(network.head, rows)
    return facts_of(models, split_sha256)


def _learn(
    request: Request, data: DataSet, split: Split, split_sha256: str, progress: Progress
) -> tuple[Lessons | None, TeacherFacts | None]:
    if request.teacher is None:
        return None, None
    models = trained_model(request.teacher, data.sets, split_sha256, "--teacher")
    teacher = load_teacher(models, split_sha256, request.device)
    theirs = teacher.card.Preprocessing
    if levels(theirs) != levels(request.preprocessing):
        raise TrainingError("--teacher: its preprocessing has another range, mean or std")
    seen = data if theirs == request.preprocessing else _read(request, theirs, progress)

    def taught() -> Lessons:
        return lessons(
            teacher,
            seen,
            split.training,
            size=request.preprocessing.size,
            levels=levels(theirs),
            strength=request.plan.augmentation,
            seed=request.plan.seed,
            progress=progress.teaching,
        )

    origin = hashlib.sha256()
    facts = [
        [(model.backbone_sha256, model.card.WeightsSHA256) for model in models],
        repr(theirs),
        request.preprocessing.size,
        [seen.digests[index] for index in split.training],
        (request.plan.augmentation, request.plan.seed, VIEWS),
    ]
    origin.update(json.dumps(facts).encode())
    return kept_lessons(request.checkpoints, origin.hexdigest(), taught), teacher.facts


def _names(*facts: TeacherFacts | None) -> list[str | None]:
    return [None if one is None else one.WeightsSHA256 for one in facts]


def _others(request: Request, data: DataSet) -> list[str]:
    """Give the digests of what is their own of the models that it starts or learns from."""
    return [
        read_card(folder).WeightsSHA256
        for prefix in (request.grown_from, request.teacher)
        if prefix is not None
        for folder in model_folders(prefix, data.sets)
    ]


def _digest(request: Request, data: DataSet, split: Split, origins: list[str | None]) -> str:
    """Give a digest of all that the outcome of a fit depends on."""
    digest = hashlib.sha256()
    facts = [
        request.architecture.value,
        origins,
        asdict(request.plan),
        [[one.name, one.classes, one.labels.tolist()] for one in data.sets],
        data.digests,
    ]
    digest.update(json.dumps(facts).encode())
    for image in data.images:
        digest.update(image.data)
    for part in (split.training, split.validation, split.test):
        digest.update(b"|" + part.tobytes())
    return digest.hexdigest()


def _finish(
    request: Request,
    data: DataSet,
    split: Split,
    network: Network,
    fitted: Fitted,
    origin: _Origin,
    progress: Progress,
) -> tuple[ModelCard, ...]:
    """Make the weights, measure them as they will lie on disk, and write them with their cards.

    Nothing is written before all that can be wrong has been found.
    """
    folders = model_folders(request.output, data.sets)
    written = weights_of(request, data, split, network, folders, origin.judge)
    kind = "random" if split.groups is None else "grouped"
    cards = []
    for number, told in enumerate(request.descriptions):
        made = Made(
            number=number,
            fitted=fitted,
            initial_sha256=origin.initial_sha256,
            grown_from=origin.grown_from,
            teacher=origin.teacher,
            written=written[number],
        )
        card, found = card_of(request, told, data, split, made)
        progress.measured(data.sets[number].name, SplitKind(kind), found)
        cards.append(card)
    write_weights(written)
    write_atomically(request.split_file, request.split_draft.read_bytes())
    history = {kind: [asdict(line) for line in fitted.history]}
    for folder in folders:
        write_atomically(folder / HISTORY, (json.dumps(history, indent=1) + "\n").encode())
    _write_cards(folders, cards)
    return tuple(cards)


def _write_cards(folders: Sequence[Path], cards: Sequence[ModelCard]) -> None:
    for folder, card in zip(folders, cards, strict=True):
        write_atomically(folder / CARD, card_text(card).encode())
