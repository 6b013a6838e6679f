"""``preread train``: from a folder of images to a model that the plugin serves as it is."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import (
    BarColumn,
    MofNCompleteColumn,
    Progress,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
)

from preread.errors import PrereadError
from preread.models.card import ArchitectureName
from preread.training.description import read_description
from preread.training.errors import TrainingError
from preread.training.splits import SplitKind

if TYPE_CHECKING:
    from typing import Self

    import torch

    from preread.training.fitting import Epoch
    from preread.training.metrics import Figures


def train(
    context: typer.Context,
    data_folder: Annotated[
        Path,
        typer.Argument(
            help="A folder with one folder per class of PNG, JPEG or DICOM files.",
            exists=True,
            file_okay=False,
        ),
    ],
    *,
    output: Annotated[
        Path, typer.Option(help="The folder of the model, such as models/NAME.", file_okay=False)
    ],
    description: Annotated[
        Path,
        typer.Option(
            help="JSON with what the card says that cannot be measured: Name, Dataset, Classes, "
            "Limits, License, Attribution, AppliesTo, Window.",
            exists=True,
            dir_okay=False,
        ),
    ],
    architecture: Annotated[
        ArchitectureName, typer.Option(help="The network.")
    ] = ArchitectureName.MOBILENET_V2,
    pretrained: Annotated[
        Path | None,
        typer.Option(
            help="A safetensors file of the same network trained for other classes; without it "
            "the weights start at random.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
    size: Annotated[
        int, typer.Option(help="Side of the input, in pixels.", min=32, max=1024)
    ] = 224,
    epochs: Annotated[int, typer.Option(min=1, max=10000)] = 30,
    patience: Annotated[
        int, typer.Option(help="Epochs without improvement before it stops.", min=1)
    ] = 10,
    batch_size: Annotated[int, typer.Option(min=2, max=4096)] = 25,
    learning_rate: Annotated[float, typer.Option(min=1e-8, max=10.0)] = 5e-4,
    weight_decay: Annotated[float, typer.Option(min=0.0, max=10.0)] = 0.02,
    split: Annotated[
        SplitKind,
        typer.Option(help="grouped keeps look-alike images on one side; random does not."),
    ] = SplitKind.GROUPED,
    compare: Annotated[
        bool,
        typer.Option(help="Also fit and measure on the random split, for the card alone."),
    ] = False,
    test: Annotated[float, typer.Option(help="Share measured on.", min=0.01, max=0.9)] = 0.3,
    validation: Annotated[
        float, typer.Option(help="Share of the rest that chooses the epoch.", min=0.01, max=0.9)
    ] = 0.15,
    balanced: Annotated[
        bool, typer.Option(help="Each class weighs the same, however many images it has.")
    ] = True,
    augment: Annotated[bool, typer.Option(help="Change images a little each time.")] = True,
    half: Annotated[bool, typer.Option(help="Keep the weights in float16.")] = True,
    int8: Annotated[
        bool, typer.Option(help="Make and measure an 8-bit copy (needs the extra `int8`).")
    ] = False,
    seed: Annotated[int, typer.Option(help="Of split, order and augmentation.", min=0)] = 0,
    threads: Annotated[int, typer.Option(help="0: all cores.", min=0, max=1024)] = 0,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ...")] = "cpu",
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Where states are kept from which a stopped training goes on. Without it: a "
            "hidden folder beside the output.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Train a network on a folder of images; the same command resumes what was stopped."""
    import torch  # noqa: PLC0415 - takes seconds, which `--help` need not wait for

    from preread.training.fitting import Plan  # noqa: PLC0415 - imports torch
    from preread.training.training import Request  # noqa: PLC0415 - imports torch
    from preread.training.training import train as run  # noqa: PLC0415 - imports torch

    console = Console()
    if threads:
        torch.set_num_threads(threads)
    try:
        request = Request(
            data=data_folder,
            output=output,
            checkpoints=checkpoints or output.parent / f".{output.name}.training",
            architecture=architecture,
            pretrained=pretrained,
            description=read_description(description),
            size=size,
            test=test,
            validation=validation,
            kind=split,
            compare=compare,
            plan=Plan(
                epochs=epochs,
                patience=patience,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                balanced=balanced,
                augmented=augment,
                seed=seed,
            ),
            half=half,
            int8=int8,
            device=_device(device),
            command=_command_line(context),
        )
        with _Bars(console) as bars:
            run(request, bars)
    except PrereadError as error:
        Console(stderr=True).print(f"preread train: {error}", markup=False, highlight=False)
        raise typer.Exit(1) from None
    console.print(f"{output / 'card.json'} written", markup=False, highlight=False)


def _device(name: str) -> torch.device:
    import torch  # noqa: PLC0415 - see above

    try:
        device = torch.device(name)
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError):
        raise TrainingError(f"--device {name}: not usable on this machine; try cpu") from None
    return device


def _command_line(context: typer.Context) -> str:
    """Give the whole command, defaults spelt out, and of paths the last part alone."""
    words = ["preread", "train", context.params["data_folder"].name]
    for name, value in sorted(context.params.items()):
        option = f"--{name.replace('_', '-')}"
        if name == "data_folder" or value is None:
            continue
        if isinstance(value, bool):
            words.append(option if value else f"--no-{option[2:]}")
        else:
            words += [option, value.name if isinstance(value, Path) else str(value)]
    return " ".join(words)


class _Bars:
    """Progress on the console: one bar for reading, one for each fit, a line for each epoch."""

    def __init__(self, console: Console) -> None:
        self._bars = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("left"),
            TimeRemainingColumn(),
            console=console,
        )
        self._reading = self._bars.add_task("reading images", total=None)
        self._epochs = self._reading

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(self, *_error: object) -> None:
        self._bars.stop()

    def reading(self, done: int, count: int) -> None:
        self._bars.update(self._reading, completed=done, total=count)

    def fitting(self, kind: SplitKind, epochs: int, done: int) -> None:
        self._epochs = self._bars.add_task(f"epochs, {kind.value} split", total=epochs)
        self._bars.update(self._epochs, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        self._bars.advance(self._epochs)
        self._bars.console.print(
            f"epoch {epoch.epoch}: training loss {epoch.training_loss:.4f}, validation loss "
            f"{epoch.validation_loss:.4f}, accuracy {epoch.validation_accuracy:.4f}, "
            f"{epoch.seconds:.0f} s",
            highlight=False,
        )

    def measured(self, kind: SplitKind, found: Figures) -> None:
        self._bars.console.print(
            f"test part of the {kind.value} split: micro-accuracy {found.micro_accuracy:.4f}, "
            f"macro-accuracy {found.macro_accuracy:.4f}, log-loss {found.log_loss:.4f}, log-loss "
            f"reduction {found.log_loss_reduction:.4f}",
            highlight=False,
        )
