"""``preread iodeep convert`` and ``build``: what takes torch or Keras, once, for nodes without."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from preread.connecting import Configuration
from preread.errors import SettingsError
from preread.iodeep.command_files import (
    File,
    Models,
    bytes_of,
    models_folder,
    network_in,
    text_of,
    write_new,
)


def convert(
    file: File,
    output: Annotated[Path, typer.Option(help="The file to write; it is not replaced.")],
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
    """Write anew what torch.save wrote in an object, so that a node without torch can run it."""
    from preread.iodeep.converting import converted, holds_torch, note_of  # noqa: PLC0415 - for help
    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.writing import encode  # noqa: PLC0415

    network = network_in(file)
    if not holds_torch(network):
        raise SettingsError(f"{file}: nothing of it was written by torch.save")
    place = WeightsFolder(models_folder(models, config))
    made = converted(network, place, by_reference=by_reference)
    data = encode(made)
    write_new(output, data)
    typer.echo(made.DnnUID)
    typer.echo(note_of(made, data), err=True)


def build(
    architecture: Annotated[
        Path,
        typer.Argument(
            metavar="JSON",
            help="The architecture, in the article's format.",
            exists=True,
            dir_okay=False,
        ),
    ],
    name: Annotated[
        Path,
        typer.Option(
            "--name",
            "-n",
            metavar="FILE",
            help="The file to write; it is not replaced. pytorch: .pth (a state dictionary) or "
            ".pt (TorchScript, as the article's parser writes it); tensorflow: .keras, .h5 (the "
            "model) or .weights.h5.",
        ),
    ],
    backend: Annotated[
        str,
        typer.Option(
            "--backend",
            "-b",
            metavar="[pytorch|tensorflow]",
            help="What builds it. Default: the architecture's own.",
        ),
    ] = "",
    weights: Annotated[
        Path | None,
        typer.Option(
            help="A safetensors file with the weights. Default: random ones.",
            exists=True,
            dir_okay=False,
        ),
    ] = None,
) -> None:
    """Build a network with the framework that trains it, and save it, as the article's parser."""
    from preread.iodeep.architecture import parse_architecture  # noqa: PLC0415 - not needed for help
    from preread.iodeep.document import LARGEST_ARCHITECTURE, parse_document  # noqa: PLC0415
    from preread.iodeep.reference_files import reference_file  # noqa: PLC0415
    from preread.iodeep.weights import arrays_of  # noqa: PLC0415
    from preread.models.card import LARGEST_WEIGHTS  # noqa: PLC0415

    if name.exists():
        raise SettingsError(f"{name}: is there already")
    described = parse_architecture(parse_document(text_of(architecture, LARGEST_ARCHITECTURE)))
    arrays = None if weights is None else arrays_of(bytes_of(weights, LARGEST_WEIGHTS))
    write_new(name, reference_file(described, backend or described.backend, name.name, arrays))
    typer.echo(f"{name}: {described.parameters} parameters")
