"""Evaluations made of drawn probabilities, without any network."""

from __future__ import annotations

import datetime as dt
from collections.abc import Sequence
from typing import Any

import numpy as np

from preread.models.card import ArchitectureName
from preread.training.evaluation.combining import Rule
from preread.training.evaluation.document import (
    EnsembleResult,
    EpochLine,
    Evaluation,
    Figures,
    Kind,
    LeftOut,
    ModelResult,
    Run,
    Source,
    SplitFacts,
)
from preread.training.evaluation.measuring import measure
from preread.training.evaluation.spread import summarise

CLASSES = ("Benign", "Malignant", "Normal")


def figures(seed: int, classes: Sequence[str] = CLASSES, count: int = 60) -> Figures:
    random = np.random.default_rng(seed)
    labels = np.arange(count) % len(classes)
    logits = random.normal(0, 1, (count, len(classes))) + 2 * np.eye(len(classes))[labels]
    rows = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    return measure(
        rows,
        labels,
        np.arange(count) // 2,
        classes=classes,
        digests=[f"{seed * 1000 + number:064x}" for number in range(count)],
        draws=50,
        seed=0,
    )


def result(name: str, seed: int, kind: Kind = "random", **changes: Any) -> ModelResult:
    facts: dict[str, Any] = {
        "Name": name,
        "CardName": "MobileNetV2",
        "Version": "1.0.0",
        "Architecture": ArchitectureName.MOBILENET_V2,
        "Set": "IQ-OTHNCCD",
        "Dataset": "IQ-OTHNCCD Lung Cancer Dataset",
        "WeightsSHA256": f"{seed:064x}",
        "BackboneSHA256": "0" * 64,
        "Split": SplitFacts(
            Kind=kind,
            Seed=seed,
            SHA256="0" * 64,
            TrainingImages=100,
            ValidationImages=20,
            TestImages=60,
            Groups=90 if kind == "grouped" else None,
            TestImagesInTraining=3 if kind == "random" else 0,
        ),
        "Calibration": None,
        "BestEpoch": 7,
        "Limits": ("It does not travel.",),
        "LeftOut": LeftOut(),
        "Figures": figures(seed),
        "History": {
            kind: (EpochLine(epoch=1, training_loss=1.0), EpochLine(epoch=2, training_loss=0.5))
        },
    }
    return ModelResult(**(facts | changes))


def together(seed: int, members: Sequence[str], kind: Kind | None = "random") -> EnsembleResult:
    return EnsembleResult(
        Set="IQ-OTHNCCD",
        Kind=kind,
        Rule=Rule.MEAN,
        Members=dict.fromkeys(members, 1 / len(members)),
        Figures=figures(seed),
    )


def evaluation(*runs: Run, **changes: Any) -> Evaluation:
    facts: dict[str, Any] = {
        "Preread": "0.1.0",
        "Date": dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC),
        "Command": "preread evaluate runs",
        "Engine": "openvino",
        "Source": Source(Name="", Part="test", Map={}),
        "Draws": 50,
        "Seed": 0,
        "Runs": runs,
        "Summaries": summarise(runs),
    }
    return Evaluation(**(facts | changes))


def run(*seeds: int, kind: Kind = "random", name: str = "run") -> Run:
    """Make a run of two models, whose weights differ with the seed, and their ensemble."""
    return Run(
        Name=name,
        Models=(
            result("MobileNetV2-IQ", seeds[0], kind),
            result(
                "ResNet50V2-IQ",
                seeds[0] + 100,
                kind,
                Architecture=ArchitectureName.RESNET50_V2,
            ),
        ),
        Ensembles=(together(seeds[0] + 200, ("MobileNetV2-IQ", "ResNet50V2-IQ"), kind),),
    )
