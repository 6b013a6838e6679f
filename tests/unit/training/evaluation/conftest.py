"""Runs of models made on the spot: random backbones, and last layers fitted on drawn pictures.

Two sets, as in the project's own data: ``Shapes`` (discs, bars, checks) and ``Two``, which holds a
part of the same pictures and knows bars and checks alone.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression

from preread.imaging import Preprocessing
from preread.models.architectures import build_backbone
from preread.models.backbones import RECORDS
from preread.models.card import CARD, WEIGHTS, ArchitectureName, InputKind, card_text
from preread.models.card_facts import BackboneFacts, OutOfDistributionFacts
from preread.models.novelty import Novelty
from preread.models.weights import sha256_of, weights_bytes
from preread.training.data_set import NOT_IN_SET, DataSet
from preread.training.listing import read_listing
from preread.training.normalisation import remeasure
from preread.training.onnx_making import onnx_of
from preread.training.split_file import split_digest, write_split
from preread.training.splits import SplitKind, split_sets
from tests.unit.models.conftest import make_card
from tests.unit.training.conftest import write_pictures

SIDE = 64
PREPROCESSING = Preprocessing(size=(SIDE, SIDE))
ARCHITECTURE = ArchitectureName.MOBILENET_V2
KINDS = ("bar", "check", "disc")


@dataclass(frozen=True)
class Drawn:
    """Pictures on disk and the CSV that lists them."""

    root: Path
    listing: Path
    data: DataSet


@pytest.fixture(scope="session")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    root = tmp_path_factory.mktemp("drawn")
    write_pictures(root / "pictures", dict.fromkeys(KINDS, 40))
    # A bar over a bar: like pictures of two classes, so that a network is wrong now and then.
    lines = ["file,Shapes,Two"]
    for kind in KINDS:
        for path in sorted((root / "pictures" / kind).iterdir()):
            number = int(path.stem)
            # Every eighth label is wrong, so that the figures are not all 1.
            label = KINDS[(KINDS.index(kind) + 1) % 3] if number % 8 == 0 else kind
            two = label.title() if number % 2 and label != "disc" else ""
            lines.append(f"{kind}/{path.name},{label.title()},{two}")
    listing = root / "all.csv"
    listing.write_text("\n".join(lines) + "\n")
    return Drawn(
        root / "pictures", listing, read_listing(listing, root / "pictures", PREPROCESSING)
    )


MakeRun = Callable[..., Path]


@pytest.fixture(scope="session")
def make_run(drawn: Drawn) -> MakeRun:
    """Make a run: for each seed of a backbone, a model for each set of the pictures."""

    def make(
        folder: Path,
        *,
        seed: int = 0,
        kind: SplitKind = SplitKind.RANDOM,
        validation: float = 0.2,
        networks: tuple[str, ...] = ("Net",),
        history: bool = True,
    ) -> Path:
        parts = split_sets(drawn.data, kind, test=0.3, validation=validation, seed=seed)
        for number, network in enumerate(networks):
            torch.manual_seed(number)
            backbone = build_backbone(ARCHITECTURE)
            images = torch.from_numpy(np.stack(drawn.data.images)).expand(-1, 3, -1, -1)
            remeasure(backbone, [images[::4]])
            with torch.inference_mode():
                features = backbone.eval()(images).numpy()
            data = onnx_of(backbone, ARCHITECTURE)
            place = folder / "backbones" / f"{network}.onnx"
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(data)
            path = folder / "backbones" / f"{network}.split.csv"
            write_split(path, drawn.data, parts)
            facts = BackboneFacts(
                File=f"backbones/{place.name}", SHA256=sha256_of(data), Precision="float32"
            )
            for one in drawn.data.sets:
                told = (one.name, one.classes, one.labels, parts.training, parts.validation)
                _model(folder / f"{network}-{one.name}", facts, path, features, *told)
                if history:
                    lines = [_epoch(epoch) for epoch in range(1, 4)]
                    told_history = {kind.value: lines}
                    (folder / f"{network}-{one.name}" / "history.json").write_text(
                        json.dumps(told_history)
                    )
        return folder

    return make


def _epoch(epoch: int) -> dict[str, Any]:
    return {
        "epoch": epoch,
        "training_loss": 1 / epoch,
        "validation_loss": 1.1 / epoch,
        "validation_accuracy": 1 - 0.5 / epoch,
        "seconds": 0.5,
    }


def _model(
    folder: Path,
    backbone: BackboneFacts,
    split: Path,
    features: NDArray[np.float32],
    name: str,
    classes: tuple[str, ...],
    labels: NDArray[np.int64],
    training: NDArray[np.int64],
    validation: NDArray[np.int64],
) -> None:
    inside = training[labels[training] != NOT_IN_SET]
    fitted = LogisticRegression(max_iter=300).fit(features[inside], labels[inside])
    weight, bias = fitted.coef_, fitted.intercept_
    if len(classes) == 2:  # scikit-learn keeps one row then
        weight, bias = np.concatenate([-weight, weight]) / 2, np.concatenate([-bias, bias]) / 2
    # Four times as sure of itself as it was fitted to be: something to calibrate.
    head = f"{RECORDS[ARCHITECTURE].head}."
    novelty = Novelty.fit(features[inside])
    held_out = validation if len(validation) else training
    threshold = float(np.quantile(novelty.score(features[held_out]), 0.9))
    data = weights_bytes(
        {
            f"{head}weight": (4 * weight).astype(np.float32),
            f"{head}bias": (4 * bias).astype(np.float32),
            **novelty.arrays(),
        },
    )
    folder.mkdir(parents=True)
    (folder / WEIGHTS).write_bytes(data)
    card = make_card(
        sha256_of(data),
        Name=f"Net {name}",
        Classes=classes,
        Input=InputKind.PICTURES,
        Preprocessing=PREPROCESSING,
        Backbone=backbone,
        Limits=("Knows drawn shapes.", f"Knows {name} alone."),
        OutOfDistribution=OutOfDistributionFacts(
            Method="distance", Threshold=threshold, HeldOutImages=10, HeldOutShare=0.9
        ),
    )
    training_facts = card.Training.model_copy(update={"SplitSHA256": split_digest(split)})
    card = card.model_copy(update={"Training": training_facts})
    (folder / CARD).write_text(card_text(card))
