"""Milliseconds an image of the networks that ship, as they are, in float32, and by eager torch.

    .venv/bin/python -m bench.engines [--models FOLDER | --random] [--threads N] [--rounds N]

`--random` measures the four architectures with random weights, every layer in 8 bits that may be:
speed does not depend on weights, but on how many layers stay in float. Rounds alternate between the
engines, so that a busy machine slows all; the fastest of each counts. Every rate is printed beside
the machine's own float32 matrix-product rate.
"""

from __future__ import annotations

import argparse
import datetime as dt
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from preread.imaging import Preprocessing
from preread.models.architectures import blueprint, build, without_head
from preread.models.card import (
    NETWORK,
    WEIGHTS,
    Applicability,
    ArchitectureName,
    BackboneFacts,
    DatasetFacts,
    InputKind,
    ModelCard,
    TrainingFacts,
)
from preread.models.catalogue import Catalogue
from preread.models.engine import LoadedBackbone, cores
from preread.models.loading import load_backbone
from preread.models.model import Model
from preread.models.onnxruntime_engine import OnnxRuntimeEngine
from preread.models.openvino_engine import OpenVinoEngine
from preread.models.torch_engine import TorchEngine
from preread.models.weights import sha256_of, split_state, weights_bytes
from preread.training.normalisation import remeasure
from preread.training.onnx_making import onnx_of
from preread.training.onnx_rounding import Ranges, rounded

IMAGES = 16
SHIPPED = Path(__file__).parents[1] / "models"
Asked = tuple[LoadedBackbone, int]


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
    _, head = split_state(network, architecture)
    data = weights_bytes(head)
    made = onnx_of(without_head(network, architecture), architecture)
    place = folder / architecture.value
    place.mkdir()
    (place / WEIGHTS).write_bytes(data)
    (place / NETWORK).write_bytes(made)
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
        Backbone=BackboneFacts(File=NETWORK, SHA256=sha256_of(made), Precision="float32"),
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


def in_8_bits(folder: Path, model: Model, images: NDArray[np.float32]) -> Model:
    """Write the same network rounded to 8 bits, by the images of the bench."""
    data = rounded(model.backbone.read_bytes(), list(images[:, np.newaxis]), Ranges.MINMAX)
    place = folder / f"{model.name}-int8"
    place.mkdir()
    (place / NETWORK).write_bytes(data)
    facts = BackboneFacts(File=NETWORK, SHA256=sha256_of(data), Precision="int8")
    return Model(place.name, model.card.model_copy(update={"Backbone": facts}), place)


def in_float32(folder: Path, model: Model) -> Model:
    """Write a network that ships in float32, with the same weights."""
    data = onnx_of(load_backbone(model), model.card.Architecture)
    place = folder / model.card.Architecture.value
    place.mkdir()
    (place / NETWORK).write_bytes(data)
    facts = BackboneFacts(File=NETWORK, SHA256=sha256_of(data), Precision="float32")
    return Model(place.name, model.card.model_copy(update={"Backbone": facts}), place)


def images_for(shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw images of noise."""
    return np.random.default_rng(0).standard_normal((IMAGES, *shape), dtype=np.float32)


def pairs(folder: Path, models: Path | None, size: int) -> Iterator[tuple[Model, Model]]:
    """Give each network in float32, and as it ships; None for random weights."""
    if models is None:
        for architecture in ArchitectureName:
            model = random_model(folder, architecture, size)
            yield model, in_8_bits(folder, model, images_for((3, size, size)))
        return
    found = {model.backbone_sha256: model for model in Catalogue.load(models)}
    for model in sorted(found.values(), key=lambda each: each.name):
        yield in_float32(folder, model), model


def seconds_of(call: Callable[[], object]) -> float:
    """Time a call."""
    started = time.perf_counter()
    call()
    return time.perf_counter() - started


def matrix_rate(threads: int, rounds: int) -> float:
    """Measure float32 matrix products, in GFLOP/s."""
    torch.set_num_threads(threads)
    side = 2048
    one, two = torch.randn(side, side), torch.randn(side, side)
    return 2 * side**3 / min(seconds_of(lambda: one @ two) for _ in range(rounds)) / 1e9


def gflop(model: Model) -> float:
    """Count the multiplications and additions of one image, in GFLOP."""
    from torch.utils.flop_counter import FlopCounterMode

    card = model.card
    network = blueprint(card.Architecture, len(card.Classes)).eval()
    image = torch.zeros(1, *card.Preprocessing.shape, device="meta")
    with FlopCounterMode(display=False) as counter:
        network(image)
    return float(counter.get_total_flops()) / 1e9


def milliseconds(
    engines: dict[str, Asked], images: NDArray[np.float32], rounds: int
) -> dict[str, float]:
    """Give the milliseconds that an image takes on each engine, the fastest of all rounds."""
    best = dict.fromkeys(engines, float("inf"))
    for turn in range(rounds + 1):
        for name, (loaded, batch) in engines.items():
            parts = [images[at : at + batch] for at in range(0, len(images), batch)]
            spent = min(seconds_of(lambda: loaded.features(part)) / len(part) for part in parts)  # noqa: B023
            if turn:  # the first one warms up
                best[name] = min(best[name], 1e3 * spent)
    return best


def away(found: NDArray[np.float32], reference: NDArray[np.float32]) -> float:
    """Give how far features lie from others, as a share of those."""
    return float(np.linalg.norm(found - reference) / np.linalg.norm(reference))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--models", type=Path, default=SHIPPED, help="a folder of models")
    parser.add_argument("--random", action="store_true", help="random weights, all in 8 bits")
    parser.add_argument("--threads", type=int, default=cores())
    parser.add_argument("--size", type=int, default=224, help="of images for random weights")
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    console = Console()
    kept = "int8" if options.random else "as it ships"
    names = (kept, "float32", "ONNX Runtime, float32", "eager torch")
    table = Table("ms an image", *names, f"{kept} against torch", f"{kept} against float32")
    totals, work = dict.fromkeys(names, 0.0), 0.0
    furthest = dict.fromkeys(names, 0.0)
    with tempfile.TemporaryDirectory() as name:
        models = None if options.random else options.models
        for model, small in pairs(Path(name), models, options.size):
            shape = model.card.Preprocessing.shape
            images = images_for(shape)
            work += gflop(model)
            openvino = OpenVinoEngine(options.threads)
            engines: dict[str, Asked] = {
                kept: (openvino.load(small), 1),
                "float32": (openvino.load(model), 1),
                "ONNX Runtime, float32": (OnnxRuntimeEngine(options.threads).load(model), 1),
                "eager torch": (EagerTorch(options.threads).load(model), IMAGES),
            }
            spent = milliseconds(engines, images, options.rounds)
            reference = engines["eager torch"][0].features(images)
            for each, (loaded, _) in engines.items():
                totals[each] += spent[each]
                furthest[each] = max(furthest[each], away(loaded.features(images), reference))
            side = f"{shape[-2]}x{shape[-1]}"
            told = f"{model.card.Architecture.value} ({side}, {small.card.Backbone.Precision})"
            table.add_row(told, *_cells(spent))
    table.add_section()
    table.add_row("all", *_cells(totals))
    table.add_row("images a second", *(f"{1e3 / total:.1f}" for total in totals.values()))
    table.add_row(
        "features of noise away from torch's", *(f"{one:.1e}" for one in furthest.values())
    )
    console.print(table)
    rate = matrix_rate(options.threads, options.rounds)
    reached = work / (totals["float32"] / 1e3) / rate
    told = "random weights" if options.random else "the networks that ship"
    console.print(
        f"{told}, {options.threads} threads. They take {work:.1f} GFLOP an image; float32 runs at "
        f"{reached:.2f} of the {rate:.0f} GFLOP/s that a matrix product reaches here."
    )


def _cells(spent: dict[str, float]) -> list[str]:
    small, plain, _, torchs = spent.values()
    return [
        *(f"{one:.1f}" for one in spent.values()),
        f"{torchs / small:.1f} times",
        f"{plain / small:.1f} times",
    ]


if __name__ == "__main__":
    main()
