"""``preread train``: from a folder of images to a model that the plugin serves as it is."""

from __future__ import annotations

import errno
import re
from dataclasses import replace
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import TaskID

from preread.errors import PrereadError
from preread.models.backbones import RECORDS
from preread.models.card import ArchitectureName
from preread.training.bars import Bars
from preread.training.description import read_description
from preread.training.errors import TrainingError
from preread.training.plan import PRESETS, Optimizer, Precision, Transfer
from preread.training.pretrained import pretrained_file
from preread.training.request import Request
from preread.training.splits import SplitKind

if TYPE_CHECKING:
    import torch

    from preread.training.fitting import Epoch
    from preread.training.metrics import Figures


_OUT_OF_MEMORY: Final = re.compile(
    r"out of memory|not enough memory|can(no|')t allocate memory|_ALLOC_FAILED|std::bad_alloc",
    re.IGNORECASE,
)
"""What torch says of it: most of torch's errors have no class of their own."""


class PresetName(StrEnum):
    """Where defaults come from."""

    PAPER = "paper"
    RECOMMENDED = "recommended"


class Kept(StrEnum):
    """Numbers that a network is kept in and computes in."""

    FLOAT32 = "float32"
    INT8 = "int8"


def train(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Argument(
            help="A folder with one folder per class of PNG, JPEG or DICOM files, or a CSV with "
            "the columns file and one of labels for each set, such as `preread split` writes.",
            exists=True,
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            help="The folder of the model, such as models/NAME. With several descriptions the "
            "models are NAME-SET, and what they share lies in models/backbones.",
            file_okay=False,
        ),
    ],
    description: Annotated[
        list[Path],
        typer.Option(
            help="JSON with what the card says that cannot be measured: Name, Set, Dataset, "
            "Classes, Limits, License, Attribution, AppliesTo, Window. Once for each set.",
            exists=True,
            dir_okay=False,
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option(help="What the files of a CSV are under; without it: its folder."),
    ] = None,
    architecture: Annotated[
        ArchitectureName, typer.Option(help="The network.")
    ] = ArchitectureName.MOBILENET_V2,
    preset: Annotated[
        PresetName, typer.Option(help="Where the defaults of the options below come from.")
    ] = PresetName.PAPER,
    pretrained: Annotated[
        str | None,
        typer.Option(
            help="What the weights start from: a safetensors file of the same network trained "
            "for other classes, or `library` for the ImageNet weights of torchvision or timm, "
            "which are fetched once. Without it they start at random.",
        ),
    ] = None,
    grown_from: Annotated[
        Path | None,
        typer.Option(help="A trained ResNet50V2 that a ResNet101V2 begins as."),
    ] = None,
    teacher: Annotated[
        Path | None,
        typer.Option(help="A model trained on the same split, to learn from besides the labels."),
    ] = None,
    transfer: Annotated[
        Transfer | None, typer.Option(help="Fit the last layer alone, or all of them.")
    ] = None,
    size: Annotated[
        int | None, typer.Option(help="Side of the input, in pixels.", min=32, max=1024)
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, max=10000)] = None,
    patience: Annotated[
        int | None,
        typer.Option(help="Epochs without improvement before it stops; 0: never.", min=0),
    ] = None,
    batch_size: Annotated[int | None, typer.Option(min=2, max=4096)] = None,
    learning_rate: Annotated[float | None, typer.Option(min=1e-8, max=10.0)] = None,
    weight_decay: Annotated[float | None, typer.Option(min=0.0, max=10.0)] = None,
    optimizer: Annotated[Optimizer | None, typer.Option()] = None,
    frozen: Annotated[
        int | None, typer.Option(help="Blocks, counted from the image, that stay.", min=0)
    ] = None,
    probing: Annotated[
        bool | None,
        typer.Option(help="Fit the last layer to pretrained features before all are fitted."),
    ] = None,
    refitting: Annotated[
        bool | None,
        typer.Option(help="Fit the last layer anew at the end, if all began with random weights."),
    ] = None,
    fixed_statistics: Annotated[
        bool | None,
        typer.Option(help="Batch normalisation keeps the statistics of pretrained weights."),
    ] = None,
    split: Annotated[
        SplitKind | None,
        typer.Option(help="grouped keeps look-alike images on one side; random does not."),
    ] = None,
    test: Annotated[float, typer.Option(help="Share measured on.", min=0.01, max=0.9)] = 0.3,
    validation: Annotated[
        float | None,
        typer.Option(help="Share of the rest that chooses the epoch; 0: none.", min=0.0, max=0.9),
    ] = None,
    balanced: Annotated[
        bool | None, typer.Option(help="Each class weighs the same, however many images it has.")
    ] = None,
    augmentation: Annotated[
        float | None,
        typer.Option(help="How much images are changed each time; 0: not.", min=0.0, max=3.0),
    ] = None,
    smoothing: Annotated[
        float | None,
        typer.Option(help="Share of a label spread over all classes.", min=0.0, max=1.0),
    ] = None,
    averaging: Annotated[
        float | None, typer.Option(help="Decay of the average of the weights.", min=0.0, max=0.9999)
    ] = None,
    distillation: Annotated[
        float | None,
        typer.Option(help="Weight of the teacher beside the labels.", min=0.0, max=1.0),
    ] = None,
    precision: Annotated[
        Precision | None,
        typer.Option(
            help="Numbers that layers compute in while fitted; without it bfloat16 on a GPU, else "
            "float32."
        ),
    ] = None,
    keep: Annotated[
        Kept,
        typer.Option(
            help="Numbers that the network is kept in; int8 computes in 8 bits where the processor "
            "can."
        ),
    ] = Kept.FLOAT32,
    seed: Annotated[
        int, typer.Option(help="Of split, order and augmentation.", min=0, max=2**32)
    ] = 0,
    threads: Annotated[int, typer.Option(help="0: all cores.", min=0, max=1024)] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")
    ] = "auto",
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Where states are kept from which a stopped training goes on. Without it: a "
            "hidden folder beside the output.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Train a network on images; the same command resumes what was stopped.

    The defaults are the seed paper's settings; --preset recommended does better on small sets.
    """
    import torch  # noqa: PLC0415 - takes seconds, which `--help` need not wait for

    from preread.training.training import train as run  # noqa: PLC0415 - imports torch

    console = Console()
    if threads:
        torch.set_num_threads(threads)
    try:
        chosen = PRESETS[preset]
        place = device_named(device)
        if precision is None and place.type == "cuda":
            precision = Precision.BFLOAT16
        given: dict[str, Any] = {
            "epochs": epochs,
            "patience": patience,
            "batch_size": batch_size,
            "learning_rate": learning_rate,
            "weight_decay": weight_decay,
            "optimizer": optimizer,
            "transfer": transfer,
            "frozen": frozen,
            "probing": probing,
            "refitting": refitting,
            "fixed_statistics": fixed_statistics,
            "balanced": balanced,
            "augmentation": augmentation,
            "smoothing": smoothing,
            "averaging": averaging,
            "distillation": distillation,
            "precision": precision,
        }
        plan = replace(
            chosen.plan,
            seed=seed,
            **{name: value for name, value in given.items() if value is not None},
        )
        request = Request(
            data=data,
            root=root or data.parent,
            output=output.absolute(),
            checkpoints=checkpoints or output.parent / f".{output.name}.training",
            architecture=architecture,
            pretrained=pretrained_file(pretrained, architecture),
            grown_from=grown_from and grown_from.absolute(),
            teacher=teacher and teacher.absolute(),
            descriptions=tuple(read_description(path) for path in description),
            size=size or chosen.size or RECORDS[architecture].native_side,
            test=test,
            validation=chosen.validation if validation is None else validation,
            kind=split or SplitKind(chosen.kind),
            plan=plan,
            kept=keep.value,
            device=place,
            command=_command_line(context),
        )
        with _Bars(console) as bars:
            cards = run(request, bars)
    except (PrereadError, OSError, MemoryError, RuntimeError) as error:
        told = reason_of(error)
        if told is None:
            raise
        Console(stderr=True).print(
            f"preread train: {told}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    names = "one model" if len(cards) == 1 else f"{len(cards)} models"
    console.print(f"{names} written: {output}", markup=False, highlight=False)


def reason_of(error: Exception) -> str | None:
    """Say in one line what is wrong, without the path of a file; None if nobody foresaw it."""
    if isinstance(error, PrereadError):
        return str(error)
    if isinstance(error, OSError) and error.errno != errno.ENOMEM:
        name = "" if error.filename is None else f"{Path(error.filename).name}: "
        return f"{name}{error.strerror or type(error).__name__}"
    if isinstance(error, MemoryError | OSError) or _OUT_OF_MEMORY.search(str(error)):
        return "not enough memory; lower --batch-size or --size"
    return None


def device_named(name: str) -> torch.device:
    """Give the device of an option; auto is a GPU where there is one, else the processor."""
    import torch  # noqa: PLC0415 - see above

    if name == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(name)
        torch.zeros(1, device=device).item()
    except (RuntimeError, AssertionError):
        raise TrainingError(f"--device {name}: not usable on this machine; try cpu") from None
    return device


def _command_line(context: typer.Context) -> str:
    """Give the command with its defaults that no preset sets, and of paths the last part alone."""
    words = ["preread", "train", context.params["data"].absolute().name]
    for name, value in sorted(context.params.items()):
        option = f"--{name.replace('_', '-')}"
        if name in ("data", "root", "checkpoints", "threads") or value is None:
            continue
        for one in value if isinstance(value, list) else [value]:
            if isinstance(one, bool):
                words.append(option if one else f"--no-{option[2:]}")
            elif isinstance(one, Path) or name == "pretrained":
                words += [option, Path(one).absolute().name]
            else:
                words += [option, str(one)]
    return " ".join(words)


class _Bars(Bars):
    """Progress on the console: one bar for reading, one for each fit, a line for each epoch."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "reading images")
        self._epochs = self._reading
        self._teaching: TaskID | None = None

    def teaching(self, done: int, count: int) -> None:
        if self._teaching is None:
            self._teaching = self._bars.add_task("teacher looks at images", total=count)
        self._bars.update(self._teaching, completed=done)

    def fitting(self, epochs: int, done: int) -> None:
        self._epochs = self._bars.add_task("epochs", total=epochs)
        self._bars.update(self._epochs, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        self._bars.advance(self._epochs)
        held_out = ""
        if epoch.validation_loss is not None:
            held_out = (
                f"validation loss {epoch.validation_loss:.4f}, accuracy "
                f"{epoch.validation_accuracy:.4f}, "
            )
        self._bars.console.print(
            f"epoch {epoch.epoch}: training loss {epoch.training_loss:.4f}, {held_out}"
            f"{epoch.seconds:.0f} s",
            highlight=False,
        )

    def measured(self, name: str, kind: SplitKind, found: Figures) -> None:
        self._bars.console.print(
            f"{name}, test part of the {kind.value} split: micro-accuracy "
            f"{found.micro_accuracy:.4f}, macro-accuracy {found.macro_accuracy:.4f}, log-loss "
            f"{found.log_loss:.4f}, log-loss reduction {found.log_loss_reduction:.4f}",
            highlight=False,
        )
