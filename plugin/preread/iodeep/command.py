"""``preread iodeep``: networks as DICOM objects. What a command needs is imported when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from preread.connecting import FAILED, Configuration
from preread.errors import PrereadError, SettingsError
from preread.iodeep import making_command, remote_command
from preread.iodeep.command_files import (
    File,
    Models,
    bytes_of,
    models_folder,
    network_in,
    text_of,
    write_new,
)
from preread.tables import show as show_table
from preread.tables import table

if TYPE_CHECKING:
    from preread.iodeep.iod import IODeep

app = typer.Typer(help="Networks that are kept as DICOM objects (IODeep).", no_args_is_help=True)

app.command("push")(remote_command.push)
app.command("list")(remote_command.list_networks)
app.command("propose")(remote_command.propose)
app.command("convert")(making_command.convert)
app.command("build")(making_command.build)


@app.command()
def create(
    architecture: Annotated[
        Path, typer.Option(help="JSON in the article's format.", exists=True, dir_okay=False)
    ],
    weights: Annotated[
        Path,
        typer.Option(
            help="A safetensors file, or a .pth of torch.save, which becomes one.",
            exists=True,
            dir_okay=False,
        ),
    ],
    modality: Annotated[str, typer.Option(help="Of the images that it is for, such as MR.")],
    body_part: Annotated[
        str, typer.Option(help="BodyPartExamined of the images that it is for, such as HEAD.")
    ],
    output: Annotated[Path, typer.Option(help="The file to write; it is not replaced.")],
    samples_per_pixel: Annotated[int, typer.Option(help="Of the images: 1 or 3.")] = 1,
    photometric_interpretation: Annotated[
        str, typer.Option(help="Of the images. Default: MONOCHROME2 or RGB.")
    ] = "",
    window: Annotated[
        tuple[float, float] | None,
        typer.Option(
            help="Center and width, in the modality's values (HU in CT), of what the input shows "
            "from 0 to 1. Default: what each image asks for itself.",
            metavar="CENTER WIDTH",
        ),
    ] = None,
    name: Annotated[str, typer.Option(help="DnnName. Default: the name of the weights.")] = "",
    uid: Annotated[str, typer.Option(help="DnnUID. Default: a new one.")] = "",
    description: Annotated[
        str, typer.Option(help="What it was trained on and how well it does.")
    ] = "",
    by_reference: Annotated[
        bool,
        typer.Option(
            help="Put the weights into the models folder and only their hash into the object; "
            "without it that is done above 4 MB."
        ),
    ] = False,
    models: Models = None,
    config: Configuration = None,
) -> None:
    """Make a DICOM object of an architecture and its weights, if they fit each other."""
    from preread.iodeep.document import LARGEST_ARCHITECTURE, parse_document  # noqa: PLC0415
    from preread.iodeep.iod import CHANNELS  # noqa: PLC0415
    from preread.iodeep.making import kept_weights, make  # noqa: PLC0415
    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.validation import validate  # noqa: PLC0415
    from preread.iodeep.writing import encode  # noqa: PLC0415
    from preread.models.card import LARGEST_WEIGHTS  # noqa: PLC0415

    folder = WeightsFolder(models_folder(models, config))
    document = parse_document(text_of(architecture, LARGEST_ARCHITECTURE))
    data = bytes_of(weights, LARGEST_WEIGHTS)
    channels = {count: term for term, count in CHANNELS.items() if term in ("MONOCHROME2", "RGB")}
    network = make(
        document,
        kept_weights(data, folder, by_reference=by_reference),
        DnnUID=uid,
        DnnName=name or weights.stem,
        Modality=modality.upper(),
        BodyPartExamined=body_part.upper(),
        SamplesPerPixel=samples_per_pixel,
        PhotometricInterpretation=(
            photometric_interpretation.upper() or channels.get(samples_per_pixel, "")
        ),
        WindowCenter=None if window is None else window[0],
        WindowWidth=None if window is None else window[1],
        Description=description,
    )
    validate(network, folder)
    write_new(output, encode(network))
    typer.echo(network.DnnUID)


@app.command()
def show(
    file: File,
    as_json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Show what an object says of itself, without looking at its weights."""
    told = _told(network_in(file)) | {"Digest": _digest(file)}
    if as_json:
        typer.echo(json.dumps(told, indent=2, ensure_ascii=False))
        return
    made = table("", "", header=False)
    for key, value in told.items():
        made.add_row(key, "-" if value in (None, "") else str(value))
    show_table(made)


@app.command("validate")
def validate_files(
    files: Annotated[list[Path], typer.Argument(metavar="FILE...", help="IODeep instances.")],
    models: Models = None,
    config: Configuration = None,
) -> None:
    """Check that networks can be built and that their weights fit them."""
    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.validation import validate  # noqa: PLC0415

    folder = WeightsFolder(models_folder(models, config))
    failures = 0
    for file in files:
        try:
            architecture = validate(network_in(file), folder).architecture
            typer.echo(f"{file}: valid, {architecture.parameters} parameters")
        except PrereadError as error:
            failures += 1
            named = str(error).removeprefix(f"{file}: ")
            typer.echo(f"{file}: {named}", err=True)
    if failures:
        raise typer.Exit(FAILED)


@app.command()
def export(
    file: File,
    destination: Annotated[
        Path, typer.Argument(metavar="FOLDER", help="For architecture.json, weights.safetensors.")
    ],
    models: Models = None,
    config: Configuration = None,
) -> None:
    """Take an object's architecture and weights out of it."""
    from preread.iodeep.making import safetensors_of  # noqa: PLC0415
    from preread.iodeep.opening import WeightsFolder, contents  # noqa: PLC0415

    opened = contents(network_in(file), WeightsFolder(models_folder(models, config)))
    try:
        destination.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise SettingsError(f"{destination}: cannot be made ({error.strerror})") from None
    text = json.dumps(opened.document, indent=2, ensure_ascii=False) + "\n"
    write_new(destination / "architecture.json", text.encode())
    write_new(destination / "weights.safetensors", safetensors_of(opened.arrays))


@app.command()
def sign(
    file: File,
    key: Annotated[
        Path,
        typer.Option(
            help="The private key, in PEM: Ed25519, elliptic curve or RSA.",
            exists=True,
            dir_okay=False,
        ),
    ],
    output: Annotated[Path, typer.Option(help="The file to write; it is not replaced.")],
    password: Annotated[
        str,
        typer.Option(
            help="Of the key, if it has one; better in the environment, where others do not see "
            "it.",
            envvar="PREREAD_KEY_PASSWORD",
        ),
    ] = "",
) -> None:
    """Sign a network, so that sites with the key's certificate trust it whoever sends it."""
    from preread.iodeep.reading import LARGEST_FILE  # noqa: PLC0415 - not needed for help
    from preread.iodeep.signature import load_key  # noqa: PLC0415
    from preread.iodeep.signing import signed  # noqa: PLC0415

    network = network_in(file)
    opened = load_key(key, password)
    try:
        made = signed(bytes_of(file, LARGEST_FILE), opened)
    except SettingsError as error:
        raise SettingsError(f"{file}: {error}") from None
    write_new(output, made)
    typer.echo(network.DnnUID)


def _digest(file: Path) -> str | None:
    from preread.iodeep.reading import LARGEST_FILE  # noqa: PLC0415 - not needed for help
    from preread.iodeep.recognising import digest_of, recognise  # noqa: PLC0415

    found = recognise(bytes_of(file, LARGEST_FILE))
    return None if found is None else digest_of(found)


def _told(network: IODeep) -> dict[str, Any]:
    from preread.iodeep.weights import TorchSaved  # noqa: PLC0415 - not needed for help

    architecture = network.DnnArchitecture
    attributes = (
        "DnnUID", "DnnName", "SOPInstanceUID", "Modality", "BodyPartExamined", "SamplesPerPixel",
        "PhotometricInterpretation", "Rows", "Columns", "WindowCenter", "WindowWidth",
        "Description",
    )  # fmt: skip
    told = {attribute: getattr(network, attribute) for attribute in attributes}
    told["Layout"] = str(network.layout)
    told["Created"] = network.created.isoformat() if network.created else None
    if isinstance(architecture, TorchSaved):
        told["DnnArchitecture"] = str(architecture)
    else:
        told["DnnArchitecture"] = f"{len(architecture)} bytes of JSON"
    told["DnnWeights"] = str(network.DnnWeights)
    return told
