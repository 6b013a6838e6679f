"""Text in the bitmaps of overlay planes (PS3.3 C.9.2), blanked; what else is drawn stays."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.boxes import Box, covered
from preread.deidentify.pixels.searching import Detector, text_in

_GROUPS: Final = range(0x6000, 0x6100, 2)
_ROWS, _COLUMNS, _FRAMES, _DATA = 0x0010, 0x0011, 0x0015, 0x3000
_INK: Final = 255


def clean_overlays(dataset: Dataset, detector: Detector, *, little: bool, max_bytes: int) -> int:
    """Blank text in every overlay of a data set, in place.

    Parameters
    ----------
    dataset
        What has the overlays.
    detector
        Finds text.
    little
        Whether the data set was read from little endian.
    max_bytes
        The most that an overlay may take with a byte for each pixel.

    Returns
    -------
    int
        How many boxes were blanked.

    Raises
    ------
    DeidentificationError
        If an overlay cannot be read.
    """
    return sum(
        _clean(dataset, group, detector, little, max_bytes)
        for group in _GROUPS
        if (group, _DATA) in dataset
    )


def _clean(dataset: Dataset, group: int, detector: Detector, little: bool, most: int) -> int:
    element = dataset[group, _DATA]
    shape = tuple(_number(dataset, group, number) for number in (_FRAMES, _ROWS, _COLUMNS))
    size = int(np.prod(shape, dtype=np.int64))
    tag = group << 16 | _DATA
    if size > most:
        raise DeidentificationError(tag, f"the overlay has {size} pixels, more than {most}")
    value = element.value
    if not isinstance(value, bytes) or len(value) * 8 < size:
        raise DeidentificationError(tag, "shorter than its rows, columns and frames claim")
    # PS3.5 8.1.2: in big endian the bytes of OW lie in words that are turned round.
    in_words = not little and element.VR != "OB"
    bits = np.unpackbits(_turned(np.frombuffer(value, np.uint8), in_words), bitorder="little")
    planes = bits[:size].reshape(shape)
    boxes = 0
    for plane, found in _found(planes, detector):
        plane[covered(found, *shape[1:])] = 0
        boxes += len(found)
    if boxes:
        element.value = _turned(np.packbits(bits, bitorder="little"), in_words).tobytes()
    return boxes


def _found(
    planes: NDArray[np.uint8], detector: Detector
) -> Iterator[tuple[NDArray[np.uint8], list[Box]]]:
    for plane in planes:
        if plane.any():
            yield plane, text_in(detector, plane * np.uint8(_INK))


def _turned(value: NDArray[np.uint8], in_words: bool) -> NDArray[np.uint8]:
    if not in_words or len(value) % 2:
        return value
    return value.view(np.uint16).byteswap().view(np.uint8)


def _number(dataset: Dataset, group: int, number: int) -> int:
    try:
        value: Any = dataset[group, number].value if (group, number) in dataset else None
        found = 1 if value is None and number == _FRAMES else int(value)
    except Exception:  # noqa: BLE001 - pydicom raises whatever the bytes provoke
        found = 0
    if found < 1:
        raise DeidentificationError(group << 16 | number, "expected a number from 1")
    return found
