"""The files of a fitted network's weights, and what is known of its features only then.

Everything that is measured is measured on what is written, rounding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import numpy as np

from preread.models.card import NETWORK, WEIGHTS
from preread.models.card_facts import BackboneFacts, JudgeFacts, OutOfDistributionFacts
from preread.models.engine import cores
from preread.models.novelty import FEWEST, METHOD, Novelty
from preread.models.openvino_engine import OpenVinoBackbone, read_onnx
from preread.models.weights import (
    parse_weights,
    sha256_of,
    weights_bytes,
    write_atomically,
)
from preread.training.data_set import ONLY_SET
from preread.training.errors import TrainingError
from preread.training.judging import judge_of
from preread.training.measuring import batches_of, features_of
from preread.training.network import head_arrays, outputs_of
from preread.training.onnx_making import onnx_of
from preread.training.onnx_rounding import CALIBRATION_IMAGES, rounded
from preread.training.request import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.models.model import Model
    from preread.training.data_set import DataSet, LabelSet
    from preread.training.network import Network
    from preread.training.request import Request
    from preread.training.splits import Split

HELD_OUT_SHARE: Final = 0.99
"""Share of the validation part that lies below the threshold of `Novelty`."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """One model's weights as they are to lie on disk.

    Attributes
    ----------
    backbone
        The network.
    weights_sha256
        Of the model's own file.
    logits
        float64 (N, classes) for every image of the data, from the written weights, before any
        temperature.
    exact
        The same from the weights before rounding, for the test part alone.
    out_of_distribution
        For the card; None without a validation part.
    calibrating
        How many images set the ranges of 8 bits; 0 for float32.
    files
        What is to be written where; what models share is named by each.
    """

    backbone: BackboneFacts
    weights_sha256: str
    logits: NDArray[np.float64]
    exact: NDArray[np.float64]
    out_of_distribution: OutOfDistributionFacts | None
    calibrating: int
    files: Mapping[Path, bytes]


def check_enough(data: DataSet, split: Split) -> None:
    """Refuse too few images to tell unlike ones by, before anything is fitted to them.

    Raises
    ------
    TrainingError
        With the set.
    """
    for one in data.sets:
        count, held_out = (
            int((one.labels[part] >= 0).sum()) for part in (split.training, split.validation)
        )
        if held_out and count < FEWEST:
            where = "" if one.name == ONLY_SET else f" of {one.name}"
            raise TrainingError(
                f"{count} images{where} in the training part: expected {FEWEST} or more, to tell "
                "images that are unlike them; add images, choose other shares, or hold out no "
                "validation part"
            )


def weights_of(
    request: Request,
    data: DataSet,
    split: Split,
    network: Network,
    folders: Sequence[Path],
    judge: Model | None = None,
) -> tuple[Written, ...]:
    """Make one model of a fitted network for each set; see `Written`.

    Parameters
    ----------
    request, data, split, network
        What was asked for, and what was fitted to what.
    folders
        Of the models.
    judge
        Whose features tell images unlike the training data; None for the network's own.
    """
    kept = onnx_of(network.backbone, request.architecture)
    calibrating = _calibrating(request, split) if request.kept == "int8" else split.training[:0]
    if request.kept == "int8":
        kept = rounded(kept, [batch.numpy() for batch in batches_of(data, calibrating, 1)])
    shape = request.preprocessing.shape
    everything = np.arange(len(data), dtype=np.int64)
    features = written_features(kept, shape, data, everything)
    before = features_of(network.backbone, data, split.test, request.device).cpu().numpy()
    judging = None if judge is None else judge_of(request, judge)
    told: tuple[JudgeFacts | None, NDArray[np.float32]] = (None, features)
    if judging is not None:
        told = (judging.facts, written_features(judging.data, shape, data, everything))
    place = request.output / NETWORK
    if request.shares_backbone:
        place = request.output.parent / BACKBONES / f"{request.output.name}.onnx"
    shared = {place: kept} | ({} if judging is None else dict(judging.files))
    facts = BackboneFacts(
        File=f"{BACKBONES}/{place.name}" if request.shares_backbone else NETWORK,
        SHA256=sha256_of(kept),
        Precision=request.kept,
    )
    heads = [
        head_arrays(network, outputs, request.architecture) for outputs in outputs_of(data.sets)
    ]
    return tuple(
        _own(
            _Common(facts, features, before, told, len(calibrating), shared),
            one,
            split,
            folder,
            head,
        )
        for one, folder, head in zip(data.sets, folders, heads, strict=True)
    )


def _calibrating(request: Request, split: Split) -> NDArray[np.int64]:
    """Choose images of the training part, as many of each class as there are."""
    random = np.random.default_rng(request.plan.seed)
    count = min(CALIBRATION_IMAGES, len(split.training))
    return np.sort(random.choice(split.training, size=count, replace=False))


def written_features(
    network: bytes, shape: tuple[int, ...], data: DataSet, part: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Give the features (N, D) that a network makes of images as it lies on disk.

    Parameters
    ----------
    network
        ONNX.
    shape
        (C, H, W) of an image.
    data, part
        Of which images.
    """
    loaded = OpenVinoBackbone(read_onnx(network, shape, "the network"), cores())
    return np.concatenate([loaded.features(one.numpy()) for one in batches_of(data, part, 32)])


def write_weights(models: Sequence[Written]) -> None:
    """Put the weights of models in their places."""
    files = {place: content for model in models for place, content in model.files.items()}
    for place in files:
        place.parent.mkdir(parents=True, exist_ok=True)
    for place, content in files.items():
        write_atomically(place, content)


class _Common(NamedTuple):
    """What the models of one network have in common."""

    backbone: BackboneFacts
    features: NDArray[np.float32]
    before: NDArray[np.float32]
    judged: tuple[JudgeFacts | None, NDArray[np.float32]]
    calibrating: int
    files: dict[Path, bytes]


def _own(
    common: _Common,
    one: LabelSet,
    split: Split,
    folder: Path,
    head: dict[str, NDArray[np.float32]],
) -> Written:
    inside = one.labels >= 0
    novelty, told = _novelty(common.judged, split, inside)
    data = weights_bytes(head | novelty)
    written = parse_weights(data, WEIGHTS)
    return Written(
        backbone=common.backbone,
        weights_sha256=sha256_of(data),
        logits=logits_with({name: written[name] for name in head}, common.features),
        exact=logits_with(head, common.before),
        out_of_distribution=told,
        calibrating=common.calibrating,
        files=common.files | {folder / WEIGHTS: data},
    )


def _novelty(
    judged: tuple[JudgeFacts | None, NDArray[np.float32]], split: Split, inside: NDArray[np.bool_]
) -> tuple[dict[str, NDArray[Any]], OutOfDistributionFacts | None]:
    """Learn what the training part looks like, and from the validation part what still counts."""
    held_out = split.validation[inside[split.validation]]
    if not len(held_out):
        return {}, None
    judge, features = judged
    novelty = Novelty.fit(features[split.training[inside[split.training]]])
    scores = Novelty.from_arrays(novelty.arrays()).score(features[held_out])
    threshold = float(np.quantile(scores, HELD_OUT_SHARE))
    return novelty.arrays(), OutOfDistributionFacts(
        Method=METHOD,
        Threshold=float(f"{threshold:.6g}"),
        HeldOutImages=len(held_out),
        HeldOutShare=round(float((scores <= threshold).mean()), 4),
        Judge=judge,
    )


def logits_with(
    head: Mapping[str, NDArray[Any]], features: NDArray[np.float32]
) -> NDArray[np.float64]:
    """Give the logits (N, classes) that a last layer's weights make of features (N, D)."""
    named = {name.rpartition(".")[2]: array.astype(np.float64) for name, array in head.items()}
    weight = named["weight"].reshape(len(named["weight"]), -1)
    logits: NDArray[np.float64] = features.astype(np.float64) @ weight.T + named["bias"]
    return logits
