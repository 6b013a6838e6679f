"""The files of a fitted network's weights, and what is known of its features only then.

Everything that is measured is measured on what is written, rounding included.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from preread.models.architectures import build_backbone
from preread.models.card import WEIGHTS
from preread.models.card_facts import BackboneFacts, JudgeFacts, OutOfDistributionFacts
from preread.models.novelty import FEWEST, METHOD, Novelty
from preread.models.weights import (
    fill,
    parse_weights,
    sha256_of,
    weights_bytes,
    write_atomically,
)
from preread.training.data_set import ONLY_SET
from preread.training.errors import TrainingError
from preread.training.judging import judge_of
from preread.training.measuring import features_of
from preread.training.network import Network, head_arrays, outputs_of
from preread.training.request import BACKBONES

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.models.model import Model
    from preread.training.data_set import DataSet, LabelSet
    from preread.training.request import Request
    from preread.training.splits import Split

SMALL_KERNEL: Final = 40_000
"""Weights below which a tensor is not kept in 8 bits: a network's first layers, whose rounding goes
through all others, are a hundredth of its size."""

HELD_OUT_SHARE: Final = 0.99
"""Share of the validation part that lies below the threshold of `Novelty`."""


@dataclass(frozen=True, slots=True, eq=False)
class Written:
    """One model's weights as they are to lie on disk.

    Attributes
    ----------
    backbone
        The shared file, if there is one.
    weights_sha256
        Of the model's own file.
    logits
        float64 (N, classes) for every image of the data, from the written weights, before any
        temperature.
    exact
        The same from the weights before rounding, for the test part alone.
    out_of_distribution
        For the card; None without a validation part.
    files
        What is to be written where; what models share is named by each.
    """

    backbone: BackboneFacts | None
    weights_sha256: str
    logits: NDArray[np.float64]
    exact: NDArray[np.float64]
    out_of_distribution: OutOfDistributionFacts | None
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
    backbone = {
        name: np.asarray(tensor.detach().cpu().numpy(), dtype=np.float32)
        for name, tensor in network.backbone.state_dict().items()
        if not name.endswith("num_batches_tracked")
    }
    kept = weights_bytes(backbone, request.kept, whole_from=SMALL_KERNEL)
    everything = np.arange(len(data), dtype=np.int64)
    rounded = fill(build_backbone(request.architecture), parse_weights(kept, "weights")).eval()
    features = _features(rounded.to(request.device), request, data, everything)
    before = _features(network.backbone, request, data, split.test)
    judging = None if judge is None else judge_of(request, judge, whole_from=SMALL_KERNEL)
    told: tuple[JudgeFacts | None, NDArray[np.float32]] = (None, features)
    if judging is not None:
        seen = _features(judging.backbone.to(request.device), request, data, everything)
        told = (judging.facts, seen)
    facts, shared = None, {} if judging is None else dict(judging.files)
    if request.shares_backbone:
        place = request.output.parent / BACKBONES / f"{request.output.name}.safetensors"
        shared[place] = kept
        facts = BackboneFacts(
            File=f"{BACKBONES}/{place.name}", SHA256=sha256_of(kept), Precision=request.kept
        )
    return tuple(
        _own(request, one, split, (features, before), told, facts, (*own, shared))
        for one, own in zip(
            data.sets,
            (
                (folder, head_arrays(network, outputs, request.architecture), backbone)
                for folder, outputs in zip(folders, outputs_of(data.sets), strict=True)
            ),
            strict=True,
        )
    )


def write_weights(models: Sequence[Written]) -> None:
    """Put the weights of models in their places."""
    files = {place: content for model in models for place, content in model.files.items()}
    for place in files:
        place.parent.mkdir(parents=True, exist_ok=True)
    for place, content in files.items():
        write_atomically(place, content)


def _features(
    backbone: torch.nn.Module, request: Request, data: DataSet, part: NDArray[np.int64]
) -> NDArray[np.float32]:
    return features_of(backbone, data, part, request.device).cpu().numpy()


def _own(
    request: Request,
    one: LabelSet,
    split: Split,
    features: tuple[NDArray[np.float32], NDArray[np.float32]],
    judged: tuple[JudgeFacts | None, NDArray[np.float32]],
    facts: BackboneFacts | None,
    own: tuple[Path, dict[str, NDArray[Any]], dict[str, NDArray[Any]], dict[Path, bytes]],
) -> Written:
    folder, head, backbone, shared = own
    inside = one.labels >= 0
    novelty, told = _novelty(judged, split, inside)
    arrays = head | novelty if facts is not None else backbone | head | novelty
    # A last layer of its own is a few kilobytes, which need no rounding.
    precision = "float32" if facts is not None else request.kept
    data = weights_bytes(arrays, precision, whole_from=SMALL_KERNEL)
    written = parse_weights(data, WEIGHTS)
    return Written(
        backbone=facts,
        weights_sha256=sha256_of(data),
        logits=logits_with({name: written[name] for name in head}, features[0]),
        exact=logits_with(head, features[1]),
        out_of_distribution=told,
        files=shared | {folder / WEIGHTS: data},
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
