"""From an architecture and a folder to an IODeep object: read, divide, fit, describe, write."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Final, Protocol

import numpy as np
import torch

from preread.iodeep.architecture import parse_architecture
from preread.iodeep.document import parse_document
from preread.iodeep.iod import LONGEST_DESCRIPTION
from preread.iodeep.making import kept_weights, make, safetensors_of
from preread.iodeep.opening import WeightsFolder
from preread.iodeep.torch_network import build
from preread.iodeep.validation import validate
from preread.iodeep.weights import HashOfFile
from preread.iodeep.writing import encode
from preread.models.weights import write_atomically
from preread.training.errors import TrainingError
from preread.training.loop import Places
from preread.training.regions.fitting import RegionFitting, check_gives_mask, divide
from preread.training.regions.samples import read_samples
from preread.training.regions.series import read_folder

if TYPE_CHECKING:
    from pathlib import Path

    from preread.iodeep.architecture import Architecture
    from preread.iodeep.iod import IODeep
    from preread.models.weights import Arrays
    from preread.training.regions.fitting import Epoch
    from preread.training.regions.plan import RegionPlan
    from preread.training.regions.samples import Samples
    from preread.training.regions.series import Series

CHECKPOINT: Final = "state.pt"

_NO_WEIGHTS: Final = HashOfFile("0" * 64)
_LARGEST_HALF: Final = float(np.finfo(np.float16).max)


class Watcher(Protocol):
    """Is told how training gets on."""

    def reading(self, done: int, count: int) -> None:
        """Give how many slices were read, and of how many."""

    def fitting(self, epochs: int, done: int) -> None:
        """Give how many epochs there are, and how many a checkpoint had."""

    def epoch(self, epoch: Epoch) -> None:
        """Give what an epoch came to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """What is to be trained.

    Attributes
    ----------
    architecture
        Its text.
    data
        The folder; see `preread.training.regions.series`.
    output
        The file to write.
    models
        The models folder, where weights go that are too large for the object.
    checkpoints
        A folder for the state of an unfinished fit.
    name, description
        DnnName, and what is said besides what is known.
    DnnUID
        A new one if empty.
    Modality, BodyPartExamined
        Of the images; empty for what the series say.
    window
        WindowCenter and WindowWidth; None for each image's own.
    half
        Whether the weights of layers are kept in float16.
    """

    architecture: str
    data: Path
    output: Path
    models: Path
    checkpoints: Path
    name: str
    plan: RegionPlan
    device: torch.device
    description: str = ""
    DnnUID: str = ""
    Modality: str = ""
    BodyPartExamined: str = ""
    window: tuple[float, float] | None = None
    half: bool = True


def train(request: Request, watcher: Watcher) -> IODeep:
    """Train a network and write it.

    Raises
    ------
    PrereadError
        If the architecture, the data or a checkpoint cannot be used.
    """
    if request.output.exists():
        raise TrainingError(f"{request.output.name}: there already; name another file")
    document = parse_document(request.architecture)
    architecture = parse_architecture(document)
    check_gives_mask(architecture)
    found = list(read_folder(request.data))
    blank = _blank(document, found, request)
    plan = request.plan
    samples = read_samples(
        found, blank, architecture, plain=plan.plain, seed=plan.seed, progress=watcher.reading
    )
    division = divide(samples, plan.validation, plan.seed)
    torch.manual_seed(plan.seed)
    network = build(architecture)
    request.checkpoints.mkdir(parents=True, exist_ok=True)
    fitting = RegionFitting(
        network,
        architecture,
        samples,
        division,
        plan=plan,
        places=Places(
            checkpoint=request.checkpoints / CHECKPOINT,
            origin=_origin(samples, architecture, request),
            device=request.device,
        ),
    )
    watcher.fitting(plan.epochs, len(fitting.history))
    best = fitting.run(watcher.epoch)
    told = _told(found, samples, len(set(samples.series[division.validation])))
    reached = _reached(fitting.history[best - 1])
    text = " ".join(part for part in (request.description, told, reached) if part)
    trained = replace(blank, Description=text[:LONGEST_DESCRIPTION].strip())
    return _write(trained, arrays_to_keep(network, half=request.half), request)


def arrays_to_keep(network: torch.nn.Module, *, half: bool) -> Arrays:
    """Give the weights of a network as they are kept.

    Parameters
    ----------
    network
        On any device.
    half
        Whether those of layers are float16; biases and what normalises stay float32.

    Raises
    ------
    TrainingError
        If a weight is too large for float16.
    """
    arrays: Arrays = {}
    for name, tensor in network.state_dict().items():
        if name.endswith("num_batches_tracked"):
            continue
        array = tensor.detach().cpu().contiguous().numpy()
        if half and array.ndim > 1:
            if not np.abs(array).max() <= _LARGEST_HALF:
                raise TrainingError(f"{name}: too large for float16; keep float32")
            array = array.astype(np.float16)
        arrays[name] = array
    return arrays


def _blank(document: dict[str, Any], found: list[Series], request: Request) -> IODeep:
    """Make the object without its weights, so that what is invalid is known before the fit."""
    samples = _common("SamplesPerPixel", [series.SamplesPerPixel for series in found]) or 1
    center, width = request.window or (None, None)
    return make(
        document,
        _NO_WEIGHTS,
        DnnUID=request.DnnUID,
        DnnName=request.name,
        Modality=request.Modality.upper()
        or _stated("Modality", [series.Modality for series in found]),
        BodyPartExamined=request.BodyPartExamined.upper()
        or _stated("BodyPartExamined", [series.BodyPartExamined.upper() for series in found]),
        SamplesPerPixel=samples,
        PhotometricInterpretation="MONOCHROME2" if samples == 1 else "RGB",
        WindowCenter=center,
        WindowWidth=width,
        Description=request.description,
    )


def _stated(keyword: str, values: list[str]) -> str:
    value = _common(keyword, values)
    if not value:
        option = {"Modality": "--modality", "BodyPartExamined": "--body-part"}[keyword]
        raise TrainingError(f"the images do not state {keyword}; name it with {option}")
    return str(value)


def _common(keyword: str, values: list[Any]) -> Any:
    """Give the value that all have which state one."""
    stated = sorted({value for value in values if value})
    if len(stated) > 1:
        raise TrainingError(
            f"the images have several {keyword}: {', '.join(map(str, stated))}; train on one"
        )
    return stated[0] if stated else None


def _origin(samples: Samples, architecture: Architecture, request: Request) -> str:
    """Give what tells this fit from another."""
    plan = asdict(request.plan) | {"version": 1, "window": request.window}
    digest = hashlib.sha256(json.dumps(plan, sort_keys=True).encode())
    digest.update(architecture.to_json().encode())
    for array in (samples.images, samples.truth, samples.series):
        digest.update(repr(array.shape).encode())
        digest.update(np.ascontiguousarray(array).data)
    digest.update("\0".join(samples.patients).encode())
    return digest.hexdigest()


def _told(found: list[Series], samples: Samples, held_out: int) -> str:
    """Say what it was trained on."""
    synthetic = sum(series.synthetic for series in found)
    pictures = sum(not series.Modality for series in found)
    counts = Counter(
        {
            "synthetic series": synthetic,
            "pictures with masks": pictures,
            "series of images": len(found) - synthetic - pictures,
        }
    )
    parts = [f"{count} {kind}" for kind, count in counts.items() if count]
    if synthetic == len(found):
        parts.append("no image of a patient")
    return (
        f"Trained on {', '.join(parts)}: {len(samples)} slices, "
        f"{int(samples.with_lesion.sum())} with a lesion; {held_out} of the series held out to "
        "choose the epoch."
    )


def _reached(epoch: Epoch) -> str:
    if epoch.validation_dice is None:
        return f"Epoch {epoch.epoch}, training loss {epoch.training_loss:.4f}."
    return (
        f"Epoch {epoch.epoch}: Dice {epoch.validation_dice:.3f} of all pixels held out at the "
        "network's resolution."
    )


def _write(network: IODeep, arrays: Arrays, request: Request) -> IODeep:
    folder = WeightsFolder(request.models)
    written = replace(network, DnnWeights=kept_weights(safetensors_of(arrays), folder))
    validate(written, folder)
    request.output.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(request.output, encode(written))
    return written
