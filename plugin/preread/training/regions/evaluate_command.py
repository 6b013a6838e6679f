"""``preread iodeep evaluate``: what a network finds and outlines, where the truth is known."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

from preread.errors import PrereadError
from preread.training.bars import Bars
from preread.training.command import reason_of
from preread.training.errors import TrainingError
from preread.training.regions.command import models_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from preread.iodeep.iod import IODeep
    from preread.iodeep.opening import WeightsFolder
    from preread.iodeep.prediction import Predictor
    from preread.training.regions.document import NetworkFacts, PartFigures
    from preread.training.regions.series import Series


def evaluate(
    network: Annotated[
        Path,
        typer.Argument(
            metavar="NETWORK.dcm", help="An IODeep object.", exists=True, dir_okay=False
        ),
    ],
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="FOLDER...",
            help="As for `preread iodeep train`; series without outlines are counted on alone.",
            exists=True,
            file_okay=False,
        ),
    ],
    *,
    output: Annotated[Path, typer.Option(help="The JSON file to write.")],
    threshold: Annotated[
        float, typer.Option(help="Probability from which a pixel belongs to a region.", max=1.0)
    ] = 0.5,
    describe: Annotated[
        bool,
        typer.Option("--describe", help="Say the figures in the description of NETWORK.dcm, too."),
    ] = False,
    models: Annotated[
        Path | None,
        typer.Option(
            help="The models folder. Default: as for `preread iodeep train`.",
            file_okay=False,
        ),
    ] = None,
    threads: Annotated[int, typer.Option(help="0: all cores.", min=0, max=1024)] = 0,
) -> None:
    """Measure a network on series whose lesions are known."""
    import torch  # noqa: PLC0415 - takes seconds, which `--help` need not wait for

    from preread.iodeep.opening import WeightsFolder  # noqa: PLC0415
    from preread.iodeep.prediction import Predictor, RegionOptions  # noqa: PLC0415
    from preread.iodeep.reading import decode  # noqa: PLC0415
    from preread.iodeep.writing import encode  # noqa: PLC0415
    from preread.models.weights import write_atomically  # noqa: PLC0415
    from preread.training.regions.describing import described  # noqa: PLC0415
    from preread.training.regions.document import Evaluation, write_evaluation  # noqa: PLC0415

    if threads:
        torch.set_num_threads(threads)
    try:
        if not 0 < threshold < 1:
            raise TrainingError("--threshold: expected a number above 0 and below 1")
        told = decode(network.read_bytes())
        folder = WeightsFolder(models or models_of(network))
        options = RegionOptions(threshold=threshold)
        predictor = Predictor(folder, options)
        evaluation = Evaluation(
            Network=_facts(told, folder),
            Threshold=options.threshold,
            SmallestArea=options.smallest_area,
            Parts=[_part(path, told, predictor) for path in folders],
        )
        write_evaluation(output, evaluation)
        if describe:
            write_atomically(network, encode(described(told, evaluation)))
    except (PrereadError, OSError, MemoryError, RuntimeError) as error:
        reason = reason_of(error)
        if reason is None:
            raise
        Console(stderr=True).print(
            f"preread iodeep evaluate: {reason}", markup=False, highlight=False, soft_wrap=True
        )
        raise typer.Exit(1) from None
    for part in evaluation.Parts:
        typer.echo(_line(part))


def _facts(network: IODeep, folder: WeightsFolder) -> NetworkFacts:
    from preread.iodeep.validation import validate  # noqa: PLC0415 - imports torch
    from preread.training.regions.document import NetworkFacts  # noqa: PLC0415

    validated = validate(network, folder)
    return NetworkFacts(
        DnnName=network.DnnName,
        DnnUID=network.DnnUID,
        Modality=network.Modality,
        BodyPartExamined=network.BodyPartExamined,
        Rows=network.Rows,
        Columns=network.Columns,
        Parameters=validated.architecture.parameters,
        SHA256=validated.contents.sha256,
    )


def _part(path: Path, network: IODeep, predictor: Predictor) -> PartFigures:
    from preread.training.regions.measuring import measure_scan, summarise  # noqa: PLC0415
    from preread.training.regions.series import read_folder  # noqa: PLC0415

    found = list(read_folder(path, truth=False))
    _check_modality(found, network)
    count, done = sum(len(series.slices) for series in found), 0
    with Bars(Console(stderr=True), path.name) as bars:

        def progress() -> None:
            nonlocal done
            done += 1
            bars.reading(done, count)

        scans = [measure_scan(series, network, predictor, progress) for series in found]
    synthetic = all(series.synthetic for series in found)
    return summarise(path.absolute().name, scans, synthetic=synthetic)


def _check_modality(found: Iterable[Series], network: IODeep) -> None:
    for series in found:
        if series.Modality not in ("", network.Modality):
            raise TrainingError(
                f"{series.name}: is {series.Modality}; the network is for {network.Modality}"
            )


def _line(part: PartFigures) -> str:
    words: Sequence[str] = [f"{part.Name}: {len(part.Scans)} scans, {part.Slices} slices"]
    if part.DetectionRate is not None:
        words = [
            *words,
            f"{part.DetectionRate:.1%} of {part.Lesions} lesions found",
            f"Dice {part.Dice:.4f}, IoU {part.IoU:.4f}",
        ]
    return ", ".join([*words, f"{part.FalsePositivesPerScan:.2f} false positives per scan"])
