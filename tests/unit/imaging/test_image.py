import subprocess
import tracemalloc
from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest
from numpy.typing import NDArray
from pydicom.dataset import Dataset
from pydicom.encaps import encapsulate
from pydicom.pixels.processing import apply_modality_lut
from pydicom.pixels.utils import pixel_array
from pydicom.uid import (
    ComputedRadiographyImageStorage,
    ExplicitVRBigEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RLELossless,
    SecondaryCaptureImageStorage,
)

from preread.imaging import Span, Units, UnreadableImage, Window, open_image
from tests.unit.imaging.conftest import LARGEST, Build, only_frame, packaged

Item = Callable[..., Dataset]
MR = ["", "_RLE", "_bigendian", "_expb", "_implicit", "_jp2klossless", "_jpeg_ls_lossless"]
LOSSLESS_COLOURS = [
    "SC_rgb_rle.dcm",
    "SC_rgb_rle_16bit.dcm",
    "SC_rgb_rle_32bit.dcm",
    "SC_rgb_rle_2frame.dcm",
    "SC_rgb_rle_16bit_2frame.dcm",
    "SC_rgb_rle_32bit_2frame.dcm",
    "SC_rgb_small_odd.dcm",
    "SC_rgb_small_odd_big_endian.dcm",
    "SC_ybr_full_422_uncompressed.dcm",
    "SC_rgb_gdcm_KY.dcm",
    "ExplVR_BigEnd.dcm",
    "examples_rgb_color.dcm",
    "examples_jpeg2k.dcm",
]


def read(data: bytes) -> pydicom.FileDataset:
    return pydicom.dcmread(BytesIO(data))


@pytest.mark.parametrize("variant", MR)
def test_one_image_in_every_lossless_syntax_has_one_set_of_values(variant: str) -> None:
    frame = only_frame(packaged(f"MR_small{variant}.dcm"))
    reference = only_frame(packaged("MR_small.dcm"))
    np.testing.assert_array_equal(frame.pixels, reference.pixels)
    assert (frame.pixels.min(), frame.pixels.max()) == (127, 2145)
    assert frame.units is Units.MODALITY
    assert frame.voi == Window(center=600, width=1600)


def test_ct_is_in_hounsfield_units() -> None:
    data = packaged("CT_small.dcm")
    frame = only_frame(data)
    assert frame.units is Units.HOUNSFIELD
    padded = read(data).pixel_array == -2000
    expected = apply_modality_lut(read(data).pixel_array, read(data))
    np.testing.assert_array_equal(frame.pixels[~padded], expected[~padded])
    assert (frame.pixels.min(), frame.pixels.max()) == (-896, 1167)


@pytest.mark.parametrize(
    "name",
    ["693_J2KI.dcm", "J2K_pixelrep_mismatch.dcm", "JPEGLSNearLossless_16.dcm", "JPEG2000.dcm"],
)
def test_two_decoders_agree(name: str) -> None:
    data = packaged(name)
    dataset = read(data)
    reference = pixel_array(dataset, decoding_plugin="gdcm")
    expected = apply_modality_lut(reference, dataset)
    pixels = only_frame(data).pixels
    inside = slice(None)
    if "PixelPaddingValue" in dataset:
        inside = reference != dataset.PixelPaddingValue
    # Lossy JPEG 2000 is allowed to differ by rounding between decoders.
    assert np.abs(pixels[inside] - expected[inside]).max() <= 1


@pytest.mark.parametrize("name", ["SC_rgb_jpeg_dcmtk.dcm", "SC_rgb_jpeg_gdcm.dcm"])
def test_jpeg_colours_agree_with_dcmtk(name: str, tmp_path: Path) -> None:
    (tmp_path / "in.dcm").write_bytes(packaged(name))
    try:
        subprocess.run(
            ["dcmj2pnm", "--write-raw-pnm", "in.dcm", "out.ppm"], cwd=tmp_path, check=True
        )
    except FileNotFoundError:
        pytest.skip("dcmtk's dcmj2pnm is not on this machine")
    from PIL import Image as PillowImage

    reference = np.asarray(PillowImage.open(tmp_path / "out.ppm")).astype(int)
    assert np.abs(only_frame(packaged(name)).pixels.astype(int) - reference).max() <= 2


def test_jpeg_of_12_bits_with_an_unlawful_scan_header_agrees_with_dcmtk(tmp_path: Path) -> None:
    data = packaged("JPEG-lossy.dcm")
    (tmp_path / "in.dcm").write_bytes(data)
    try:
        subprocess.run(["dcmdjpeg", "in.dcm", "out.dcm"], cwd=tmp_path, check=True)
    except FileNotFoundError:
        pytest.skip("dcmtk's dcmdjpeg is not on this machine")
    reference = pydicom.dcmread(tmp_path / "out.dcm").pixel_array.astype(int)
    assert reference.max() > 255
    assert np.abs(only_frame(data).pixels - reference).max() <= 2


@pytest.mark.parametrize("name", LOSSLESS_COLOURS)
def test_colour_becomes_rgb(name: str) -> None:
    data = packaged(name)
    dataset = read(data)
    # pydicom's conversion of YBR is of 8 bits; all of these that are YBR have 8.
    reference = pixel_array(dataset)
    frames = np.stack([frame.pixels for frame in open_image(data, max_bytes=LARGEST).frames])
    # Exact, but for the 32 bits that a float32 rounds.
    np.testing.assert_allclose(frames, reference.reshape(frames.shape), rtol=1e-7)
    frame = next(open_image(data, max_bytes=LARGEST).frames)
    assert frame.is_colour
    shown = frame.display(Window(center=0, width=2))
    np.testing.assert_allclose(shown, frame.pixels / (2.0**dataset.BitsStored - 1), atol=1e-6)


def test_ybr_of_16_bits_has_a_formula_of_its_own(build: Build) -> None:
    # White, and red in the weights of PS3.3 C.7.6.3.1.2.
    white, red = (65535, 32768, 32768), (19595, 21710, 65535)
    pixels = np.array([[white, red]], dtype=np.uint16)
    data = build(
        pixels[..., 0],
        SamplesPerPixel=3,
        PlanarConfiguration=0,
        PhotometricInterpretation="YBR_FULL",
        PixelData=pixels.tobytes(),
    )
    made = only_frame(data).pixels.astype(int)
    assert np.abs(made - [[[65535] * 3, [65535, 0, 0]]]).max() <= 2


def test_colour_by_plane_is_colour_by_pixel(build: Build) -> None:
    pixels = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
    colour: dict[str, Any] = {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"}
    by_pixel = build(pixels[..., 0], PlanarConfiguration=0, PixelData=pixels.tobytes(), **colour)
    planes = pixels.transpose(2, 0, 1).tobytes()
    by_plane = build(pixels[..., 0], PlanarConfiguration=1, PixelData=planes, **colour)
    np.testing.assert_array_equal(only_frame(by_pixel).pixels, pixels)
    np.testing.assert_array_equal(only_frame(by_plane).pixels, pixels)


def test_monochrome1_is_inverted(build: Build, ramp: NDArray[Any]) -> None:
    how: dict[str, Any] = {
        "WindowCenter": 0,
        "WindowWidth": 1001,
        "RescaleSlope": 1,
        "RescaleIntercept": 0,
    }
    plain = only_frame(build(ramp, **how))
    inverted = only_frame(build(ramp, PhotometricInterpretation="MONOCHROME1", **how))
    np.testing.assert_array_equal(plain.pixels, inverted.pixels)
    np.testing.assert_allclose(plain.display(), 1 - inverted.display(), atol=1e-6)
    window = Window(center=100, width=50)
    np.testing.assert_allclose(plain.display(window), 1 - inverted.display(window), atol=1e-6)
    # DX images say both, and mean it once.
    both = build(
        ramp, PhotometricInterpretation="MONOCHROME1", PresentationLUTShape="INVERSE", **how
    )
    np.testing.assert_array_equal(only_frame(both).display(), inverted.display())


@pytest.mark.parametrize("kind", ["u1", "i1", "<u2", "<i2", "<u4", "<i4"])
def test_every_size_and_sign(build: Build, kind: str) -> None:
    ends = np.iinfo(kind)
    pixels = np.array([[ends.min, 0, 1, ends.max]], dtype=kind)
    data = build(pixels, Modality="MR", RescaleSlope=2, RescaleIntercept=-3)
    np.testing.assert_allclose(only_frame(data).pixels, pixels * 2.0 - 3, rtol=1e-7)


def test_big_endian(build: Build, ramp: NDArray[Any]) -> None:
    data = build(ramp, ExplicitVRBigEndian, PixelData=ramp.astype(">i2").tobytes())
    np.testing.assert_array_equal(only_frame(data).pixels, ramp)


def test_twelve_bits_ignore_what_lies_above_them(build: Build) -> None:
    pixels = np.array([[0x0FFF, 0xF001, 0x8800]], dtype=np.uint16)
    low = build(pixels, BitsStored=12, HighBit=11)
    assert only_frame(low).pixels.tolist() == [[0xFFF, 1, 0x800]]
    signed = build(pixels, BitsStored=12, HighBit=11, PixelRepresentation=1)
    assert only_frame(signed).pixels.tolist() == [[-1, 1, -0x800]]


def test_twelve_bits_at_the_top_are_shifted_down(build: Build) -> None:
    pixels = np.array([[0x0FFF, 0x001, 0x800]], dtype=np.uint16) << 4 | 0xF
    high = build(pixels, BitsStored=12, HighBit=15)
    assert only_frame(high).pixels.tolist() == [[0xFFF, 1, 0x800]]
    signed = build(pixels, BitsStored=12, HighBit=15, PixelRepresentation=1)
    assert only_frame(signed).pixels.tolist() == [[-1, 1, -0x800]]


def test_one_bit_in_frames_that_do_not_end_at_a_byte(build: Build) -> None:
    bits = np.random.default_rng(3).integers(0, 2, (3, 5, 5), dtype=np.uint8)
    data = build(
        bits,
        Modality="OT",
        BitsAllocated=1,
        BitsStored=1,
        HighBit=0,
        PixelData=np.packbits(bits.ravel(), bitorder="little").tobytes(),
    )
    image = open_image(data, max_bytes=LARGEST)
    frames = list(image.frames)
    np.testing.assert_array_equal([frame.pixels for frame in frames], bits)
    np.testing.assert_array_equal(image.frame(2).display(), bits[2])


@pytest.mark.parametrize(
    ("keyword", "kind"), [("FloatPixelData", "<f4"), ("DoubleFloatPixelData", "<f8")]
)
def test_floats_and_what_is_no_number_among_them(build: Build, keyword: str, kind: str) -> None:
    pixels = np.array([[0.5, np.nan, 2.25, np.inf]], dtype=kind)
    bits = pixels.dtype.itemsize * 8
    plain: dict[str, Any] = {
        "PixelData": None,
        "BitsStored": None,
        "HighBit": None,
        "PixelRepresentation": None,
    }
    data = build(
        np.zeros((1, 4), np.uint8),
        Modality="MR",
        BitsAllocated=bits,
        **plain | {keyword: pixels.tobytes()},
    )
    frame = only_frame(data)
    assert frame.pixels.tolist() == [[0.5, 0.5, 2.25, 0.5]]
    assert frame.display().tolist() == [[0, 0, 1, 0]]


def test_frames_of_nothing_but_nan_are_refused(build: Build) -> None:
    plain: dict[str, Any] = {
        "PixelData": None,
        "BitsStored": None,
        "HighBit": None,
        "PixelRepresentation": None,
    }
    nan = np.full((1, 4), np.nan, dtype="<f4").tobytes()
    data = build(np.zeros((1, 4), np.uint8), BitsAllocated=32, FloatPixelData=nan, **plain)
    with pytest.raises(UnreadableImage, match="no finite number"):
        only_frame(data)


@pytest.mark.parametrize(
    ("padding", "limit", "kept"),
    [
        (-2000, None, [100, 100, 500, 900]),
        (-2000, -1000, [500, 500, 500, 900]),
        (63536, None, [100, 100, 500, 900]),
        (7, None, [-2000, 100, 500, 900]),
    ],
)
def test_padding_does_not_stretch_the_range(
    build: Build, padding: int, limit: int | None, kept: list[int]
) -> None:
    first = -1500 if limit is not None else 100
    pixels = np.array([[-2000, first, 500, 900]], dtype=np.int16)
    values: dict[str, Any] = {"PixelPaddingValue": padding}
    if limit is not None:
        values["PixelPaddingRangeLimit"] = limit
    data = patched_vr(build, pixels, values)
    frame = only_frame(data)
    assert frame.pixels.tolist() == [kept]


def patched_vr(build: Build, pixels: NDArray[Any], values: dict[str, int]) -> bytes:
    """Write padding as SS, or as US what only fits there, as files in the field do."""
    dataset = read(build(pixels))
    for keyword, value in values.items():
        dataset.add_new(keyword, "SS" if value < 32768 else "US", value)
    return build.written(dataset)


def test_padding_of_monochrome1_is_dark_too(build: Build) -> None:
    pixels = np.array([[0, 100, 500, 900]], dtype=np.uint16)
    data = build(
        pixels, PhotometricInterpretation="MONOCHROME1", PixelPaddingValue=0, Modality="CR"
    )
    assert only_frame(data).display().tolist() == [[0, 1, 0.5, 0]]


def test_the_first_of_several_windows(build: Build, ramp: NDArray[Any]) -> None:
    data = build(ramp, WindowCenter=[40, -600], WindowWidth=[400, 1500], VOILUTFunction="SIGMOID")
    assert only_frame(data).voi == Window.model_validate(
        {"Center": 40, "Width": 400, "Function": "SIGMOID"}
    )


@pytest.mark.parametrize(("center", "width"), [(40, 0), (40, -5), (None, 400), ("", "")])
def test_a_window_that_cannot_be_gives_way_to_the_range(
    build: Build, ramp: NDArray[Any], center: Any, width: Any
) -> None:
    values = {"WindowWidth": width} | ({} if center is None else {"WindowCenter": center})
    assert only_frame(build(ramp, **values)).voi == Span(-2000, 2095)


def test_a_window_narrower_than_one_is_exact(build: Build, ramp: NDArray[Any]) -> None:
    data = build(ramp, WindowCenter=0.5, WindowWidth=0.5)
    assert only_frame(data).voi == Window.model_validate(
        {"Center": 0.5, "Width": 0.5, "Function": "LINEAR_EXACT"}
    )


def test_eight_bits_without_a_window_are_brightness(build: Build) -> None:
    data = build(np.array([[51, 102]], dtype=np.uint8), Modality="US")
    assert only_frame(data).display().ravel() == pytest.approx([0.2, 0.4])


def test_modality_lut(build: Build, item: Item) -> None:
    pixels = np.array([[0, 10, 11, 12, 200]], dtype=np.uint16)
    table = item(LUTDescriptor=[3, 10, 12], ModalityLUTType="OD", LUTData=[5, 700, 4000])
    data = build(pixels, Modality="CR", ModalityLUTSequence=[table])
    frame = only_frame(data)
    assert frame.pixels.tolist() == [[5, 5, 700, 4000, 4000]]
    assert frame.units is Units.MODALITY


def test_voi_lut_is_normalised_to_its_bits(build: Build, item: Item) -> None:
    pixels = np.array([[9, 10, 11, 12, 13]], dtype=np.uint16)
    table = item(LUTDescriptor=[3, 10, 12], LUTData=[0, 1365, 4095])
    # pydicom, too, prefers the table where there is a window as well.
    data = build(pixels, Modality="CR", VOILUTSequence=[table], WindowCenter=100, WindowWidth=20)
    assert only_frame(data).display().ravel() == pytest.approx([0, 0, 1 / 3, 1, 1], abs=1e-4)


def test_functional_groups_of_frames(build: Build, item: Item) -> None:
    pixels = np.arange(2 * 2 * 2, dtype=np.int16).reshape(2, 2, 2)

    def groups(slope: float, center: float) -> Dataset:
        return item(
            PixelValueTransformationSequence=[
                item(RescaleSlope=slope, RescaleIntercept=-1024, RescaleType="HU")
            ],
            FrameVOILUTSequence=[item(WindowCenter=center, WindowWidth=80)],
        )

    per_frame = build(
        pixels,
        PerFrameFunctionalGroupsSequence=[groups(1, 40), groups(2, 50)],
        SharedFunctionalGroupsSequence=[groups(9, 9)],
        WindowCenter=7,
        WindowWidth=7,
    )
    first, second = open_image(per_frame, max_bytes=LARGEST).frames
    np.testing.assert_array_equal(first.pixels, pixels[0] - 1024.0)
    np.testing.assert_array_equal(second.pixels, pixels[1] * 2 - 1024.0)
    assert first.units is second.units is Units.HOUNSFIELD
    assert (first.voi, second.voi) == (Window(center=40, width=80), Window(center=50, width=80))
    shared = build(
        pixels,
        PerFrameFunctionalGroupsSequence=[item(), item()],
        SharedFunctionalGroupsSequence=[groups(3, 60)],
    )
    last = open_image(shared, max_bytes=LARGEST).frame(1)
    np.testing.assert_array_equal(last.pixels, pixels[1] * 3 - 1024.0)
    assert last.voi == Window(center=60, width=80)


@pytest.mark.parametrize(
    ("values", "units"),
    [
        ({"RescaleSlope": 1, "RescaleIntercept": -1024}, Units.HOUNSFIELD),
        ({"RescaleSlope": 1, "RescaleIntercept": 0, "RescaleType": "US"}, Units.MODALITY),
        ({}, Units.UNKNOWN),
        ({"SOPClassUID": SecondaryCaptureImageStorage}, Units.DISPLAY),
        (
            {
                "SOPClassUID": SecondaryCaptureImageStorage,
                "RescaleSlope": 1,
                "RescaleIntercept": 0,
                "RescaleType": "HU",
            },
            Units.HOUNSFIELD,
        ),
        ({"Modality": "MR", "SOPClassUID": MRImageStorage}, Units.MODALITY),
        ({"PresentationIntentType": "FOR PRESENTATION"}, Units.DISPLAY),
        ({"PresentationIntentType": "FOR PROCESSING", "Modality": "DX"}, Units.MODALITY),
        ({"Modality": "CR", "SOPClassUID": ComputedRadiographyImageStorage}, Units.MODALITY),
    ],
)
def test_units(build: Build, ramp: NDArray[Any], values: dict[str, Any], units: Units) -> None:
    assert only_frame(build(ramp, **values)).units is units


IDENTITY = {"RescaleSlope": 1, "RescaleIntercept": 0}


@pytest.mark.parametrize(
    ("kind", "values", "units"),
    [
        (np.uint8, {}, Units.DISPLAY),
        (np.uint8, IDENTITY, Units.DISPLAY),
        (np.uint8, {"Modality": "MR", "SOPClassUID": MRImageStorage}, Units.DISPLAY),
        (np.uint8, {"RescaleSlope": 8, "RescaleIntercept": -1024}, Units.HOUNSFIELD),
        (np.uint8, IDENTITY | {"RescaleType": "HU"}, Units.HOUNSFIELD),
        (np.int8, IDENTITY, Units.HOUNSFIELD),
        (np.int16, IDENTITY, Units.HOUNSFIELD),
    ],
)
def test_pictures_are_told_from_hounsfield_units(
    build: Build, kind: type[Any], values: dict[str, Any], units: Units
) -> None:
    data = build(np.arange(64, dtype=kind).reshape(8, 8), **values)
    image = open_image(data, max_bytes=2**20)
    assert image.units is image.frame(0).units is units


def test_an_image_whose_frames_differ_is_of_no_known_kind(build: Build) -> None:
    def groups(kind: str) -> Dataset:
        item, group = Dataset(), Dataset()
        item.RescaleSlope, item.RescaleIntercept, item.RescaleType = 1, -1024, kind
        group.PixelValueTransformationSequence = [item]
        return group

    frames = np.zeros((2, 4, 4), dtype=np.int16)
    for kinds, units in ((("HU", "HU"), Units.HOUNSFIELD), (("HU", "US"), Units.UNKNOWN)):
        data = build(frames, PerFrameFunctionalGroupsSequence=[groups(kind) for kind in kinds])
        assert open_image(data, max_bytes=2**20).units is units


def test_frames_are_decoded_one_at_a_time(build: Build) -> None:
    frames = np.zeros((200, 256, 256), dtype=np.int16)
    frames += np.arange(200, dtype=np.int16)[:, None, None]
    data = build(frames)
    tracemalloc.start()
    try:
        image = open_image(data, max_bytes=LARGEST)
        means = [float(frame.pixels.mean()) for frame in image.frames]
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert means == list(range(200))
    assert peak < 20 * frames[0].nbytes


@pytest.mark.parametrize("fragments", [1, 2])
@pytest.mark.parametrize("with_table", [True, False])
def test_compressed_frames_in_any_order(build: Build, fragments: int, with_table: bool) -> None:
    frame = next(iter_encoded(packaged("MR_small_jp2klossless.dcm")))
    pixels = np.zeros((3, 64, 64), dtype=np.int16)
    data = build(
        pixels,
        JPEG2000Lossless,
        Modality="MR",
        PixelData=encapsulate([frame] * 3, fragments_per_frame=fragments, has_bot=with_table),
    )
    reference = only_frame(packaged("MR_small.dcm")).pixels
    image = open_image(data, max_bytes=LARGEST)
    assert image.number_of_frames == 3
    for index in (2, 0, 1):
        np.testing.assert_array_equal(image.frame(index).pixels, reference)
    assert [made.index for made in image.frames] == [0, 1, 2]
    with pytest.raises(IndexError):
        image.frame(3)


def iter_encoded(data: bytes) -> Any:
    from pydicom.encaps import generate_frames

    return generate_frames(read(data).PixelData, number_of_frames=1)


def test_rle_frames_of_a_dose() -> None:
    compressed = open_image(packaged("rtdose_rle.dcm"), max_bytes=LARGEST)
    plain = open_image(packaged("rtdose.dcm"), max_bytes=LARGEST)
    assert compressed.number_of_frames == 15
    assert read(packaged("rtdose_rle.dcm")).file_meta.TransferSyntaxUID == RLELossless
    for first, second in zip(compressed.frames, plain.frames, strict=True):
        np.testing.assert_array_equal(first.pixels, second.pixels)
