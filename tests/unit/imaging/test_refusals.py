"""Everything that cannot be shown gives one kind of error, before anything large is made."""

import tracemalloc
import zlib
from collections.abc import Callable
from io import BytesIO
from struct import pack
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate, generate_frames
from pydicom.uid import (
    JPEG2000,
    UID,
    DeflatedExplicitVRLittleEndian,
    EncapsulatedPDFStorage,
    ExplicitVRLittleEndian,
    GrayscaleSoftcopyPresentationStateStorage,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    KeyObjectSelectionDocumentStorage,
    RLELossless,
    SegmentationStorage,
)

from preread.imaging import UnreadableImage, open_image
from preread.imaging.codestream import jpeg2000_claim, jpeg_claim, without_wrapping
from tests.unit.imaging.conftest import LARGEST, Build, only_frame, packaged

Item = Callable[..., Dataset]
SMALL: NDArray[Any] = np.zeros((4, 4), dtype=np.uint16)


def refusal(data: bytes, max_bytes: int = LARGEST) -> str:
    with pytest.raises(UnreadableImage) as caught:
        list(open_image(data, max_bytes=max_bytes).frames)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def encoded(name: str) -> bytes:
    dataset = pydicom.dcmread(BytesIO(packaged(name)))
    return next(generate_frames(dataset.PixelData, number_of_frames=1))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"Rows": 0}, "Rows (0028,0010) is 0; expected 1 to 65535"),
        ({"Columns": 0}, "Columns (0028,0011) is 0"),
        ({"Rows": None}, "Rows (0028,0010) is missing"),
        ({"NumberOfFrames": -3}, "NumberOfFrames (0028,0008) is -3"),
        ({"SamplesPerPixel": 3}, "SamplesPerPixel (0028,0002) is 3"),
        ({"PhotometricInterpretation": "HSV"}, "PhotometricInterpretation (0028,0004) is none"),
        ({"PhotometricInterpretation": None}, "PhotometricInterpretation (0028,0004) is missing"),
        ({"BitsAllocated": 24}, "BitsAllocated (0028,0100) is 24"),
        ({"BitsStored": 17}, "BitsStored (0028,0101) is 17"),
        ({"HighBit": 16}, "HighBit (0028,0102) is 16"),
        ({"PixelRepresentation": 2}, "PixelRepresentation (0028,0103) is 2"),
        ({"RescaleSlope": 0, "RescaleIntercept": 0}, "RescaleSlope (0028,1053) is 0"),
        ({"PixelData": None}, "CT Image Storage, without pixel data"),
        ({"PixelData": b""}, "PixelData is empty"),
        ({"PixelData": b"\0" * 30}, "holds 30 bytes"),
        ({"NumberOfFrames": 2}, "claim 64: the file is truncated"),
    ],
)
def test_what_the_header_says_wrong(build: Build, values: dict[str, Any], reason: str) -> None:
    assert reason in refusal(build(SMALL, **values))


@pytest.mark.parametrize(
    ("keyword", "vr", "value"),
    [
        ("Rows", "LO", "four"),
        ("Rows", "DS", "4.5"),
        ("Rows", "US", [4, 4]),
        ("BitsAllocated", "OB", b"\x10\x00"),
        ("RescaleSlope", "LO", "steep"),
        ("Columns", "OB", b"\x04\x00"),
        ("NumberOfFrames", "SQ", []),
    ],
)
def test_wrong_value_representations(build: Build, keyword: str, vr: str, value: Any) -> None:
    dataset = pydicom.dcmread(BytesIO(build(SMALL, RescaleIntercept=0)))
    dataset.add_new(keyword, vr, value)
    data = build.written(dataset)
    try:
        frame = only_frame(data)
    except UnreadableImage as error:
        assert keyword in str(error)  # noqa: PT017 - either outcome is right, anything else is not
    else:
        assert frame.pixels.shape == (4, 4)


@pytest.mark.parametrize("frames", [1, 3000])
def test_a_claim_of_gigabytes_allocates_nothing(build: Build, frames: int) -> None:
    side = 30000 if frames == 1 else 1000
    data = build(SMALL, Rows=side, Columns=side, NumberOfFrames=frames)
    tracemalloc.start()
    try:
        assert "MaxImageMegabytes" in refusal(data)
        within_bound = refusal(data, max_bytes=2**33)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "holds 32 bytes" in within_bound
    assert peak < 2**21


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("reportsi.dcm", "Basic Text SR Storage"),
        ("rtstruct.dcm", "RT Structure Set Storage"),
        ("rtplan.dcm", "RT Plan Storage"),
        ("waveform_ecg.dcm", "12-lead ECG Waveform Storage"),
        ("liver_1frame.dcm", "segmentation"),
    ],
)
def test_other_objects_are_named(name: str, kind: str) -> None:
    assert kind in refusal(packaged(name))


@pytest.mark.parametrize(
    "sop_class",
    [
        EncapsulatedPDFStorage,
        GrayscaleSoftcopyPresentationStateStorage,
        KeyObjectSelectionDocumentStorage,
        SegmentationStorage,
    ],
)
def test_other_classes_are_named(build: Build, sop_class: UID) -> None:
    reason = refusal(build(None, SOPClassUID=sop_class, Modality="DOC"))
    assert sop_class.name in reason or "segmentation" in reason


def test_no_value_of_the_file_is_repeated(build: Build) -> None:
    planted = "DOE JANE"
    dataset = pydicom.dcmread(BytesIO(build(SMALL)))
    for keyword in ("PhotometricInterpretation", "Rows", "NumberOfFrames", "SOPClassUID"):
        made = pydicom.dcmread(BytesIO(build.written(dataset)))
        made.add_new(keyword, "LO", planted)
        if keyword == "SOPClassUID":
            del made.PixelData
        assert planted not in refusal(build.written(made))


@pytest.mark.parametrize(
    ("syntax", "reason"),
    [
        ("1.2.3.4.5", "that the file names (unknown)"),
        ("1.2.840.10008.1.2.4.100", "a video (MPEG2"),
        ("1.2.840.10008.1.2.4.57.1", "unknown"),
        ("1.2.840.10008.1.2.4.55", "JPEG Full Progression"),
        (RLELossless, "not encapsulated"),
    ],
)
def test_transfer_syntaxes_that_cannot_be(build: Build, syntax: str, reason: str) -> None:
    assert reason in refusal(renamed(build(SMALL), syntax))


def renamed(data: bytes, syntax: str) -> bytes:
    """Name another transfer syntax for the same bytes."""
    old = str(ExplicitVRLittleEndian).encode() + b"\0"
    start = data.index(old) - 8
    value = syntax.encode() + b"\0" * (len(syntax) % 2)
    element = data[start : start + 6] + pack("<H", len(value)) + value
    return data[:start] + element + data[start + 8 + len(old) :]


def test_fragments_under_an_uncompressed_syntax(build: Build) -> None:
    frame = encoded("MR_small_jp2klossless.dcm")
    data = build(np.zeros((64, 64), np.int16), JPEG2000Lossless, PixelData=encapsulate([frame]))
    changed = data.replace(
        str(JPEG2000Lossless).encode(), str(ExplicitVRLittleEndian).encode() + b"\0" * 3
    )
    assert "TransferSyntaxUID (0002,0010) is wrong" in refusal(changed)


def jpeg2000_file(build: Build, frame: bytes, frames: int = 1, **values: Any) -> bytes:
    pixels = np.zeros((frames, 64, 64), np.int16)
    return build(pixels, JPEG2000Lossless, Modality="MR", PixelData=encapsulate([frame]), **values)


def test_a_codestream_that_claims_more_than_the_header(build: Build) -> None:
    frame = bytearray(encoded("MR_small_jp2klossless.dcm"))
    assert jpeg2000_claim(bytes(frame)) == (64, 64, 1, 16)
    frame[8:12] = pack(">I", 60000)
    frame[12:16] = pack(">I", 60000)
    assert "frame 1 is 60000 x 60000 pixels" in refusal(jpeg2000_file(build, bytes(frame)))


def test_a_jpeg_that_claims_more_than_the_header(build: Build) -> None:
    frame = encoded("SC_rgb_jpeg_dcmtk.dcm")
    claim = jpeg_claim(frame)
    assert claim == (100, 100, 3, 8)
    pixels = np.zeros((100, 100), np.uint8)
    data = build(pixels, JPEGBaseline8Bit, PixelData=encapsulate([frame]))
    assert "frame 1 has 3 samples" in refusal(data)


def test_a_compressed_frame_that_is_cut_off(build: Build) -> None:
    frame = encoded("MR_small_jp2klossless.dcm")
    half = frame[: len(frame) // 2 // 2 * 2]
    assert "cut off" in refusal(jpeg2000_file(build, half))
    assert "no JPEG 2000 codestream" in refusal(jpeg2000_file(build, b"\0" * 100))
    assert "cannot be decoded" in refusal(jpeg2000_file(build, half + b"\xff\xd9" * 8))


def test_a_damaged_jpeg_does_not_end_the_process(build: Build) -> None:
    """GDCM, which pydicom tries first, aborts on damage like this; see `PLUGINS`."""
    frame = bytearray(encoded("SC_rgb_jpeg_gdcm.dcm"))
    dataset = pydicom.dcmread(BytesIO(packaged("SC_rgb_jpeg_gdcm.dcm")))
    seen = set()
    for place in range(2, len(frame) - 2, 7):
        damaged = bytearray(frame)
        damaged[place] ^= 0xFF
        dataset.PixelData = encapsulate([bytes(damaged)])
        try:
            seen.add(only_frame(build.written(dataset)).pixels.shape)
        except UnreadableImage:
            seen.add(())
    assert seen == {(100, 100, 3), ()}


def test_fewer_fragments_than_frames(build: Build) -> None:
    frame = encoded("MR_small_jp2klossless.dcm")
    assert "only 1 fragments" in refusal(jpeg2000_file(build, frame, frames=5))


@pytest.mark.parametrize("kept", [0.3, 0.9])
def test_a_file_that_ends_in_its_fragments(build: Build, kept: float) -> None:
    data = jpeg2000_file(build, encoded("MR_small_jp2klossless.dcm"))
    assert "truncated" in refusal(data[: len(data) - int(len(data) * (1 - kept))])


def test_a_jp2_box_of_no_length_does_not_hang(build: Build) -> None:
    frame = encoded("MR_small_jp2klossless.dcm")
    box = b"\x00\x00\x00\x0cjP  \x0d\x0a\x87\x0a" + b"\0\0\0\0ftyp" + b"\0" * 8
    assert without_wrapping(box + frame) == frame
    reference = only_frame(packaged("MR_small.dcm")).pixels
    padded = box + frame + b"\0" * (len(box + frame) % 2)
    np.testing.assert_array_equal(only_frame(jpeg2000_file(build, padded)).pixels, reference)
    assert "no JPEG 2000 codestream" in refusal(jpeg2000_file(build, box))


def test_rle_that_is_nonsense(build: Build) -> None:
    for frame in (b"\xff" * 64, b"\0" * 64, pack("<16I", 1, 64, *[0] * 14), b"\1\0"):
        data = build(np.zeros((64, 64), np.int16), RLELossless, PixelData=encapsulate([frame]))
        assert "cannot be decoded" in refusal(data)


def deflated(build: Build, body: bytes) -> bytes:
    plain = build(SMALL)
    start = plain.index(b"\x08\x00\x16\x00UI", 132)
    changed = renamed(plain[:start], DeflatedExplicitVRLittleEndian)
    return changed + body


def test_a_deflated_bomb_is_not_inflated(build: Build) -> None:
    squeeze = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    body = squeeze.compress(bytes(2**26)) + squeeze.flush()
    assert len(body) < 2**17
    tracemalloc.start()
    try:
        reason = refusal(deflated(build, body), max_bytes=2**20)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert "larger than 1048576 bytes" in reason
    assert peak < 2**23
    assert "truncated" in refusal(deflated(build, body[:50]))
    assert "deflate" in refusal(deflated(build, b"\xff" * 50))


def test_sequences_nested_without_end(build: Build) -> None:
    deep = pack("<HHI", 0x0028, 0x3010, 0xFFFFFFFF) + pack("<HHI", 0xFFFE, 0xE000, 0xFFFFFFFF)
    start = pack("<HH2sH", 2, 0x10, b"UI", 18) + str(ImplicitVRLittleEndian).encode() + b"\0"
    data = bytes(128) + b"DICM" + start + deep * 20000
    assert refusal(data)


def test_items_without_end(build: Build) -> None:
    start = pack("<HH2sH", 2, 0x10, b"UI", 18) + str(ImplicitVRLittleEndian).encode() + b"\0"
    items = pack("<HHI", 0xFFFE, 0xE000, 0) * 1_100_000
    data = start + pack("<HHI", 0x0028, 0x3010, 0xFFFFFFFF) + items
    assert "items of sequences" in refusal(data)


@pytest.mark.parametrize("data", [b"", b"DICM", bytes(200), b"\xff" * 5000, b"GIF89a" * 40])
def test_what_is_no_dicom(data: bytes) -> None:
    assert refusal(data)


def test_a_file_without_preamble_or_meta_is_read(build: Build) -> None:
    pixels = np.arange(16, dtype=np.uint16).reshape(4, 4)
    data = build(pixels)
    bare = data[data.index(b"\x08\x00\x16\x00UI", 132) :]
    np.testing.assert_array_equal(only_frame(data[132:]).pixels, pixels)
    np.testing.assert_array_equal(only_frame(bare).pixels, pixels)


@settings(deadline=None, max_examples=300)
@given(st.data())
def test_any_damage_gives_an_image_or_a_reason(data: st.DataObject) -> None:
    name = data.draw(
        st.sampled_from(
            [
                "MR_small_jp2klossless.dcm",
                "MR_small_jpeg_ls_lossless.dcm",
                "MR_small_RLE.dcm",
                "SC_rgb_jpeg_dcmtk.dcm",
                "SC_rgb_small_odd_jpeg.dcm",
                "rtdose.dcm",
            ]
        )
    )
    file = bytearray(packaged(name))
    for _ in range(data.draw(st.integers(1, 8))):
        file[data.draw(st.integers(0, len(file) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(0, len(file)) | st.just(len(file)))
    try:
        for frame in open_image(bytes(file[:cut]), max_bytes=2**24).frames:
            shown = frame.display()
            assert 0 <= shown.min() <= shown.max() <= 1
    except UnreadableImage:
        pass


def test_jpeg2000_lossy_is_among_the_checked(build: Build) -> None:
    frame = encoded("JPEG2000.dcm")
    data = build(np.zeros((10, 10), np.uint8), JPEG2000, PixelData=encapsulate([frame]))
    assert "but the data set says 10 x 10" in refusal(data)
