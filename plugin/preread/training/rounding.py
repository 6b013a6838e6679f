"""A folder's network rounded to 8 bits, with the cards of all models that share it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from preread.models.card import CARD, card_text
from preread.models.catalogue import Catalogue
from preread.models.engine import cores
from preread.models.head import Head
from preread.models.loading import read_network
from preread.models.openvino_engine import OpenVinoBackbone, read_onnx
from preread.models.weights import sha256_of, write_atomically
from preread.training.cards import quantization
from preread.training.errors import TrainingError
from preread.training.evaluation.record import read_record
from preread.training.onnx_rounding import CALIBRATION_IMAGES, Ranges, check_nncf, rounded
from preread.training.pictures import batch_of_one, frames_below

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.models.card_facts import QuantizationFacts
    from preread.models.model import Model


def quantize(
    folder: Path,
    file: str,
    images: Path,
    ranges: Ranges = Ranges.HISTOGRAM,
    in_float: Collection[str] = (),
    seed: int = 0,
    progress: Callable[[int], None] = lambda _done: None,
) -> tuple[Model, ...]:
    """Round a network to 8 bits, in place, and write what it cost into the cards of its models.

    Parameters
    ----------
    folder
        Of models.
    file
        The network, as cards name it, such as ``backbones/InceptionV3.onnx``; or the name of a
        model with a network of its own.
    images
        A folder with the images that it was trained on. Those of the training part set the ranges,
        and those of the test part tell the cost.
    ranges, in_float
        See `preread.training.onnx_rounding.rounded`.
    seed
        Of the choice of images.
    progress
        Called with how many images have been read.

    Returns
    -------
    tuple of Model
        The models that share it, as they are now.

    Raises
    ------
    TrainingError
        If no model has the network, it is rounded already, or images are missing.
    preread.errors.PrereadError
        If a model cannot be used, or its split is not there.
    """
    check_nncf()
    models = _models(folder, file)
    first = models[0]
    if first.card.Backbone.Precision == "int8":
        raise TrainingError(f"{file}: is in 8 bits already")
    parts = {model.name: _parts(model) for model in models}
    training = sorted(set().union(*(part["training"] for part in parts.values())))
    count = min(CALIBRATION_IMAGES, len(training))
    chosen = {
        training[at]
        for at in np.random.default_rng(seed).choice(len(training), count, replace=False)
    }
    tested = set().union(*(part["test"] for part in parts.values()))
    found = _read(first, images, chosen | tested, progress)
    if missing := (chosen | tested) - found.keys():
        raise TrainingError(
            f"{images.name}: {len(missing)} images of the split are not there; name the folder "
            "that the network was trained on"
        )
    before = read_network(first)
    after = rounded(before, [found[one] for one in sorted(chosen)], ranges, in_float)
    answers = [_features(first, one, found, sorted(tested)) for one in (before, after)]
    facts = []
    for model in models:
        own = [at for at, one in enumerate(sorted(tested)) if one in parts[model.name]["test"]]
        rows = [Head.of(model).probabilities(features[own]) for features in answers]
        facts.append(quantization(rows[0], rows[1], count))
    write_atomically(first.backbone, after)
    for model, told in zip(models, facts, strict=True):
        _write_card(model, sha256_of(after), told)
    _tell_whose_it_was(folder, first.backbone_sha256, sha256_of(after))
    return _models(folder, file)


def _models(folder: Path, file: str) -> tuple[Model, ...]:
    catalogue = Catalogue.load(folder)
    models = tuple(model for model in catalogue if file in (model.name, model.card.Backbone.File))
    if not models:
        there = sorted({model.card.Backbone.File for model in catalogue})
        raise TrainingError(f"{file[:80]}: no model has it; there are {', '.join(there)}")
    same = models[0].card
    for model in models:
        if model.card.Preprocessing != same.Preprocessing:
            raise TrainingError(f"{file}: its models take images of different sizes")
    judged = [model.name for model in catalogue if model.judge.backbone == models[0].backbone]
    if judged:
        raise TrainingError(
            f"{file}: its features tell which images are unlike ({', '.join(judged)}), at a "
            "threshold that was found in float32; it stays as it is"
        )
    return models


def _parts(model: Model) -> dict[str, set[str]]:
    record = read_record(model)
    if record is None:
        raise TrainingError(f"{model.name}: nothing tells which images it was trained on")
    name = record.set_of(model)
    return {part: {row.sha256 for row in record.of(name, part)} for part in ("training", "test")}


def _read(
    model: Model, images: Path, wanted: set[str], progress: Callable[[int], None]
) -> dict[str, NDArray[np.float32]]:
    found: dict[str, NDArray[np.float32]] = {}
    for one in frames_below(images, wanted):
        found[one.sha256] = batch_of_one(one.frame, model.card.Preprocessing)
        progress(len(found))
    return found


def _features(
    model: Model, network: bytes, found: dict[str, NDArray[np.float32]], order: Sequence[str]
) -> NDArray[np.float32]:
    shape = model.card.Preprocessing.shape
    loaded = OpenVinoBackbone(read_onnx(network, shape, "the network"), cores())
    return np.concatenate([loaded.features(found[one]) for one in order])


def _tell_whose_it_was(folder: Path, before: str, after: str) -> None:
    """Have the cards of models that learnt from a network, or grew from it, name it as it is."""
    for model in Catalogue.load(folder):
        training = model.card.Training
        named = {
            key: facts.model_copy(update={"WeightsSHA256": after})
            for key, facts in (("Teacher", training.Teacher), ("GrownFrom", training.GrownFrom))
            if facts is not None and facts.WeightsSHA256 == before
        }
        if named:
            card = model.card.model_copy(update={"Training": training.model_copy(update=named)})
            write_atomically(model.folder / CARD, card_text(card).encode())


def _write_card(model: Model, sha256: str, told: QuantizationFacts | None) -> None:
    backbone = model.card.Backbone.model_copy(update={"SHA256": sha256, "Precision": "int8"})
    card = model.card.model_copy(update={"Backbone": backbone, "Quantization": told})
    write_atomically(model.folder / CARD, card_text(card).encode())
