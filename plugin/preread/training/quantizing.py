"""The 8-bit copy of a trained backbone: made, measured, written beside it."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from preread.models.card_facts import QuantizationFacts
from preread.models.engine import cores
from preread.models.loading import load_backbone, read_own
from preread.models.openvino_engine import (
    OpenVinoBackbone,
    convert,
    import_openvino,
    int8_files,
    ir_bytes,
)
from preread.models.weights import sha256_of, write_atomically
from preread.training.errors import TrainingError
from preread.training.evaluation.temperature import scaled
from preread.training.measuring import batches_of
from preread.training.metrics import figures
from preread.training.writing import logits_with

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from preread.models.model import Model
    from preread.training.data_set import DataSet
    from preread.training.splits import Split

CALIBRATION_IMAGES: Final = 200


def check_nncf() -> None:
    """Refuse to begin what could not be finished.

    Raises
    ------
    TrainingError
        If NNCF is not installed.
    """
    import_openvino()
    if importlib.util.find_spec("nncf") is None:
        raise TrainingError("--int8 needs NNCF: install preread with its extra `train`")


def quantize(
    models: Sequence[Model], data: DataSet, split: Split, *, seed: int
) -> tuple[QuantizationFacts, ...]:
    """Quantise a backbone after training, by NNCF, and measure what that costs.

    The ranges come from images of the training part, as many of each class as there are; the
    cost is measured on the test part.

    Parameters
    ----------
    models
        One for each set of the data, with the same backbone, as they were written.
    data, split
        What they were trained on.
    seed
        Of the choice of images.

    Returns
    -------
    tuple of QuantizationFacts
        For the cards.
    """
    height, width = data.images[0].shape[1:]
    plain = convert(load_backbone(models[0]), height, width)
    random = np.random.default_rng(seed)
    count = min(CALIBRATION_IMAGES, len(split.training))
    chosen = np.sort(random.choice(split.training, size=count, replace=False))
    graph, constants = ir_bytes(_quantized(plain, data, chosen))
    for place, content in zip(int8_files(models[0]), (graph, constants), strict=True):
        write_atomically(place, content)

    # What is measured is what was written.
    written = import_openvino().Core().read_model(graph, constants)
    small, full = (_features(network, data, split.test) for network in (written, plain))
    facts = []
    for model, one in zip(models, data.sets, strict=True):
        inside = one.labels[split.test] >= 0
        labels = torch.from_numpy(one.labels[split.test][inside])
        calibration = model.card.Calibration
        temperature = 1.0 if calibration is None else calibration.Temperature
        head = read_own(model).head
        found, exact = (
            scaled(logits_with(head, rows[inside]), temperature) for rows in (small, full)
        )
        measured, before = (figures(torch.from_numpy(rows), labels) for rows in (found, exact))
        facts.append(
            QuantizationFacts(
                Method="NNCF post-training quantisation, mixed preset, 8-bit weights and "
                "activations",
                ModelSHA256=sha256_of(graph),
                WeightsSHA256=sha256_of(constants),
                CalibrationImages=count,
                TestImages=len(labels),
                MicroAccuracy=round(measured.micro_accuracy, 4),
                AccuracyLoss=round(before.micro_accuracy - measured.micro_accuracy, 4),
                LogLoss=round(measured.log_loss, 4),
                LargestDifference=round(float(np.abs(found - exact).max()), 4),
            )
        )
    return tuple(facts)


def _quantized(network: Any, data: DataSet, chosen: NDArray[np.int64]) -> Any:
    import nncf  # noqa: PLC0415 - an extra, and slow to import

    images = [batch.numpy() for batch in batches_of(data, chosen, 1)]
    return nncf.quantize(
        network,
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
    )


def _features(network: Any, data: DataSet, part: NDArray[np.int64]) -> NDArray[np.float32]:
    loaded = OpenVinoBackbone(network, cores())
    return np.concatenate(
        [loaded.features(np.ascontiguousarray(batch)) for batch in batches_of(data, part, 1)]
    )
