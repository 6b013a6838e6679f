"""The 8-bit copy of a trained network: made, measured, written beside the card."""

from __future__ import annotations

import importlib.util
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import torch

from preread.models.card import QuantizationFacts
from preread.models.engine import cores
from preread.models.openvino_engine import (
    INT8_CONSTANTS,
    INT8_GRAPH,
    OpenVinoModel,
    convert,
    import_openvino,
    ir_bytes,
)
from preread.models.weights import sha256_of, write_atomically
from preread.training.errors import TrainingError
from preread.training.fitting import batch_of
from preread.training.metrics import figures

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import nn

    from preread.training.folder import DataSet
    from preread.training.splits import Split

CALIBRATION_IMAGES: Final = 200


def quantize(
    network: nn.Module, data: DataSet, split: Split, *, seed: int, output: Path
) -> QuantizationFacts:
    """Quantise a network after training, by NNCF, and measure what that costs.

    The ranges come from images of the training part, as many of each class as there are; the
    cost is measured on the test part.

    Parameters
    ----------
    network
        The shipped one, on the CPU.
    data, split
        What it was trained on.
    seed
        Of the choice of images.
    output
        The model's folder, in which ``int8.xml`` and ``int8.bin`` are written.

    Returns
    -------
    QuantizationFacts
        For the card.

    Raises
    ------
    TrainingError
        If NNCF is not installed.
    """
    import_openvino()
    if importlib.util.find_spec("nncf") is None:
        raise TrainingError("--int8 needs NNCF: install preread with its extra `int8`")
    height, width = data.images[0].shape[1:]
    plain = convert(network, height, width)
    random = np.random.default_rng(seed)
    count = min(CALIBRATION_IMAGES, len(split.training))
    chosen = np.sort(random.choice(split.training, size=count, replace=False))
    graph, constants = ir_bytes(_quantized(plain, data, chosen))
    write_atomically(output / INT8_GRAPH, graph)
    write_atomically(output / INT8_CONSTANTS, constants)

    # What is measured is what was written.
    written = import_openvino().Core().read_model(graph, constants)
    found = _probabilities(written, data, split.test)
    exact = _probabilities(plain, data, split.test)
    labels = torch.from_numpy(data.labels[split.test])
    small, full = (figures(torch.from_numpy(rows), labels) for rows in (found, exact))
    return QuantizationFacts(
        Method="NNCF post-training quantisation, mixed preset, 8-bit weights and activations",
        ModelSHA256=sha256_of(graph),
        WeightsSHA256=sha256_of(constants),
        CalibrationImages=count,
        TestImages=len(split.test),
        MicroAccuracy=round(small.micro_accuracy, 4),
        AccuracyLoss=round(full.micro_accuracy - small.micro_accuracy, 4),
        LogLoss=round(small.log_loss, 4),
        LargestDifference=round(float(np.abs(found - exact).max()), 4),
    )


def _quantized(network: Any, data: DataSet, chosen: NDArray[np.int64]) -> Any:
    import nncf  # noqa: PLC0415 - an extra, and slow to import

    images = [batch_of(data, chosen[i : i + 1]).numpy() for i in range(len(chosen))]
    return nncf.quantize(
        network,
        nncf.Dataset(images),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
    )


def _probabilities(network: Any, data: DataSet, part: NDArray[np.int64]) -> NDArray[np.float64]:
    loaded = OpenVinoModel(network, cores())
    return np.concatenate(
        [loaded.predict(batch_of(data, part[i : i + 1]).numpy()) for i in range(len(part))]
    )
