"""The predictions as tables for a terminal."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from itertools import groupby
from statistics import fmean

from rich.table import Table

from preread.demo.reading import Image, Outcome
from preread.findings.prediction import UNLIKE
from preread.results.reading import ModelResult

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
        One row per image and model for some of its images, and one per model with the mean over
        the images to which it gave classes.
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
    read = "1 image" if len(images) == 1 else f"{len(images)} images"
    table = Table(
        title=f"{first.Modality} series, {read} read, patient {first.PatientID}\n"
        f"study {first.StudyInstanceUID}",
        title_justify="left",
    )
    table.add_column("Image", justify="right")
    table.add_column("Model")
    table.add_column("Trained on")
    table.add_column("Prediction, percent")
    for image in shown:
        for number, result in enumerate(image.results):
            label = str(image.InstanceNumber) if number == 0 else ""
            table.add_row(label, result.Model, result.Dataset, _said(result))
    table.add_section()
    for (model, dataset), counted, mean in _means(images):
        told = _percentages(mean)
        if not counted:
            told = f"none of {len(images)} was given a class: {_reasons(images, model, dataset)}"
        table.add_row(f"mean of {counted}" if counted else "none", model, dataset, told)
    return table


def _means(
    images: Sequence[Image],
) -> Iterator[tuple[tuple[str, str], int, list[tuple[str, float]]]]:
    """Give each model, how many images it gave classes to, and the mean over those."""
    by_model: dict[tuple[str, str], dict[str, list[float]]] = {}
    counts: dict[tuple[str, str], int] = defaultdict(int)
    for result in (result for image in images for result in image.results):
        model = result.Model, result.Dataset
        classes = by_model.setdefault(model, defaultdict(list))
        if result.Withheld or result.OutOfDistribution is not None:
            continue
        counts[model] += 1
        for name, percentage in result.classes:
            classes[name].append(percentage)
    for model, found in by_model.items():
        means = [(name, fmean(values)) for name, values in found.items()]
        yield model, counts[model], sorted(means, key=lambda pair: -pair[1])


def _reasons(images: Sequence[Image], model: str, dataset: str) -> str:
    """Give why a model gave no image a class, each reason once."""
    reasons = {
        result.Withheld or UNLIKE
        for image in images
        for result in image.results
        if (result.Model, result.Dataset) == (model, dataset)
    }
    return "; ".join(sorted(reasons))


def _said(result: ModelResult) -> str:
    if result.OutOfDistribution is not None:
        return f"{UNLIKE}: {result.OutOfDistribution:.2f} times the threshold"
    if result.Withheld:
        return f"no class: {result.Withheld}"
    said = _percentages(result.classes)
    return f"{result.Warning}: {said}" if result.Warning else said


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
