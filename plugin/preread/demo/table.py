"""The predictions as tables for a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from statistics import fmean

from rich.table import Table

from preread.demo.reading import Image, Outcome

_MOST_ROWS = 8


def chosen(images: Sequence[Image], most: int = _MOST_ROWS) -> list[Image]:
    """Return at most so many images, evenly from the first to the last.

    Examples
    --------
    >>> chosen([1, 2, 3, 4, 5], most=3)
    [1, 3, 5]
    """
    if len(images) <= most:
        return list(images)
    return [images[round(i * (len(images) - 1) / (most - 1))] for i in range(most)]


def series_tables(images: Iterable[Image]) -> Iterator[Table]:
    """Make one table for each series that has predictions.

    Parameters
    ----------
    images
        Of any number of studies; those without predictions are left out.

    Yields
    ------
    rich.table.Table
        One row per image and model for some of its images, and one per model with the mean.
    """
    read = sorted(
        (image for image in images if image.results),
        key=lambda i: (i.StudyInstanceUID, i.SeriesInstanceUID, i.InstanceNumber),
    )
    for _, group in groupby(read, key=lambda i: (i.StudyInstanceUID, i.SeriesInstanceUID)):
        yield _series_table(list(group))


def _series_table(images: Sequence[Image]) -> Table:
    first = images[0]
    shown = chosen(images)
    table = Table(
        title=f"{first.Modality} series, {len(images)} images read, patient {first.PatientID}\n"
        f"study {first.StudyInstanceUID}",
        title_justify="left",
    )
    table.add_column("Image", justify="right")
    table.add_column("Model")
    table.add_column("Prediction, percent")
    for image in shown:
        for number, result in enumerate(image.results):
            label = str(image.InstanceNumber) if number == 0 else ""
            table.add_row(label, result.Model, _percentages(result.classes))
    table.add_section()
    for model, mean in _means(images):
        table.add_row(f"mean of {len(images)}", model, _percentages(mean))
    return table


def _means(images: Sequence[Image]) -> Iterator[tuple[str, list[tuple[str, float]]]]:
    by_model: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for image in images:
        for result in image.results:
            for name, percentage in result.classes:
                by_model[result.Model][name].append(percentage)
    for model, classes in by_model.items():
        means = [(name, fmean(values)) for name, values in classes.items()]
        yield model, sorted(means, key=lambda pair: -pair[1])


def _percentages(classes: Iterable[tuple[str, float]]) -> str:
    return "   ".join(f"{name} {percentage:.2f}" for name, percentage in classes)


def unread_lines(outcomes: Iterable[Outcome]) -> list[str]:
    """Return one line for each reason why images were not read.

    Parameters
    ----------
    outcomes
        Of the images that were sent; only the last one of each image counts.
    """
    latest: dict[str, Outcome] = {}
    for outcome in outcomes:
        known = latest.get(outcome.SOPInstanceUID)
        if known is None or known.number < outcome.number:
            latest[outcome.SOPInstanceUID] = outcome
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for outcome in latest.values():
        if outcome.state != "done":
            counts[outcome.state, outcome.reason or "no reason given"] += 1
    return [
        f"{count} {'image' if count == 1 else 'images'} {state}: {reason}"
        for (state, reason), count in sorted(counts.items())
    ]
