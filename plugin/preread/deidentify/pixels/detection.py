"""Finding text in a frame, offline: boxes around everything that looks like a line of it.

PP-OCR's detector (the DB network, see `detector_file`) runs on
OpenVINO. It was made for photographs, light letters on uneven ground among them, which tesseract
was not; that is left to judge the outcome. It takes outlines of bodies for text, which is why its
answers are sorted by size, and asked for at two scales and on a picture of thin strokes. What it
finds is held against planted words in ``tests/unit/deidentify/pixels/test_detection.py``.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy import ndimage

from preread.deidentify.pixels.boxes import Box
from preread.deidentify.pixels.detector_file import weights_file
from preread.deidentify.pixels.rendering import View, display_views, stroke_views
from preread.models.engine import cores
from preread.models.openvino_engine import import_openvino

_TILE: Final = 1536  # pixels of the network's input, along each side
_OVERLAP: Final = 128
_STEP: Final = 32  # the network's stride
_SMALL_PIXELS: Final = 1_600_000
"""Pictures up to this are also looked at twice as large; in larger ones devices write larger."""
_LARGE_SIDE: Final = 512
"""Pictures from this on are also looked at half as large: letters of 90 pixels and more."""

_THRESHOLD: Final = 0.3  # of a pixel's probability, as its makers use it
_SCORE: Final = 0.6  # of a line's mean probability
_STROKE_SCORE: Final = 0.75  # of the same where only thin strokes are shown: more looks alike
_LARGE_SCORE: Final = 0.9  # and of large letters, which are seen clearly or are none
_LOWEST: Final = 3  # pixels of the network's input
_HIGHEST: Final = 40
"""The most that a line's core is high in the network's input: outlines of organs are higher."""
_FULLEST: Final = 0.45  # the least that a line fills of its box
_LONGER: Final = 1.5
_GROWTH: Final = 0.8
"""The network marks the core of a line: what is cut off at each side, in the core's height."""
_MARGIN: Final = 2.0  # pixels of the picture


class TextDetector:
    """Finds text.

    Parameters
    ----------
    threads
        0 for all cores.

    Raises
    ------
    DetectorError
        If the weights are missing.
    """

    def __init__(self, threads: int = 0) -> None:
        core = import_openvino().Core()
        self._network = core.compile_model(
            str(weights_file(os.environ, sys.path)),
            "CPU",
            {
                "PERFORMANCE_HINT": "LATENCY",
                "INFERENCE_NUM_THREADS": threads or cores(),
                "INFERENCE_PRECISION_HINT": "f32",
            },
        )

    def boxes(self, values: NDArray[Any], *, again: bool = False) -> list[Box]:
        """Return where text is, with a margin around it.

        Parameters
        ----------
        values
            (H, W) of any number type, brightness rising or falling; or (H, W, 3) RGB.
        again
            Whether what was found at first has been smoothed over. Large letters are not looked
            for again: nothing hides them from the first look, and smooth patches look alike.
        """
        found: list[Box] = []
        for number, view in enumerate(display_views(values)):
            scales = _scales(view, again=again) if number == 0 else (1.0,)
            for scale in scales:
                found += self._at_scale(view, scale, _SCORE if scale >= 1 else _LARGE_SCORE)
        for view in stroke_views(values):
            found += self._at_scale(view, 1.0, _STROKE_SCORE)
        return sorted(set(found))

    def _at_scale(self, view: View, scale: float, score: float) -> list[Box]:
        rows, columns = view.shape[:2]
        tile, overlap = int(_TILE / scale), int(_OVERLAP / scale)
        found = []
        for top in _starts(rows, tile, overlap):
            for left in _starts(columns, tile, overlap):
                part = view[top : top + tile, left : left + tile]
                for x0, y0, x1, y1 in self._lines(part, scale, score):
                    box = Box.within(left + x0, top + y0, left + x1, top + y1, rows, columns)
                    if box is not None:
                        found.append(box)
        return found

    def _lines(
        self, part: View, scale: float, score: float
    ) -> Iterator[tuple[float, float, float, float]]:
        """Find lines of text in a tile: left, top, right, bottom in its pixels."""
        rows, columns = part.shape[:2]
        height, width = _rounded(rows * scale), _rounded(columns * scale)
        resized = (
            Image.fromarray(part).convert("RGB").resize((width, height), Image.Resampling.BICUBIC)
        )
        tensor = np.asarray(resized, np.float32)[:, :, ::-1].transpose(2, 0, 1) / 127.5 - 1
        probability = self._network(np.ascontiguousarray(tensor[None]))[0][0, 0]
        labels, _ = ndimage.label(probability > _THRESHOLD, np.ones((3, 3), bool))
        across, down = columns / width, rows / height
        for label, place in enumerate(ndimage.find_objects(labels), 1):
            own = labels[place] == label
            if not _is_line(own, float(probability[place][own].mean()), score, scale):
                continue
            y0, y1 = place[0].start * down, place[0].stop * down
            x0, x1 = place[1].start * across, place[1].stop * across
            grown = min(y1 - y0, x1 - x0) * _GROWTH + _MARGIN
            yield x0 - grown, y0 - grown, x1 + grown, y1 + grown


def _is_line(own: NDArray[np.bool_], mean: float, score: float, scale: float) -> bool:
    short, long = sorted(own.shape)
    return (
        mean >= score
        and _LOWEST <= short <= _HIGHEST
        and float(own.mean()) >= _FULLEST
        # Blots of half the pixels are no large words, which are wider than high.
        and (scale >= 1 or long >= _LONGER * short)
    )


def _scales(view: View, *, again: bool) -> tuple[float, ...]:
    rows, columns = view.shape[:2]
    scales = [1.0]
    if rows * columns <= _SMALL_PIXELS:
        scales.append(2.0)
    if max(rows, columns) >= _LARGE_SIDE and not again:
        scales.append(0.5)
    return tuple(scales)


def _starts(side: int, tile: int, overlap: int) -> range:
    return range(0, max(1, side - overlap), tile - overlap)


def _rounded(side: float) -> int:
    return max(1, round(side / _STEP)) * _STEP
