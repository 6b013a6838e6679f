import tracemalloc
import zlib
from contextlib import suppress
from io import BytesIO
from struct import pack
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image as PillowImage

from preread.imaging import Units, UnreadableImage, open_picture
from preread.imaging.picture import read_picture

RANDOM = np.random.default_rng(4)
LARGEST = 2**24


def picture(array: Any, kind: str = "PNG", mode: str | None = None, **how: Any) -> bytes:
    made = PillowImage.fromarray(array)
    made = made if mode is None else made.convert(mode)
    file = BytesIO()
    made.save(file, kind, **how)
    return file.getvalue()


def pixels(data: bytes) -> Any:
    return read_picture(data, max_bytes=LARGEST).pixels


GREY = RANDOM.integers(0, 256, (5, 7), dtype=np.uint8)
COLOUR = RANDOM.integers(0, 256, (5, 7, 3), dtype=np.uint8)


def test_grey_of_8_and_16_bits() -> None:
    np.testing.assert_array_equal(pixels(picture(GREY)), GREY)
    wide = RANDOM.integers(0, 65536, (5, 7), dtype=np.uint16)
    np.testing.assert_array_equal(pixels(picture(wide)), wide)
    frame = open_picture(picture(wide), max_bytes=LARGEST)
    np.testing.assert_allclose(frame.display(), wide / 65535, atol=1e-6)
    assert frame.units is Units.DISPLAY


def test_one_bit_is_black_and_white() -> None:
    made = pixels(picture(GREY, mode="1"))
    assert set(np.unique(made)) == {0, 255}


def test_colour_and_palettes() -> None:
    np.testing.assert_array_equal(pixels(picture(COLOUR)), COLOUR)
    indexed = PillowImage.fromarray(COLOUR).quantize(256)
    np.testing.assert_array_equal(pixels(picture(COLOUR, mode="P")).shape, COLOUR.shape)
    file = BytesIO()
    indexed.save(file, "PNG")
    np.testing.assert_array_equal(pixels(file.getvalue()), np.asarray(indexed.convert("RGB")))


def test_what_is_transparent_is_black() -> None:
    clear = np.dstack([COLOUR, np.zeros((5, 7), np.uint8)])
    assert not pixels(picture(clear)).any()
    solid = np.dstack([COLOUR, np.full((5, 7), 255, np.uint8)])
    np.testing.assert_array_equal(pixels(picture(solid)), COLOUR)
    grey = np.dstack([GREY, np.full((5, 7), 255, np.uint8)])
    np.testing.assert_array_equal(pixels(picture(grey)), GREY)


@pytest.mark.parametrize("mode", ["L", "RGB", "CMYK"])
def test_jpeg(mode: str) -> None:
    smooth = np.tile(np.linspace(0, 255, 64).astype(np.uint8), (64, 1))
    made = read_picture(picture(smooth, "JPEG", mode=mode, quality=95), max_bytes=LARGEST)
    assert made.is_lossy
    assert made.pixels.ndim == (2 if mode == "L" else 3)
    grey = made.pixels if mode == "L" else made.pixels[..., 1]
    assert np.abs(grey.astype(int) - smooth).max() <= 6


@pytest.mark.parametrize(("orientation", "turn"), [(1, 0), (3, 2), (6, 3), (8, 1)])
def test_orientation_is_applied(orientation: int, turn: int) -> None:
    exif = PillowImage.Exif()
    exif[0x0112] = orientation
    made = pixels(picture(GREY, exif=exif))
    np.testing.assert_array_equal(made, np.rot90(GREY, turn))


def chunk(kind: bytes, body: bytes) -> bytes:
    return pack(">I", len(body)) + kind + body + pack(">I", zlib.crc32(kind + body))


@pytest.mark.parametrize("side", [5000, 100_000])
def test_a_bomb_is_not_decoded(side: int) -> None:
    squeeze = zlib.compress(bytes(2**22), 9)
    header = pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    data = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", squeeze)
    tracemalloc.start()
    try:
        with pytest.raises(UnreadableImage, match=r"claims more pixels|more than 16777216"):
            read_picture(data, max_bytes=LARGEST)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 2**20


@pytest.mark.parametrize("kind", ["PNG", "JPEG"])
def test_a_picture_that_is_cut_off(kind: str) -> None:
    whole = picture(RANDOM.integers(0, 256, (64, 64), dtype=np.uint8), kind)
    for kept in (0, 4, 20, len(whole) // 2):
        with pytest.raises(UnreadableImage):
            read_picture(whole[:kept], max_bytes=LARGEST)


@pytest.mark.parametrize("kind", ["GIF", "BMP", "TIFF", "WEBP", "PPM"])
def test_other_kinds_are_refused(kind: str) -> None:
    with pytest.raises(UnreadableImage, match="neither a PNG nor a JPEG"):
        read_picture(picture(COLOUR, kind), max_bytes=LARGEST)


@settings(deadline=None)
@given(st.data())
def test_any_damage_gives_a_picture_or_a_reason(data: st.DataObject) -> None:
    file = bytearray(picture(COLOUR, data.draw(st.sampled_from(["PNG", "JPEG"]))))
    for _ in range(data.draw(st.integers(1, 6))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    with suppress(UnreadableImage):
        open_picture(bytes(file), max_bytes=2**20)
