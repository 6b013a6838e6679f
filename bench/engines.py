"""Images per second of the four-architecture ensemble on each engine.

    .venv/bin/python bench/engines.py [--threads N] [--size N] [--seconds S] [--int8]

The networks have random weights, with batch normalisation measured on random images: speed does
not depend on the weights, and the outputs differ from image to image, so that engines can be
compared. Every rate is printed beside the machine's own float32 matrix-product rate and beside
eager torch, measured in the same run.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from preread.imaging import Preprocessing
from preread.models.architectures import blueprint, build
from preread.models.card import (
    WEIGHTS,
    Applicability,
    ArchitectureName,
    DatasetFacts,
    InputKind,
    ModelCard,
    QuantizationFacts,
    TrainingFacts,
)
from preread.models.catalogue import Catalogue
from preread.models.engine import Engine, LoadedBackbone, cores
from preread.models.head import Head
from preread.models.loading import load_backbone
from preread.models.model import Model
from preread.models.openvino_engine import (
    OpenVinoEngine,
    OpenVinoInt8Engine,
    convert,
    import_openvino,
    int8_files,
    ir_bytes,
)
from preread.models.torch_engine import TorchEngine
from preread.models.weights import sha256_of, weights_bytes
from preread.training.normalisation import remeasure

EQUAL = 1e-3


class EagerTorch(TorchEngine):
    """torch as it is when nobody thinks of memory layouts."""

    name = "torch eager"

    def __init__(self, threads: int) -> None:
        super().__init__(threads, channels_last=False)


def random_model(folder: Path, architecture: ArchitectureName, size: int) -> Model:
    """Write a network with random weights and describe it."""
    torch.manual_seed(0)
    network = build(architecture, 3)
    remeasure(network, [torch.randn(4, 3, size, size)])
    with torch.no_grad():
        for parameter in network.parameters():
            if parameter.ndim == 2:
                parameter.mul_(2 / parameter.std() / parameter.shape[1] ** 0.5)
    data = weights_bytes(network)
    place = folder / architecture.value
    place.mkdir()
    (place / WEIGHTS).write_bytes(data)
    unknown = "random weights"
    card = ModelCard(
        Name=architecture.value,
        Version="0.0.0",
        Date=dt.datetime.now(dt.UTC).date(),
        Architecture=architecture,
        # The series that is sent is CT in Hounsfield units; speed does not depend on it.
        Input=InputKind.HOUNSFIELD,
        Preprocessing=Preprocessing(size=(size, size)),
        Classes=("Benign", "Malignant", "Normal"),
        Dataset=DatasetFacts(
            Name="none",
            License=unknown,
            Attribution=unknown,
            Images=0,
            UniqueImages=0,
            ImagesPerClass={},
        ),
        Metrics=(),
        Limits=(unknown,),
        License=unknown,
        Attribution=unknown,
        AppliesTo=Applicability(Modality=("OT",)),
        WeightsSHA256=sha256_of(data),
        Training=TrainingFacts(
            InitialWeights=unknown,
            InitialWeightsSHA256=None,
            Epochs=0,
            BatchSize=1,
            LearningRate=0,
            Optimizer=unknown,
            ClassBalance=unknown,
            Augmentation=unknown,
            Seed=0,
            Command=unknown,
            Device="cpu",
            Seconds=0,
            Precision="float32",
            LargestRoundingDifference=0,
            Versions={},
        ),
    )
    return Model(architecture.value, card, place)


def with_int8(model: Model, images: NDArray[np.float32]) -> Model:
    """Put an 8-bit copy of a backbone beside it, calibrated on the images of the bench."""
    import_openvino()
    import nncf

    card = model.card
    size = card.Preprocessing.size[0]
    quantized = nncf.quantize(
        convert(load_backbone(model), size, size),
        nncf.Dataset([image[np.newaxis] for image in images]),
        preset=nncf.QuantizationPreset.MIXED,
        subset_size=len(images),
    )
    graph, constants = ir_bytes(quantized)
    for place, data in zip(int8_files(model), (graph, constants), strict=True):
        place.write_bytes(data)
    facts = QuantizationFacts(
        Method="for the bench",
        ModelSHA256=sha256_of(graph),
        WeightsSHA256=sha256_of(constants),
        CalibrationImages=len(images),
        TestImages=0,
        MicroAccuracy=0,
        AccuracyLoss=0,
        LogLoss=0,
        LargestDifference=0,
    )
    return Model(model.name, card.model_copy(update={"Quantization": facts}), model.folder)


def seconds_each(call: Callable[[], object], seconds: float) -> float:
    """Time a call: the best of several runs, since others only ever make it slower."""
    call()
    best, ends = float("inf"), time.perf_counter() + seconds
    while time.perf_counter() < ends or best == float("inf"):
        started = time.perf_counter()
        call()
        best = min(best, time.perf_counter() - started)
    return best


def matrix_rate(threads: int, seconds: float) -> float:
    """Measure float32 matrix products, in GFLOP/s."""
    torch.set_num_threads(threads)
    side = 2048
    one, two = torch.randn(side, side), torch.randn(side, side)
    return 2 * side**3 / seconds_each(lambda: one @ two, seconds) / 1e9


def gflop(model: Model) -> float:
    """Count the multiplications and additions of one image, in GFLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    card = model.card
    network = blueprint(card.Architecture, len(card.Classes)).eval()
    image = torch.zeros(1, *card.Preprocessing.shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops()) / 1e9


def measured(
    loaded: LoadedBackbone, head: Head, images: NDArray[np.float32], batch: int, seconds: float
) -> tuple[float, NDArray[np.float64]]:
    """Give milliseconds per image, and the probabilities of all images."""

    def probabilities(part: NDArray[np.float32]) -> NDArray[np.float64]:
        return head.answer(loaded.features(part)).probabilities

    part = images[:batch]
    spent = seconds_each(lambda: probabilities(part), seconds) / len(part)
    rows = [probabilities(images[i : i + batch]) for i in range(0, len(images), batch)]
    return 1e3 * spent, np.concatenate(rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--seconds", type=float, default=2.0, help="for each figure")
    parser.add_argument("--int8", action="store_true", help="8 bits too (two minutes more; NNCF)")
    options = parser.parse_args()
    shape = (16, 3, options.size, options.size)
    images = np.random.default_rng(0).standard_normal(shape, dtype=np.float32)

    with tempfile.TemporaryDirectory() as folder:
        catalogue = Catalogue(
            random_model(Path(folder), architecture, options.size)
            for architecture in ArchitectureName
        )
        engines: list[tuple[Engine, int]] = [
            (EagerTorch(options.threads), 16),
            (TorchEngine(options.threads), 16),
            (OpenVinoEngine(options.threads, Path(folder) / "cache"), 1),
        ]
        if options.int8:
            catalogue = Catalogue([with_int8(model, images) for model in catalogue])
            cache = Path(folder) / "cache"
            engines.append((OpenVinoInt8Engine(options.threads, cache), 1))
        report(catalogue, engines, images, options)


def report(
    catalogue: Catalogue,
    engines: list[tuple[Engine, int]],
    images: NDArray[np.float32],
    options: Any,
) -> None:
    names = ("torch eager", "torch, channels last", "openvino", "openvino-int8")
    work = sum(map(gflop, catalogue))
    rate = matrix_rate(options.threads, options.seconds)
    print(
        f"random weights, {options.size}x{options.size}, {options.threads} threads; "
        f"float32 matrix product {rate:.0f} GFLOP/s; the ensemble is {work:.1f} GFLOP an image"
    )
    print(f"\n{'ms per image':22}" + "".join(f"{name:>22}" for name in names[: len(engines)]))
    totals = [0.0] * len(engines)
    furthest = [0.0] * len(engines)
    for model in catalogue:
        line = f"{model.name:22}"
        reference: NDArray[np.float64] | None = None
        for column, (engine, batch) in enumerate(engines):
            spent, rows = measured(
                engine.load(model), Head.of(model), images, batch, options.seconds
            )
            reference = rows if reference is None else reference
            totals[column] += spent
            furthest[column] = max(furthest[column], float(np.abs(rows - reference).max()))
            line += f"{spent:22.1f}"
        print(line, flush=True)
    for title, values in (
        ("all four", [f"{total:.1f}" for total in totals]),
        ("images/s", [f"{1e3 / total:.2f}" for total in totals]),
        ("times torch eager", [f"{totals[0] / total:.2f}" for total in totals]),
        ("of matrix product", [f"{work / (total / 1e3) / rate:.2f}" for total in totals]),
        ("largest difference", [f"{value:.1e}" for value in furthest]),
    ):
        print(f"{title:22}" + "".join(f"{value:>22}" for value in values))
    equal = furthest[2] <= EQUAL
    print(
        f"\nopenvino is {'equal to' if equal else 'DIFFERENT FROM'} torch eager (at most {EQUAL:g} "
        f"in probability) and {totals[0] / totals[2]:.2f} times as fast"
    )


if __name__ == "__main__":
    main()
