"""``preread models``: a folder of models converted, rounded, compared; weights and ONNX of one."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from preread.models.engine_names import EngineName
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from preread.models.model import Model
    from preread.training.comparing import Difference

app = typer.Typer(
    help="Work on the files of a folder of models (needs the extra `train`).",
    no_args_is_help=True,
)

Folder = Annotated[Path, typer.Argument(help="The folder of models.", exists=True, file_okay=False)]
Images = Annotated[
    Path,
    typer.Argument(help="A folder of PNG, JPEG and DICOM files.", exists=True, file_okay=False),
]
_MOST = 5


@app.command("convert")
def convert_models(
    folder: Folder,
    output: Annotated[Path, typer.Argument(help="A new folder of models.", file_okay=False)],
) -> None:
    """Make models whose weights are safetensors into ONNX, in float32."""
    from preread.training.converting import convert  # noqa: PLC0415 - imports torch

    names = convert(folder, output, lambda name: typer.echo(f"converting {name}"))
    typer.echo(f"{len(names)} models in {output}")


@app.command("quantize")
def quantize_network(
    folder: Folder,
    network: Annotated[
        str,
        typer.Argument(
            help="Such as backbones/InceptionV3.onnx, or a model with a network of its own."
        ),
    ],
    images: Images,
    ranges: Annotated[
        str, typer.Option(help="How ranges are told: histogram, or minmax.")
    ] = "histogram",
    in_float: Annotated[
        list[str] | None,
        typer.Option(
            metavar="BEGINNING",
            help="Layers that stay in float, by the beginning of their names. May be given again.",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Of the choice of images.", min=0)] = 0,
) -> None:
    """Round a network to 8 bits, in place, and write what that costs into its models' cards.

    The images are those that it was trained on: the training part sets the ranges, the test part
    tells the cost.
    """
    from preread.training.onnx_rounding import Ranges  # noqa: PLC0415 - imports OpenVINO
    from preread.training.rounding import quantize  # noqa: PLC0415 - imports torch

    if ranges not in list(Ranges):
        raise TrainingError(f"--ranges {ranges}: expected {' or '.join(Ranges)}")
    for model in quantize(folder, network, images, Ranges(ranges), in_float or (), seed):
        facts = model.card.Quantization
        if facts is None:
            raise AssertionError(model.name)
        typer.echo(
            f"{model.name}: of {facts.TestImages} test images {facts.ChangedClasses} changed "
            f"class; largest difference of a probability {facts.LargestDifference:.4f}"
        )


@app.command("compare")
def compare_models(
    first: Folder,
    second: Annotated[
        Path, typer.Argument(help="Another folder of models.", exists=True, file_okay=False)
    ],
    images: Images,
    first_engine: Annotated[
        EngineName, typer.Option(help="What asks the first folder's models.")
    ] = EngineName.OPENVINO,
    second_engine: Annotated[
        EngineName, typer.Option(help="What asks the second folder's models.")
    ] = EngineName.OPENVINO,
    test_part: Annotated[
        bool,
        typer.Option(
            "--test-part", help="Only images of the test parts of the first folder's splits."
        ),
    ] = False,
    most: Annotated[
        int, typer.Option(help="Images that may change class; with more it fails.", min=0)
    ] = _MOST,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
) -> None:
    """Ask two folders of models of the same images, and name those that change class.

    Ends with 1 where more of them do than may.
    """
    from rich.console import Console  # noqa: PLC0415 - `preread --help` need not wait for it

    from preread.training.comparing import compare  # noqa: PLC0415 - takes a second

    console = Console(stderr=True)
    with console.status("asking") as status:
        found = compare(
            (first, first_engine.value),
            (second, second_engine.value),
            images,
            _test_parts(first) if test_part else None,
            lambda done: status.update(f"asking: {done} images"),
        )
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in found], indent=2))
    else:
        _show(found)
    changed = {line.partition(":")[0] for one in found for line in one.changed}
    if len(changed) > most:
        raise TrainingError(f"{len(changed)} images change class; expected {most} at most")


@app.command("weights")
def write_weights(
    folder: Folder,
    model: Annotated[str, typer.Argument(help="The name of a model.")],
    output: Annotated[Path, typer.Argument(help="A .safetensors file.", dir_okay=False)],
) -> None:
    """Read a model's weights back as floats, for `preread train --pretrained`.

    Batch normalisation was folded into the convolutions: it comes back as one that changes
    nothing but adds a shift.
    """
    from preread.models.loading import whole_arrays  # noqa: PLC0415 - imports torch
    from preread.models.weights import weights_bytes, write_atomically  # noqa: PLC0415 - as above

    _check_name(output, ".safetensors")
    write_atomically(output, weights_bytes(whole_arrays(_model(folder, model))))
    typer.echo(str(output))


@app.command("export")
def export_network(
    folder: Folder,
    model: Annotated[str, typer.Argument(help="The name of a model.")],
    output: Annotated[Path, typer.Argument(help="An .onnx file.", dir_okay=False)],
) -> None:
    """Write a model's network as ONNX in float32: features and the last feature map."""
    from preread.models.loading import load_backbone  # noqa: PLC0415 - imports torch
    from preread.models.weights import write_atomically  # noqa: PLC0415 - as above
    from preread.training.onnx_making import onnx_of  # noqa: PLC0415 - as above

    _check_name(output, ".onnx")
    found = _model(folder, model)
    write_atomically(output, onnx_of(load_backbone(found), found.card.Architecture))
    typer.echo(str(output))


def _model(folder: Path, name: str) -> Model:
    from preread.models.catalogue import Catalogue  # noqa: PLC0415 - takes half a second

    return Catalogue.load(folder, [name])[name]


def _check_name(output: Path, suffix: str) -> None:
    if output.suffix != suffix or output.exists():
        raise TrainingError(f"{output.name}: expected the name of a new file that ends in {suffix}")


def _test_parts(folder: Path) -> frozenset[str]:
    from preread.models.catalogue import Catalogue  # noqa: PLC0415 - takes half a second
    from preread.training.evaluation.record import read_record  # noqa: PLC0415 - as above

    found: set[str] = set()
    for model in Catalogue.load(folder):
        record = read_record(model)
        if record is None:
            raise TrainingError(f"{model.name}: nothing tells which images are its test part")
        found |= {row.sha256 for row in record.rows if row.part == "test"}
    return frozenset(found)


def _show(found: tuple[Difference, ...]) -> None:
    from rich.console import Console  # noqa: PLC0415 - as above
    from rich.table import Table  # noqa: PLC0415 - as above

    table = Table("model", "images", "changed class", "judged otherwise", "largest difference")
    for one in found:
        table.add_row(
            one.name,
            str(one.images),
            str(len(one.changed)),
            str(len(one.judged)),
            f"{one.largest:.4f}",
        )
    console = Console()
    console.print(table)
    for one in found:
        for line in one.changed:
            console.print(f"{one.name}: {line}", markup=False)
