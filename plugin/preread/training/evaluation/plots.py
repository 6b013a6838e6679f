"""The pictures of a report, as PNG."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Final

import numpy as np
from matplotlib.figure import Figure as Canvas
from PIL import Image

from preread.training.evaluation.reliability import BINS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from matplotlib.axes import Axes

    from preread.training.evaluation.document import EpochLine, Figures

_WIDTH: Final = 10.5  # inches
_DPI: Final = 110
_FONT: Final = 8.5  # points
# Okabe and Ito's, which people who confuse colours tell apart.
_COLOURS: Final = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000")
_GREY: Final = "#888888"
_PALETTE: Final = 128  # colours of a picture


def figures_png(measured: Sequence[Figures]) -> bytes:
    """Draw confusion matrix, reliability and receiver's curves of one model or ensemble.

    Parameters
    ----------
    measured
        One of each run: matrix and bins are added up, curves are drawn for each.
    """
    canvas = Canvas(figsize=(_WIDTH, 3.6), dpi=_DPI, layout="constrained")
    matrix, bins, curves = canvas.subplots(1, 3, width_ratios=(1.15, 1, 1))
    _matrix(matrix, measured)
    _reliability(bins, measured)
    _curves(curves, measured)
    return _png(canvas)


def history_png(histories: Sequence[Mapping[str, Sequence[EpochLine]]]) -> bytes:
    """Draw loss and accuracy by epoch; one history for each run."""
    canvas = Canvas(figsize=(_WIDTH, 2.7), dpi=_DPI, layout="constrained")
    losses, accuracies = canvas.subplots(1, 2)
    told: set[str] = set()
    for history in histories:
        for number, (split, lines) in enumerate(history.items()):
            colour = _COLOURS[number % len(_COLOURS)]
            for axes, name, words, style in (
                (losses, "training_loss", "training", ":"),
                (losses, "validation_loss", "validation", "-"),
                (accuracies, "validation_accuracy", "validation", "-"),
            ):
                points = [(line.epoch, getattr(line, name)) for line in lines]
                known = [(epoch, value) for epoch, value in points if value is not None]
                label = f"{words}, {split}"
                if known:
                    axes.plot(
                        *zip(*known, strict=True),
                        style,
                        color=colour,
                        linewidth=1.2,
                        marker="." if len(known) < 2 else "",
                        label=f"_{label}" if f"{name}{split}" in told else label,
                    )
                    told.add(f"{name}{split}")
    losses.set_title("loss by epoch", fontsize=_FONT + 1)
    accuracies.set_title("accuracy by epoch", fontsize=_FONT + 1)
    for axes in (losses, accuracies):
        axes.set_xlabel("epoch", fontsize=_FONT)
        axes.xaxis.get_major_locator().set_params(integer=True)
        _plain(axes)
        if axes.get_legend_handles_labels()[0]:
            axes.legend(fontsize=_FONT - 1, frameon=False)
    return _png(canvas)


def _matrix(axes: Axes, measured: Sequence[Figures]) -> None:
    counts = np.sum([figures.ConfusionMatrix for figures in measured], axis=0)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    names = [name.replace("_", " ") for name in measured[0].Classes]
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row in range(len(names)):
        for column in range(len(names)):
            axes.text(
                column,
                row,
                str(counts[row, column]),
                ha="center",
                va="center",
                fontsize=_FONT,
                color="white" if shares[row, column] > 0.55 else "black",
            )
    axes.set_xticks(range(len(names)), names, rotation=35, ha="right")
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(labelsize=_FONT - 1, length=0)
    axes.set_xlabel("answered", fontsize=_FONT)
    axes.set_ylabel("true", fontsize=_FONT)
    axes.set_title("confusion matrix (images)", fontsize=_FONT + 1)


def _reliability(axes: Axes, measured: Sequence[Figures]) -> None:
    counts = np.array([[each.Images for each in one.Reliability] for one in measured])
    right = np.array([[each.Accuracy for each in one.Reliability] for one in measured])
    sure = np.array([[each.Confidence for each in one.Reliability] for one in measured])
    total = counts.sum(axis=0)
    there = total > 0
    accuracy = (right * counts).sum(axis=0)[there] / total[there]
    confidence = (sure * counts).sum(axis=0)[there] / total[there]
    middles = (np.arange(BINS)[there] + 0.5) / BINS
    axes.bar(middles, accuracy, width=0.9 / BINS, color=_COLOURS[4], label="right")
    axes.plot(
        confidence, accuracy, "o", markersize=3, color=_COLOURS[0], label="at mean confidence"
    )
    axes.plot((0, 1), (0, 1), "--", color=_GREY, linewidth=1)
    for middle, height, count in zip(middles, accuracy, total[there], strict=True):
        axes.text(middle, height + 0.025, str(count), ha="center", fontsize=_FONT - 2.5)
    axes.set_xlabel("confidence", fontsize=_FONT)
    axes.set_ylabel("share that is right", fontsize=_FONT)
    axes.set_title("reliability (number: images)", fontsize=_FONT + 1)
    _unit(axes)


def _curves(axes: Axes, measured: Sequence[Figures]) -> None:
    for number, name in enumerate(measured[0].Classes):
        known = [one.Classes[name] for one in measured if one.Classes[name].ROC]
        areas = [one.ROCAUC for one in known if one.ROCAUC is not None]
        for position, one in enumerate(known):
            words = f"{name.replace('_', ' ')} {sum(areas) / len(areas):.3f}"
            axes.plot(
                *zip(*one.ROC, strict=True),
                color=_COLOURS[number % len(_COLOURS)],
                linewidth=1.3,
                alpha=1 if len(known) == 1 else 0.6,
                label=words if position == 0 else None,
            )
    axes.plot((0, 1), (0, 1), "--", color=_GREY, linewidth=1)
    axes.set_xlabel("false positive rate", fontsize=_FONT)
    axes.set_ylabel("true positive rate", fontsize=_FONT)
    axes.set_title("receiver's curves, and areas below", fontsize=_FONT + 1)
    if axes.get_legend_handles_labels()[0]:
        legend = axes.legend(fontsize=_FONT - 1, frameon=False, loc="lower right")
        for line in legend.get_lines():
            line.set_alpha(1)
    _unit(axes)


def _unit(axes: Axes) -> None:
    axes.set_xlim(-0.02, 1.02)
    axes.set_ylim(-0.02, 1.09)
    _plain(axes)


def _plain(axes: Axes) -> None:
    axes.tick_params(labelsize=_FONT - 1)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(color="#dddddd", linewidth=0.5)
    axes.set_axisbelow(True)


def _png(canvas: Canvas) -> bytes:
    kept = io.BytesIO()
    # Without the date and the library's version: the same figures give the same bytes.
    canvas.savefig(kept, format="png", metadata={"Software": None})
    small = io.BytesIO()
    # A third of the size, and nobody sees it: there are few colours in a plot.
    Image.open(kept).convert("RGB").quantize(_PALETTE).save(small, "PNG", optimize=True)
    return small.getvalue()
