"""Text in bits that are not the pixels' own is gone after a look, in every transfer syntax."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from preread.deidentify.pixels.boxes import Box
from preread.deidentify.pixels.cleaning import PixelCleaner, PixelOptions
from preread.deidentify.pixels.detection import TextDetector
from preread.deidentify.pixels.picture import Picture
from preread.deidentify.pixels.policy import Look
from preread.imaging import open_image
from tests.unit.deidentify.pixels.planting import file_of, plant, speckle

SYNTAXES = (
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    RLELossless,
    JPEGLSLossless,
    JPEG2000Lossless,
)


class Blind:
    """Finds nothing."""

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        return []


def planted(kind: str, stored: int) -> tuple[NDArray[Any], NDArray[Any]]:
    """Return a picture of so many bits, and its cells with text in the highest bit."""
    own = (speckle(70, 200).astype(np.int64) << stored >> 8).astype(kind)
    text = np.zeros(own.shape, np.uint8)
    plant(text, "QUILLFEATHER", (20, 10), size=20, value=255, smooth=False)
    above = (text > 0).astype(kind) << (own.dtype.itemsize * 8 - 1)
    return own, own | above


def file(cells: NDArray[Any], stored: int, syntax: UID, **more: Any) -> bytes:
    """Write cells with a codestream that has all of their bits."""
    width = cells.dtype.itemsize * 8
    options: dict[str, Any] = {
        "rows": cells.shape[0],
        "columns": cells.shape[1],
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": width,
        "bits_stored": width,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "encoding_plugin": "pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg",
    }
    return file_of(
        cells[None],
        syntax=syntax,
        bits=stored,
        encode=lambda frame: bytes(get_encoder(syntax).encode(frame, **options)),
        **more,
    )


def all_bits(data: bytes) -> NDArray[Any]:
    """Return the cells as a program shows them that does not ask for BitsStored."""
    dataset = dcmread(BytesIO(data))
    dataset.BitsStored = dataset.BitsAllocated
    dataset.HighBit = dataset.BitsAllocated - 1
    buffer = BytesIO()
    dataset.save_as(buffer)
    (decoded,) = Picture(buffer.getvalue(), 2**28).stored()
    return decoded.values


@pytest.mark.parametrize("syntax", SYNTAXES, ids=lambda uid: uid.name)
@pytest.mark.parametrize(("kind", "stored"), [("u1", 7), ("u2", 10), ("u2", 12)])
def test_they_are_cleared_and_never_read(syntax: UID, kind: str, stored: int) -> None:
    own, cells = planted(kind, stored)
    data = file(cells, stored, syntax)
    np.testing.assert_array_equal(all_bits(data), cells, "the text is there")
    (frame,) = open_image(data, max_bytes=2**28).frames
    np.testing.assert_array_equal(frame.pixels, own)
    cleaner = PixelCleaner(bytes(32), PixelOptions(), Blind())
    cleaned = cleaner.clean(data, Look.TEXT)
    np.testing.assert_array_equal(all_bits(cleaned.data), own)
    assert cleaned.TransferSyntaxUID == syntax
    assert cleaned.boxes == 0
    assert cleaner.clean(cleaned.data, Look.TEXT).data == cleaned.data


def test_below_the_pixels_bits_too() -> None:
    own, _ = planted("u2", 10)
    _, text = planted("u2", 10)
    cells = own << 6 | text >> 12
    data = file(cells, 10, ExplicitVRLittleEndian, HighBit=15)
    (frame,) = open_image(data, max_bytes=2**28).frames
    np.testing.assert_array_equal(frame.pixels, own)
    cleaned = PixelCleaner(bytes(32), PixelOptions(), Blind()).clean(data, Look.TEXT)
    np.testing.assert_array_equal(all_bits(cleaned.data), own << 6)


@pytest.mark.parametrize("bits", [8, 16])
@pytest.mark.parametrize("factor", [256, 257, 1])
def test_a_palette_of_words_is_one_of_words_whatever_it_says(
    detector: TextDetector, bits: int, factor: int
) -> None:
    picture = speckle(90, 300)
    word = plant(picture, "QUILLFEATHER", (20, 20), size=24, value=230)
    table = (np.arange(256) * factor).astype("<u2").tobytes()
    colours: dict[str, Any] = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [256, 0, bits]), ("Data", table))
    }
    data = file_of(picture[None], photometric="PALETTE COLOR", **colours)
    (frame,) = open_image(data, max_bytes=2**28).frames
    np.testing.assert_array_equal(frame.pixels[..., 0], picture.astype(int) * factor)
    cleaned = PixelCleaner(bytes(32), PixelOptions(), detector).clean(data, Look.TEXT)
    (after,) = Picture(cleaned.data, 2**28).stored()
    assert (after.values[word.place][word.ink] != picture[word.place][word.ink]).all()
