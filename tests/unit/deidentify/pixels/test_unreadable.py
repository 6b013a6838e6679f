"""Text that tesseract reads before, and not after; the rest of the picture as it was."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from preread.deidentify.pixels.cleaning import PixelCleaner
from preread.deidentify.pixels.picture import Picture
from preread.deidentify.pixels.policy import Look
from tests.unit.deidentify.pixels.planting import (
    Word,
    file_of,
    jpeg,
    looks_of_tesseract,
    plant,
    read_by_tesseract,
    speckle,
)

NAMES = ("JOHANSSON", "KOWALSKI", "HOSPITAL", "4711882")


def frames_of(data: bytes) -> NDArray[Any]:
    return np.stack([decoded.values for decoded in Picture(data, 2**30).stored()])


def looks(data: bytes) -> list[NDArray[Any]]:
    """The frames as they look, in grey."""
    picture = Picture(data, 2**30)
    shown = [picture.shown(index) for index in range(picture.layout.NumberOfFrames)]
    return [frame.max(axis=2) if frame.ndim == 3 else frame for frame in shown]


def words_in(picture: NDArray[Any], *, size: int = 18, opacity: float = 1.0) -> list[Word]:
    """Write four words where the picture is even enough to read them, in black or white."""
    rows, columns = picture.shape[:2]
    width, height = columns // 2, max(2 * size, rows // 6)
    grey = picture.max(axis=2) if picture.ndim == 3 else picture
    planted: list[Word] = []
    low, high = float(grey.min()), float(grey.max())
    cells = []
    for y in range(4, rows - 2 * size, height):
        for x in (6, columns - width):
            cell = grey[y : y + size, x : x + width].astype(np.float64)
            value = high if high - cell.mean() > cell.mean() - low else low
            cells.append((cell.std() - abs(value - cell.mean()), y, x, value))
    for name, (_, y, x, value) in zip(NAMES, sorted(cells), strict=False):
        planted.append(
            plant(picture, name, (y, x), size=size, value=value, opacity=opacity, font=len(planted))
        )
    return planted


def read_before(data: bytes, words: list[Word]) -> set[str]:
    """Give which of the words tesseract reads; it looks no more once it has read all."""
    read: set[str] = set()
    for frame in looks(data):
        for text in looks_of_tesseract(frame):
            read |= {word.text for word in words if word.text in text.upper()}
            if len(read) == len({word.text for word in words}):
                return read
    return read


def judge(
    data: bytes,
    words: list[Word],
    cleaner: PixelCleaner,
    *,
    least: int = 3,
    only_in: dict[str, int] | None = None,
) -> None:
    """Hold a file against itself after cleaning.

    `only_in` tells words that one frame alone has.
    """
    read = read_before(data, words)
    assert len(read) >= least, f"tesseract reads {read} of what is planted: it judges nothing"
    result = cleaner.clean(data, Look.TEXT)
    after = " ".join(read_by_tesseract(frame).upper() for frame in looks(result.data))
    assert [word.text for word in words if word.text in after] == []
    old, new = frames_of(data), frames_of(result.data)
    text = np.zeros(old.shape[1:3], bool)
    for word in words:
        rows, columns = word.place
        margin = 16  # around the letters of a line
        text[
            max(0, rows.start - margin) : rows.stop + margin,
            max(0, columns.start - margin) : columns.stop + margin,
        ] = True
        at = (only_in or {}).get(word.text)
        for frame in new if at is None else new[at : at + 1]:
            ink = frame[word.place][word.ink]
            assert len(np.unique(ink.reshape(len(ink), -1), axis=0)) <= 2, word.text
    same = (old == new).reshape(*old.shape[:3], -1).all(axis=3)
    assert same[:, ~text].mean() >= 0.99


@pytest.mark.parametrize(
    ("syntax", "dtype", "colour"),
    [
        (ExplicitVRLittleEndian, "u1", False),
        (ExplicitVRLittleEndian, "u1", True),
        (ExplicitVRBigEndian, "u2", False),
        (JPEGBaseline8Bit, "u1", False),
        (JPEGBaseline8Bit, "u1", True),
        (JPEG2000Lossless, "u2", False),
        (JPEG2000Lossless, "u1", True),
        (JPEGLSLossless, "u2", False),
        (RLELossless, "u1", True),
    ],
)
def test_ultrasound(cleaner: PixelCleaner, syntax: UID, dtype: str, colour: bool) -> None:
    picture = speckle(360, 480, colour=colour)
    words = words_in(picture)
    values = picture.astype(dtype) * (16 if dtype == "u2" else 1)
    encode = jpeg if syntax == JPEGBaseline8Bit else None
    photometric = "YBR_FULL_422" if encode and colour else ""
    data = file_of(
        values[None],
        syntax=syntax,
        encode=encode,
        photometric=photometric,
        bits=4 * 2**values.itemsize if dtype == "u1" else 12,
    )
    judge(data, words, cleaner)


def test_semi_transparent_text(cleaner: PixelCleaner) -> None:
    picture = speckle(360, 480)
    words = words_in(picture, size=22, opacity=0.6)
    judge(file_of(picture[None]), words, cleaner)


def test_a_cine(cleaner: PixelCleaner) -> None:
    frames = np.stack([speckle(240, 320, seed=seed) for seed in range(6)])
    words = [plant(frames[index], NAMES[0], (6, 8), size=16) for index in range(6)][:1]
    flash = plant(frames[4], NAMES[1], (210, 190), size=16)  # in one frame only
    data = file_of(frames, syntax=RLELossless)
    judge(data, [*words, flash], cleaner, least=2, only_in={flash.text: 4})


@pytest.mark.shared_data
@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "modality"),
    [
        ("lidc-idri-0001/060", "OT"),
        ("variety/CR-robyoung_WG04_dcmqi-1-16d3e4", "CR"),
        ("variety/US-dicomParser-1-380ab7", "US"),
    ],
)
def test_real_pictures(cleaner: PixelCleaner, shared_dicom: Path, name: str, modality: str) -> None:
    source = Picture((shared_dicom / f"{name}.dcm").read_bytes(), 2**30)
    values = next(source.stored()).values
    words = words_in(values, size=max(16, values.shape[0] // 40))
    layout = source.layout
    data = file_of(values[None], modality=modality, bits=layout.BitsStored)
    judge(data, words, cleaner, least=2)
