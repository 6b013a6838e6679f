"""The table of networks in the documents, made of evaluations.

    python -m preread.training.regions.tables EVALUATION.json... [--document docs/regions.md]

prints it in Markdown, or puts it between the document's two markers.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from preread.errors import PrereadError
from preread.training.errors import TrainingError
from preread.training.regions.document import read_evaluation

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from preread.training.regions.document import Band, Evaluation, PartFigures

BEGIN: Final = "<!-- networks:begin -->"
END: Final = "<!-- networks:end -->"


def table(evaluations: Sequence[Evaluation]) -> str:
    """Give the tables in Markdown: all networks on all folders, then lesions by kind."""
    whole = [
        "| network | measured on | scans | lesions found | Dice | IoU | false positives per scan |",
        "|---|---|---|---|---|---|---|",
        *(_row(evaluation, part) for evaluation in evaluations for part in evaluation.Parts),
    ]
    kinds = [
        "| network | measured on | lesions | found |",
        "|---|---|---|---|",
        *(row for evaluation in evaluations for row in _kinds(evaluation)),
    ]
    return "\n".join(["", *whole, "", *kinds, ""])


def put_between(text: str, made: str) -> str:
    """Put a table between the markers of a document.

    Raises
    ------
    TrainingError
        If the markers are not there.
    """
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise TrainingError(f"expected the lines {BEGIN} and {END} in the document")
    return f"{before}{begin}\n{made}\n{end}{after}"


def _row(evaluation: Evaluation, part: PartFigures) -> str:
    intervals = part.Intervals or {}
    cells = [
        f"`{evaluation.Network.DnnName}`",
        _where(part),
        str(len(part.Scans)),
        "-",
        "-",
        "-",
        _figure(part.FalsePositivesPerScan, intervals.get("FalsePositivesPerScan"), 2),
    ]
    if part.DetectionRate is not None:
        found = round(part.DetectionRate * part.Lesions)
        share = _figure(part.DetectionRate, intervals.get("DetectionRate"), 2)
        cells[3] = f"{found} of {part.Lesions}: {share}"
    if part.Dice is not None:
        cells[4] = _figure(part.Dice, intervals.get("Dice"), 3)
    if part.IoU is not None:
        cells[5] = _figure(part.IoU, intervals.get("IoU"), 3)
    return f"| {' | '.join(cells)} |"


def _kinds(evaluation: Evaluation) -> Iterator[str]:
    for part in evaluation.Parts:
        for band in (*part.ByDiameter, *part.ByDensity):
            yield (
                f"| `{evaluation.Network.DnnName}` | {_where(part)} | {band.Name} | "
                f"{_share(band)} |"
            )


def _where(part: PartFigures) -> str:
    return f"{part.Name}{', synthetic' if part.Synthetic else ''}"


def _share(band: Band) -> str:
    return f"{band.Found} of {band.Lesions}"


def _figure(value: float, interval: tuple[float, float] | None, digits: int) -> str:
    if interval is None:
        return f"{value:.{digits}f}"
    return f"{value:.{digits}f} ({interval[0]:.{digits}f} to {interval[1]:.{digits}f})"


def _read(paths: Iterable[Path]) -> list[Evaluation]:
    return [read_evaluation(path) for path in paths]


def main(
    evaluations: Annotated[list[Path], typer.Argument(metavar="EVALUATION.json...")],
    *,
    document: Annotated[
        Path | None, typer.Option(help="Put the table between its markers.", dir_okay=False)
    ] = None,
) -> None:
    """Make the table of networks."""
    try:
        made = table(_read(evaluations))
        if document is None:
            typer.echo(made)
            return
        document.write_text(
            put_between(document.read_text(encoding="utf-8"), made), encoding="utf-8"
        )
    except (PrereadError, OSError) as error:
        typer.echo(f"tables: {error}", err=True)
        raise typer.Exit(1) from None


if __name__ == "__main__":
    typer.run(main)
