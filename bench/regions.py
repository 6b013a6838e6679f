"""ROI prediction per slice by an IODeep's network, with and without batching.

The article's U-Net (224x224x3, 22 million parameters) and its small sister, both with random
weights whose last bias makes one pixel in a hundred a region: speed does not depend on more than
that. A slice is 512x512 in memory; counted is all from its levels to its contours, and beside it
the network's own part, in OpenVINO as a node runs it and in eager torch. Rounds alternate
between one slice at a time, batches, and what `BatchSize` 0 takes.
"""

from __future__ import annotations

import json
import os
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from rich.console import Console
from rich.table import Table

from bench.slices import template
from preread.imaging import Frame, Units, Window, frame_from_array
from preread.iodeep.architecture import parse_architecture
from preread.iodeep.architecture_files import example
from preread.iodeep.iod import IODeep
from preread.iodeep.making import make, safetensors_of
from preread.iodeep.opening import WeightsFolder, contents
from preread.iodeep.prediction import BATCH, Predictor
from preread.iodeep.prediction_input import FramePixels, check_tensor_shape
from preread.iodeep.torch_network import build
from preread.models.engine import cores
from preread.training.normalisation import remeasure

SLICES = int(os.environ.get("BENCH_SLICES", "16"))
ROUNDS = int(os.environ.get("BENCH_ROUNDS", "3"))
SHARE = 0.01
"""Of the pixels, in a region."""


def slices(count: int) -> list[Frame]:
    """Make slices of 512x512 in HU, each with noise of its own."""
    pixels = template().pixel_array.astype(np.float32) - 1024
    random = np.random.default_rng(0)
    return [
        frame_from_array(
            pixels + random.normal(0, 20, pixels.shape).astype(np.float32),
            units=Units.HOUNSFIELD,
            voi=Window(center=40, width=400),
        )
        for _ in range(count)
    ]


def random_network(name: str, folder: WeightsFolder, frames: list[Frame]) -> IODeep:
    """Make an object of an example with random weights."""
    architecture = parse_architecture(example(name))
    channels = architecture.input_shape[-1 if architecture.channels_last else 0]
    facts: dict[str, Any] = {
        "Modality": "CT",
        "BodyPartExamined": "CHEST",
        "SamplesPerPixel": channels,
        "PhotometricInterpretation": "RGB" if channels == 3 else "MONOCHROME2",
    }
    torch.manual_seed(0)
    module = build(architecture)
    weights = _kept(module, folder)
    network = make(architecture_document(name), weights, DnnName=name, **facts)
    tensors = torch.from_numpy(tensors_of(network, frames[:4]))
    remeasure(module, [tensors])
    with torch.inference_mode():
        logits = module.eval()(tensors)
    last = module.get_submodule(f"layers.{len(architecture.layers)}.0")
    assert isinstance(last, torch.nn.Conv2d)
    assert last.bias is not None
    with torch.no_grad():
        last.bias -= torch.quantile(logits.flatten()[::7], 1 - SHARE)
    return network.with_contents(network.document, _kept(module, folder))


def architecture_document(name: str) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(example(name))
    return document


def _kept(module: torch.nn.Module, folder: WeightsFolder) -> Any:
    arrays = {name: tensor.numpy() for name, tensor in module.state_dict().items()}
    return folder.keep(safetensors_of(arrays))


def tensors_of(network: IODeep, frames: list[Frame]) -> NDArray[np.float32]:
    architecture = parse_architecture(network.document)
    return np.stack(
        [
            check_tensor_shape(FramePixels.of(frame), network, architecture).tensor(frame)
            for frame in frames
        ]
    )


def measured(
    folder: WeightsFolder, network: IODeep, frames: list[Frame]
) -> tuple[list[float], int]:
    """Give milliseconds a slice: one by one, in batches, as set; the network's own, torch's."""
    tensors = tensors_of(network, frames)
    predictors = [Predictor(folder, batch_size=size) for size in (1, BATCH, 0)]
    running = predictors[0].running(network)
    found = len(predictors[0].regions(network, frames[:BATCH]))
    running(tensors[:BATCH])
    reference = loaded(network, folder)
    spent: list[list[float]] = [[], [], [], [], []]
    for _ in range(ROUNDS):
        for column, predictor in enumerate(predictors):
            began = time.perf_counter()
            predictor.regions(network, frames)
            spent[column].append(time.perf_counter() - began)
        began = time.perf_counter()
        for start in range(len(tensors)):
            running(tensors[start : start + 1])
        spent[3].append(time.perf_counter() - began)
        began = time.perf_counter()
        with torch.inference_mode():
            for start in range(len(tensors)):
                reference(torch.from_numpy(tensors[start : start + 1]))
        spent[4].append(time.perf_counter() - began)
    return [1e3 * statistics.median(times) / len(frames) for times in spent], found


def loaded(network: IODeep, folder: WeightsFolder) -> torch.nn.Module:
    """Build the reference with the network's weights."""
    opened = contents(network, folder)
    module = build(parse_architecture(opened.document)).eval()
    state = {name: torch.from_numpy(array).float() for name, array in opened.arrays.items()}
    module.load_state_dict(state, strict=False)
    return module.to(memory_format=torch.channels_last)


def main() -> None:
    torch.set_num_threads(cores())
    frames = slices(SLICES)
    table = Table(title=f"ROI prediction, {SLICES} slices of 512x512, {cores()} threads")
    for title in (
        "network",
        "ms, one by one",
        "of it the network",
        "network in torch, ms",
        f"in batches of {BATCH}",
        "times as fast",
        "BatchSize 0",
        "times as fast",
        f"regions in {BATCH}",
    ):
        table.add_column(title, justify="right")
    with tempfile.TemporaryDirectory() as place:
        folder = WeightsFolder(Path(place))
        for name in ("unet-small", "unet"):
            network = random_network(name, folder, frames)
            (one, batched, usual, alone, eager), found = measured(folder, network, frames)
            table.add_row(
                name,
                f"{one:.1f}",
                f"{alone / one:.2f}",
                f"{eager:.1f}",
                f"{batched:.1f}",
                f"{one / batched:.2f}",
                f"{usual:.1f}",
                f"{one / usual:.2f}",
                str(found),
            )
    Console(width=130).print(table)


if __name__ == "__main__":
    main()
