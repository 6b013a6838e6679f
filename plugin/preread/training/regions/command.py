"""``preread iodeep train``: from an architecture and a folder to a network as a DICOM object."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from preread.errors import PrereadError
from preread.training.bars import Bars
from preread.training.command import device_named, reason_of
from preread.training.errors import TrainingError
from preread.training.plan import Precision
from preread.training.regions.plan import RegionPlan

if TYPE_CHECKING:
    from preread.training.regions.fitting import Epoch

_PLAN = RegionPlan()


def train(
    architecture: Annotated[
        Path,
        typer.Argument(
            metavar="ARCHITECTURE.json",
            help="In the article's format.",
            exists=True,
            dir_okay=False,
        ),
    ],
    data: Annotated[
        Path,
        typer.Argument(
            metavar="FOLDER",
            help="Folders of DICOM slices with a Segmentation or an RT Structure Set beside them, "
            "or pictures with NAME.mask.png beside NAME.png.",
            exists=True,
            file_okay=False,
        ),
    ],
    *,
    output: Annotated[
        Path,
        typer.Option(
            help="The object to write, such as models/iodeep/NAME.dcm; it is not replaced."
        ),
    ],
    name: Annotated[str, typer.Option(help="DnnName. Default: the name of the output.")] = "",
    uid: Annotated[str, typer.Option(help="DnnUID. Default: a new one.")] = "",
    modality: Annotated[
        str, typer.Option(help="Of the images that it is for. Default: as the series say.")
    ] = "",
    body_part: Annotated[
        str, typer.Option(help="BodyPartExamined. Default: as the series say.")
    ] = "",
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Center and width, in the modality's values (HU in CT), of what the input shows "
            "from 0 to 1. Default: what each image asks for itself.",
            metavar="CENTER WIDTH",
        ),
    ] = None,
    description: Annotated[
        str, typer.Option(help="Said in the object before what is known of data and figures.")
    ] = "",
    epochs: Annotated[int, typer.Option(min=1, max=100_000)] = _PLAN.epochs,
    patience: Annotated[
        int, typer.Option(help="Epochs without improvement before it stops; 0: never.", min=0)
    ] = _PLAN.patience,
    samples: Annotated[
        int, typer.Option(help="Slices in an epoch; 0: as many as there are.", min=0)
    ] = _PLAN.samples,
    batch_size: Annotated[int, typer.Option(min=1, max=4096)] = _PLAN.batch_size,
    learning_rate: Annotated[float, typer.Option(min=1e-8, max=10.0)] = _PLAN.learning_rate,
    weight_decay: Annotated[float, typer.Option(min=0.0, max=10.0)] = _PLAN.weight_decay,
    lesions: Annotated[
        float, typer.Option(help="Share of an epoch's slices that show a lesion.", max=1.0)
    ] = _PLAN.lesions,
    plain: Annotated[
        float, typer.Option(help="Slices without a lesion that are read for each with one.", min=0)
    ] = _PLAN.plain,
    validation: Annotated[
        float, typer.Option(help="Share of the patients that choose the epoch.", min=0.0, max=0.9)
    ] = _PLAN.validation,
    augmentation: Annotated[
        float, typer.Option(help="How much slices are changed each time.", min=0.0, max=3.0)
    ] = _PLAN.augmentation,
    precision: Annotated[
        Precision, typer.Option(help="Numbers that layers compute in while fitted.")
    ] = _PLAN.precision,
    float32: Annotated[
        bool, typer.Option("--float32", help="Keep weights in float32 and not in float16.")
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of weights, division, order and augmentation.", min=0, max=2**31)
    ] = _PLAN.seed,
    threads: Annotated[int, typer.Option(help="0: all cores.", min=0, max=1024)] = 0,
    device: Annotated[
        str, typer.Option(help="auto, cpu, cuda, cuda:1, ...; auto takes a GPU where there is one.")
    ] = "auto",
    models: Annotated[
        Path | None,
        typer.Option(
            help="The models folder, where weights above 4 MB go, below iodeep/. Default: the one "
            "that the output lies in, below iodeep/, or else the output's own folder.",
            file_okay=False,
        ),
    ] = None,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            help="Where the state is kept from which a stopped training goes on. Default: a hidden "
            "folder beside the output.",
            file_okay=False,
        ),
    ] = None,
) -> None:
    """Train a network that outlines lesions; the same command resumes what was stopped."""
    import torch  # noqa: PLC0415 - takes seconds, which `--help` need not wait for

    from preread.training.regions.training import Request  # noqa: PLC0415 - imports torch
    from preread.training.regions.training import train as run  # noqa: PLC0415

    console = Console()
    if threads:
        torch.set_num_threads(threads)
    output = output.absolute()
    try:
        request = Request(
            architecture=_text(architecture),
            data=data.absolute(),
            output=output,
            models=models or models_of(output),
            checkpoints=checkpoints or output.parent / f".{output.stem}.training",
            name=name or output.stem,
            description=description,
            DnnUID=uid,
            Modality=modality,
            BodyPartExamined=body_part,
            window=window,
            half=not float32,
            device=device_named(device),
            plan=RegionPlan(
                epochs=epochs,
                patience=patience,
                samples=samples,
                batch_size=batch_size,
                learning_rate=learning_rate,
                weight_decay=weight_decay,
                lesions=lesions,
                plain=plain,
                validation=validation,
                augmentation=augmentation,
                precision=precision,
                seed=seed,
            ),
        )
        with _Bars(console) as bars:
            network = run(request, bars)
    except (PrereadError, OSError, MemoryError, RuntimeError) as error:
        told = reason_of(error)
        if told is None:
            raise
        Console(stderr=True).print(
            f"preread iodeep train: {told}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    console.print(f"{network.DnnUID} written: {output.name}", markup=False, highlight=False)


def models_of(network: Path) -> Path:
    """Give the models folder that an object lies in, or its own folder if it lies in none."""
    from preread.iodeep.opening import FOLDER  # noqa: PLC0415 - not for help

    folder = network.absolute().parent
    return folder.parent if folder.name == FOLDER else folder


def _text(path: Path) -> str:
    from preread.iodeep.document import LARGEST_ARCHITECTURE  # noqa: PLC0415 - not for help

    if path.stat().st_size > LARGEST_ARCHITECTURE:
        raise TrainingError(f"{path.name}: larger than {LARGEST_ARCHITECTURE} bytes")
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError:
        raise TrainingError(f"{path.name}: expected a text in UTF-8") from None


class _Bars(Bars):
    """Progress on the console: slices that are read, epochs with the time left, a line for each."""

    def __init__(self, console: Console) -> None:
        super().__init__(console, "reading slices")
        self._epochs = self._reading

    def fitting(self, epochs: int, done: int) -> None:
        self._epochs = self._bars.add_task("epochs", total=epochs)
        self._bars.update(self._epochs, completed=done)

    def epoch(self, epoch: Epoch) -> None:
        self._bars.advance(self._epochs)
        held_out = ""
        if epoch.validation_loss is not None:
            held_out = (
                f"validation loss {epoch.validation_loss:.4f}, Dice {epoch.validation_dice:.4f}, "
            )
        self._bars.console.print(
            f"epoch {epoch.epoch}: training loss {epoch.training_loss:.4f}, {held_out}"
            f"{epoch.seconds:.0f} s",
            highlight=False,
        )
