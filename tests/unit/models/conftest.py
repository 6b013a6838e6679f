"""Models made on the spot: real networks with random weights and measured statistics."""

from __future__ import annotations

import datetime as dt
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from preread.imaging.preprocessing import Preprocessing
from preread.models.architectures import build, is_of_head, without_head
from preread.models.card import (
    CARD,
    NETWORK,
    WEIGHTS,
    Applicability,
    ArchitectureName,
    BackboneFacts,
    DatasetFacts,
    InputKind,
    ModelCard,
    TrainingFacts,
    card_text,
)
from preread.models.novelty import Novelty
from preread.models.weights import Arrays, sha256_of, split_state, weights_bytes
from preread.training.normalisation import remeasure
from preread.training.onnx_making import onnx_of

torch.set_num_threads(1)

MakeModel = Callable[..., Path]

CLASSES = ("Benign", "Malignant", "Normal")


def make_card(sha256: str, **changes: Any) -> ModelCard:
    facts: dict[str, Any] = {
        "Name": "MobileNetV2",
        "Version": "1.2.3",
        "Date": dt.date(2026, 1, 2),
        "Architecture": ArchitectureName.MOBILENET_V2,
        "Input": InputKind.HOUNSFIELD,
        "Preprocessing": Preprocessing(size=(96, 96)),
        "Classes": CLASSES,
        "Dataset": DatasetFacts(
            Name="Generated",
            License="none needed",
            Attribution="none",
            Images=0,
            UniqueImages=0,
            ImagesPerClass={},
        ),
        "Metrics": (),
        "Limits": ("Random weights.",),
        "License": "AGPL-3.0-or-later",
        "Attribution": "none",
        "AppliesTo": Applicability(Modality=("CT",), BodyPartExamined=("CHEST",)),
        "WeightsSHA256": sha256,
        "Backbone": BackboneFacts(File=NETWORK, SHA256="0" * 64, Precision="float32"),
        "Training": TrainingFacts(
            InitialWeights="random",
            InitialWeightsSHA256=None,
            Epochs=0,
            BatchSize=1,
            LearningRate=0.0,
            Optimizer="none",
            ClassBalance="none",
            Augmentation="none",
            Seed=0,
            Command="none",
            Device="cpu",
            Seconds=0.0,
            Precision="float32",
            LargestRoundingDifference=0.0,
            Versions={},
        ),
    }
    return ModelCard(**{**facts, **changes})


def random_network(
    architecture: ArchitectureName = ArchitectureName.MOBILENET_V2, size: int = 96
) -> torch.nn.Module:
    """Build a network in evaluation mode that tells images apart."""
    torch.manual_seed(7)
    network = build(architecture, len(CLASSES))
    with torch.no_grad():
        remeasure(network, [torch.randn(4, 3, size, size)])
        for name, parameter in network.named_parameters():
            if is_of_head(name, architecture) and parameter.ndim > 1:
                parameter.mul_(2 / parameter.std() / parameter.shape[1] ** 0.5)
    return network.eval()


@cache
def taken_apart(
    architecture: ArchitectureName = ArchitectureName.MOBILENET_V2, size: int = 96
) -> tuple[bytes, Arrays]:
    """Give `random_network` as a node has it: in ONNX but for the last layer, and that."""
    network = random_network(architecture, size)
    _, head = split_state(network, architecture)
    return onnx_of(without_head(network, architecture), architecture), head


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    place = tmp_path / "models"
    place.mkdir()
    return place


@pytest.fixture
def add_card(folder: Path) -> MakeModel:
    """Put a model with a card and four bytes for weights into the folder: nothing loads it."""

    def add(name: str, **changes: Any) -> Path:
        place = folder / name
        place.mkdir()
        (place / WEIGHTS).write_bytes(b"none")
        (place / NETWORK).write_bytes(b"none")
        (place / CARD).write_text(card_text(make_card("0" * 64, **changes)))
        return place

    return add


@pytest.fixture
def add_network(folder: Path) -> MakeModel:
    """Put a model with a whole network into the folder."""

    def add(
        name: str = "net",
        architecture: ArchitectureName = ArchitectureName.MOBILENET_V2,
        size: int = 96,
        **changes: Any,
    ) -> Path:
        place = folder / name
        place.mkdir()
        network, head = taken_apart(architecture, size)
        (place / NETWORK).write_bytes(network)
        data = weights_bytes(head)
        (place / WEIGHTS).write_bytes(data)
        card = make_card(
            sha256_of(data),
            Architecture=architecture,
            Preprocessing=Preprocessing(size=(size, size)),
            Backbone=BackboneFacts(File=NETWORK, SHA256=sha256_of(network), Precision="float32"),
            **changes,
        )
        (place / CARD).write_text(card_text(card))
        return place

    return add


@pytest.fixture
def add_sharing(folder: Path) -> MakeModel:
    """Put models into the folder that share one backbone, each with a last layer of its own."""

    def add(
        *names: str,
        architecture: ArchitectureName = ArchitectureName.MOBILENET_V2,
        size: int = 96,
        novelty: Novelty | None = None,
        **changes: Any,
    ) -> Path:
        network, head = taken_apart(architecture, size)
        file = f"backbones/{architecture}.onnx"
        (folder / "backbones").mkdir(exist_ok=True)
        (folder / file).write_bytes(network)
        shared = BackboneFacts(File=file, SHA256=sha256_of(network), Precision="float32")
        for turn, name in enumerate(names):
            own = {key: np.roll(array, turn, axis=0) for key, array in head.items()}
            own |= {} if novelty is None else novelty.arrays()
            data = weights_bytes(own)
            (folder / name).mkdir()
            (folder / name / WEIGHTS).write_bytes(data)
            card = make_card(
                sha256_of(data),
                Architecture=architecture,
                Preprocessing=Preprocessing(size=(size, size)),
                Backbone=shared,
                **changes,
            )
            (folder / name / CARD).write_text(card_text(card))
        return folder / file

    return add
