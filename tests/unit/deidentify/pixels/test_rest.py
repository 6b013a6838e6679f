"""With Clean Pixel Data nothing stays behind the pixels that decoding alone tells from them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import UID, ExplicitVRLittleEndian, JPEGLSLossless, RLELossless

from preread.deidentify import DeidentificationError, Deidentifier, Secret
from preread.deidentify.options import DeidentifyOptions, Option
from preread.deidentify.pixels.complete import CompleteDeidentifier
from preread.deidentify.pixels.policy import Look
from preread.elements import read_header
from tests.unit.deidentify.pixels.planting import file_of
from tests.unit.deidentify.pixels.test_cleaning import Blind, cleaned, grey, values_of

CANARY = b"CANARYZQX^JANE 1970 "
DEFLATED = UID("1.2.840.10008.1.2.8.1")
OPTIONS = DeidentifyOptions(options=frozenset((Option.CLEAN_PIXEL_DATA,)))
AXIAL: dict[str, Any] = {
    "modality": "CT",
    "SOPClassUID": "1.2.840.10008.5.1.4.1.1.2",
    "ImageType": ["ORIGINAL", "PRIMARY", "AXIAL"],
    "BurnedInAnnotation": None,
}


def with_frames(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """Change each frame of an encapsulated file."""
    dataset = dcmread(BytesIO(data))
    count = int(dataset.get("NumberOfFrames", 1))
    frames = [change(frame) for frame in generate_frames(dataset.PixelData, number_of_frames=count)]
    dataset.PixelData = encapsulate(frames)
    dataset["PixelData"].is_undefined_length = True
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


def behind(frame: bytes) -> bytes:
    return frame + CANARY


def offsets_of(frame: bytes) -> list[int]:
    return list(struct.unpack_from("<16L", frame))


def between(frame: bytes) -> bytes:
    """Put bytes behind the first segment."""
    count, *offsets = offsets_of(frame)
    if count == 1:
        return behind(frame)
    at = offsets[1]
    moved = [
        offset + len(CANARY) if 1 <= index < count else offset
        for index, offset in enumerate(offsets)
    ]
    return struct.pack("<16L", count, *moved) + frame[64:at] + CANARY + frame[at:]


def in_the_header(frame: bytes) -> bytes:
    """Put bytes where there are offsets of no segments."""
    return frame[:44] + CANARY + frame[64:]


def one_more_run(frame: bytes) -> bytes:
    return frame.rstrip(b"\0") + bytes([len(CANARY) - 1]) + CANARY


WAYS = {way.__name__: way for way in (behind, between, in_the_header, one_more_run)}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(("kind", "frames"), [("u1", 1), ("u2", 3)])
def test_rle_has_nothing_behind_its_segments(way: str, kind: str, frames: int) -> None:
    sound = file_of(grey(kind, frames), syntax=RLELossless)
    planted = with_frames(sound, WAYS[way])
    assert CANARY in planted
    result = cleaned(planted, Look.REST, Blind())
    assert CANARY not in result.data
    assert result.TransferSyntaxUID == RLELossless
    np.testing.assert_array_equal(values_of(result.data), values_of(sound))
    # What is sound keeps its bytes.
    kept = read_header(cleaned(sound, Look.REST, Blind()).data)
    assert kept.raw(0x7FE00010) == read_header(sound).raw(0x7FE00010)


@pytest.mark.parametrize("colour", [False, True])
def test_deflated_frames_have_nothing_behind_them(colour: bool) -> None:
    values = grey("u1", 2)
    if colour:
        values = np.stack([values] * 3, axis=-1)
    plain = dcmread(BytesIO(file_of(values)))
    size = len(plain.PixelData) // 2

    def written(*frames: bytes) -> bytes:
        known = UID("1.2.840.10008.1.2.1.98")  # one that pydicom writes
        plain.file_meta.TransferSyntaxUID = known
        plain.PixelData = encapsulate(list(frames))
        plain["PixelData"].VR = "OB"
        plain["PixelData"].is_undefined_length = True
        file = BytesIO()
        plain.save_as(file, implicit_vr=False, little_endian=True)
        return file.getvalue().replace(known.encode(), DEFLATED.encode() + b"\0")

    def deflate(frame: bytes) -> bytes:
        engine = zlib.compressobj(wbits=-15)
        return engine.compress(frame) + engine.flush()

    pixels = plain.PixelData
    raw = [pixels[:size], pixels[size : 2 * size]]
    for frames in (
        (deflate(raw[0]), deflate(raw[1])),
        (deflate(raw[0]) + CANARY, deflate(raw[1])),
        (deflate(raw[0]), deflate(raw[1] + CANARY * 50)),
    ):
        result = cleaned(written(*frames), Look.REST, Blind())
        np.testing.assert_array_equal(values_of(result.data), values)
        assert CANARY not in result.data
        assert result.TransferSyntaxUID == JPEGLSLossless


def test_slices_are_looked_behind_and_not_searched(secret: Secret) -> None:
    """Of slices the rules want no search for text, and yet nothing may lie behind their pixels."""
    sound = file_of(grey("u2"), syntax=RLELossless, **AXIAL)
    done = Deidentifier(secret, OPTIONS).deidentify(sound)
    assert done.look is Look.REST
    assert Option.CLEAN_PIXEL_DATA not in done.options
    whole = CompleteDeidentifier(secret, OPTIONS).deidentify(with_frames(sound, behind))
    assert whole.look is Look.NONE
    assert CANARY not in whole.data
    made = dcmread(BytesIO(whole.data))
    codes = [item.CodeValue for item in made.DeidentificationMethodCodeSequence]
    assert codes.count("113101") == 1
    assert not made.BurnedInAnnotation
    for options in (DeidentifyOptions(), OPTIONS):
        native = file_of(grey("u2"), syntax=ExplicitVRLittleEndian, **AXIAL)
        assert Deidentifier(secret, options).deidentify(native).look is Look.NONE
    assert Deidentifier(secret, DeidentifyOptions()).deidentify(sound).look is Look.NONE


@pytest.mark.parametrize(
    "syntax",
    [
        "1.2.840.10008.1.2.4.110",
        "1.2.840.10008.1.2.4.112",
        "1.2.840.10008.1.2.4.102",
        "1.2.840.10008.1.2.4.100",
        "1.2.3.4.5",
    ],
)
def test_what_cannot_be_decoded_is_not_passed_on(secret: Secret, syntax: str) -> None:
    dataset = dcmread(BytesIO(file_of(grey("u1"), syntax=RLELossless, **AXIAL)))
    known = UID("1.2.840.10008.1.2.4.102")
    dataset.file_meta.TransferSyntaxUID = known
    dataset.PixelData = encapsulate([b"\xff\x0a" + CANARY * 20])
    dataset["PixelData"].VR = "OB"
    file = BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    # Not every syntax is one that pydicom writes.
    data = file.getvalue().replace(known.encode(), syntax.encode().ljust(len(known), b"\0"))
    assert Deidentifier(secret, OPTIONS).deidentify(data).look is Look.REST
    with pytest.raises(DeidentificationError):
        CompleteDeidentifier(secret, OPTIONS).deidentify(data)


def test_a_codestream_of_jpeg_xl_is_one_in_its_transfer_syntax_alone(secret: Secret) -> None:
    """It may end anywhere, so that another syntax would be a way around the walk over frames."""
    dataset = dcmread(BytesIO(file_of(grey("u1"), syntax=RLELossless, **AXIAL)))
    dataset.file_meta.TransferSyntaxUID = UID("1.2.840.10008.1.2.4.50")
    dataset.PixelData = encapsulate([b"\xff\x0a" + CANARY * 20])
    file = BytesIO()
    dataset.save_as(file, implicit_vr=False, little_endian=True)
    with pytest.raises(DeidentificationError, match="JPEG XL in another transfer syntax"):
        Deidentifier(secret).deidentify(file.getvalue())


@pytest.mark.parametrize("keyword", ["Rows", "Columns", "SamplesPerPixel", "BitsAllocated"])
def test_frames_of_no_known_size_are_not_passed_on(secret: Secret, keyword: str) -> None:
    dataset = dcmread(BytesIO(file_of(grey("u1"), **AXIAL)))
    delattr(dataset, keyword)
    file = BytesIO()
    dataset.save_as(file)
    with pytest.raises(DeidentificationError):
        CompleteDeidentifier(secret, OPTIONS).deidentify(file.getvalue())


def test_pixel_data_of_two_kinds_are_not_passed_on(secret: Secret) -> None:
    dataset = dcmread(BytesIO(file_of(grey("u1"), **AXIAL)))
    dataset.FloatPixelData = bytes(4 * dataset.Rows * dataset.Columns)
    file = BytesIO()
    dataset.save_as(file)
    with pytest.raises(DeidentificationError, match="two kinds"):
        CompleteDeidentifier(secret, OPTIONS).deidentify(file.getvalue())
