"""Every frame that is there is read, or none: NumberOfFrames may be missing or wrong."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.encaps import encapsulate
from pydicom.pixels.encoders.base import get_encoder
from pydicom.uid import (
    UID,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGLSLossless,
    RLELossless,
)

from preread.imaging import UnreadableImage, open_image
from tests.unit.imaging.conftest import LARGEST, Build, only_frame

SIX = (np.arange(6 * 32 * 32) // 32).astype(np.uint8).reshape(6, 32, 32)
WRONG = (None, 0, "", 2)


def codestreams(syntax: UID) -> list[bytes]:
    options: dict[str, Any] = {
        "rows": 32,
        "columns": 32,
        "samples_per_pixel": 1,
        "number_of_frames": 1,
        "bits_allocated": 8,
        "bits_stored": 8,
        "pixel_representation": 0,
        "photometric_interpretation": "MONOCHROME2",
        "encoding_plugin": "pyjpegls" if syntax == JPEGLSLossless else "pylibjpeg",
    }
    return [bytes(get_encoder(syntax).encode(frame, **options)) for frame in SIX]


def refusal(data: bytes) -> str:
    with pytest.raises(UnreadableImage) as caught:
        list(open_image(data, max_bytes=LARGEST).frames)
    return str(caught.value)


@pytest.mark.parametrize("number", WRONG)
@pytest.mark.parametrize("kind", [np.uint8, np.uint16])
def test_native_frames_beyond_the_number_are_not_passed_over(
    build: Build, number: Any, kind: type
) -> None:
    reason = refusal(build(SIX.astype(kind), NumberOfFrames=number))
    assert "NumberOfFrames (0028,0008)" in reason
    assert "6 frames" in reason


@pytest.mark.parametrize("number", WRONG)
@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless, RLELossless])
def test_compressed_frames_beyond_the_number_are_not_passed_over(
    build: Build, number: Any, syntax: UID
) -> None:
    frames = codestreams(syntax)
    data = build(SIX, syntax, NumberOfFrames=number, PixelData=encapsulate(frames))
    assert "NumberOfFrames (0028,0008)" in refusal(data)
    right = build(SIX, syntax, PixelData=encapsulate(frames))
    read = [frame.pixels for frame in open_image(right, max_bytes=LARGEST).frames]
    np.testing.assert_array_equal(read, SIX)


@pytest.mark.parametrize("syntax", [JPEGLSLossless, JPEG2000Lossless])
def test_frames_that_share_a_fragment_are_not_passed_over(build: Build, syntax: UID) -> None:
    shared = b"".join(codestreams(syntax))
    data = build(SIX, syntax, NumberOfFrames=None, PixelData=encapsulate([shared]))
    assert "NumberOfFrames (0028,0008)" in refusal(data)


@pytest.mark.parametrize("number", [None, 0, "", 1])
@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless, RLELossless])
def test_one_frame_is_read_whatever_the_number_says(build: Build, number: Any, syntax: UID) -> None:
    values: dict[str, Any] = {}
    if syntax != ExplicitVRLittleEndian:
        values["PixelData"] = encapsulate(codestreams(syntax)[:1])
    data = build(SIX[:1], syntax, NumberOfFrames=number, **values)
    np.testing.assert_array_equal(only_frame(data).pixels, SIX[0])


def one_bit(build: Build, bits: NDArray[np.uint8], pixels: bytes, **values: Any) -> bytes:
    pixels += b"\0" * (len(pixels) % 2)
    described: dict[str, Any] = {"BitsAllocated": 1, "BitsStored": 1, "HighBit": 0}
    return build(bits, Modality="OT", PixelData=pixels, **described | values)


@pytest.mark.parametrize("shape", [(3, 239, 41), (7, 5, 5), (4, 3, 1), (5, 1, 1), (9, 8, 8)])
def test_single_bits_are_packed_over_frames(build: Build, shape: tuple[int, int, int]) -> None:
    bits = np.random.default_rng(3).integers(0, 2, shape, dtype=np.uint8)
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    image = open_image(one_bit(build, bits, packed), max_bytes=LARGEST)
    np.testing.assert_array_equal([frame.pixels for frame in image.frames], bits)
    np.testing.assert_array_equal(image.frame(shape[0] - 1).pixels, bits[-1])
    swapped = np.frombuffer(packed + b"\0" * (len(packed) % 2), "<u2").byteswap().tobytes()
    big = dcmread(BytesIO(one_bit(build, bits, swapped, syntax=ExplicitVRBigEndian)))
    big["PixelData"].VR = "OW"
    read = [frame.pixels for frame in open_image(build.written(big), max_bytes=LARGEST).frames]
    np.testing.assert_array_equal(read, bits)


def test_single_bits_whose_frames_begin_with_a_byte(build: Build) -> None:
    bits = np.random.default_rng(4).integers(0, 2, (9, 5, 5), dtype=np.uint8)
    own_bytes = np.packbits(bits.reshape(9, 25), axis=1, bitorder="little").tobytes()
    image = open_image(one_bit(build, bits, own_bytes), max_bytes=LARGEST)
    np.testing.assert_array_equal([frame.pixels for frame in image.frames], bits)
    assert "NumberOfFrames" in refusal(one_bit(build, bits, own_bytes + bytes(4)))
    assert "truncated" in refusal(one_bit(build, bits, own_bytes[:20]))
