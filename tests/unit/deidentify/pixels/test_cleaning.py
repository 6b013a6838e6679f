"""What is blanked is black, what is not keeps its values, in every transfer syntax."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut
from pydicom.uid import (
    UID,
    DeflatedExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    ExplicitVRLittleEndian,
    ImplicitVRLittleEndian,
    JPEG2000Lossless,
    JPEGBaseline8Bit,
    JPEGLSLossless,
    RLELossless,
)

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels import deface
from preread.deidentify.pixels.boxes import Box
from preread.deidentify.pixels.cleaning import Cleaned, PixelCleaner, PixelOptions
from preread.deidentify.pixels.picture import Picture
from preread.deidentify.pixels.policy import Look
from preread.deidentify.pixels.seal import PixelSeal
from preread.elements import read_header
from tests.unit.deidentify.pixels.planting import file_of, jpeg, speckle

KEY = b"s" * 32
BOX = Box(7, 5, 20, 14)
NATIVE = (
    ImplicitVRLittleEndian,
    ExplicitVRLittleEndian,
    ExplicitVRBigEndian,
    DeflatedExplicitVRLittleEndian,
)
CODECS = (RLELossless, JPEGLSLossless, JPEG2000Lossless)


class Told:
    """Finds one box in each picture that has room for it, once."""

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        fits = BOX.bottom <= values.shape[0] and BOX.right <= values.shape[1]
        return [BOX] if fits and not again else []


class Blind:
    """Finds nothing."""

    def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
        return []


def cleaned(data: bytes, look: Look = Look.TEXT, detector: Any = None, **options: Any) -> Cleaned:
    return PixelCleaner(KEY, PixelOptions(**options), detector or Told()).clean(data, look)


def values_of(data: bytes) -> NDArray[Any]:
    picture = Picture(data, 2**30)
    return np.stack([decoded.values for decoded in picture.stored()])


def check(before: bytes, result: Cleaned, black: Any) -> Dataset:
    """Hold what was blanked against what was not."""
    old, new = values_of(before), values_of(result.data)
    outside = np.ones(old.shape[1:3], bool)
    outside[BOX.area] = False
    np.testing.assert_array_equal(new[:, outside], old[:, outside])
    inside = new[(slice(None), *BOX.area)]
    np.testing.assert_array_equal(inside, np.broadcast_to(np.asarray(black), inside.shape))
    assert result.boxes >= len(old)
    assert result.frames == len(old)
    assert result.blanked_fraction == pytest.approx((~outside).mean())
    dataset = dcmread(BytesIO(result.data))
    assert str(dataset.file_meta.TransferSyntaxUID) == result.TransferSyntaxUID
    return dataset


def grey(kind: str, frames: int = 1, bits: int = 0) -> NDArray[Any]:
    values = np.stack([speckle(71, 73, seed=seed) for seed in range(frames)]).astype(np.int64)
    width = bits or np.dtype(kind).itemsize * 8
    values = values * ((1 << width) - 1) // 255
    if np.dtype(kind).kind == "i":
        values -= 1 << (width - 1)
    values[values == values.min()] += 3  # so that the least value is not that of no light
    return values.astype(kind)


@pytest.mark.parametrize("syntax", [*NATIVE, *CODECS], ids=lambda uid: uid.name)
@pytest.mark.parametrize(
    ("kind", "bits"), [("u1", 8), ("u2", 16), ("u2", 12), ("i2", 16), ("i2", 12)]
)
@pytest.mark.parametrize("frames", [1, 3])
def test_grey(syntax: UID, kind: str, bits: int, frames: int) -> None:
    values = grey(kind, frames, bits)
    data = file_of(values, syntax=syntax, bits=bits)
    result = cleaned(data)
    lowest = values.min(axis=(1, 2))[:, None, None]
    dataset = check(data, result, lowest)
    assert dataset.PhotometricInterpretation == "MONOCHROME2"
    assert "LossyImageCompression" not in dataset
    if syntax in NATIVE or bits == 8 or kind == "u2" or syntax != JPEGLSLossless:
        assert result.TransferSyntaxUID == syntax


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, JPEGLSLossless, RLELossless])
def test_black_is_the_highest_value_of_monochrome1(syntax: UID) -> None:
    values = grey("u2", bits=12)
    data = file_of(values, syntax=syntax, bits=12, photometric="MONOCHROME1")
    check(data, cleaned(data), values.max())


# Codecs interleave colours.
@pytest.mark.parametrize(
    ("syntax", "planar"),
    [*((uid, 0) for uid in (*NATIVE, *CODECS)), *((uid, 1) for uid in NATIVE)],
)
def test_colour(syntax: UID, planar: int) -> None:
    values = np.random.default_rng(4).integers(1, 255, (2, 70, 72, 3)).astype(np.uint8)
    data = file_of(values, syntax=syntax, planar=planar)
    result = cleaned(data)
    dataset = check(data, result, [0, 0, 0])
    assert result.TransferSyntaxUID == syntax
    assert dataset.PlanarConfiguration == planar
    colours = "YBR_RCT" if syntax == JPEG2000Lossless else "RGB"
    assert dataset.PhotometricInterpretation == colours


def test_ybr_stays_as_it_is_stored() -> None:
    values = np.random.default_rng(5).integers(20, 230, (1, 30, 32, 3)).astype(np.uint8)
    data = file_of(values, photometric="YBR_FULL")
    dataset = dcmread(BytesIO(cleaned(data).data))
    stored = np.frombuffer(dataset.PixelData, np.uint8).reshape(30, 32, 3)
    expected = values[0].copy()
    expected[BOX.area] = (0, 128, 128)
    np.testing.assert_array_equal(stored, expected)


def test_chroma_that_two_pixels_share_goes_with_either() -> None:
    cells = np.random.default_rng(5).integers(20, 230, (1, 30, 16, 4)).astype(np.uint8)
    data = file_of(np.zeros((1, 30, 32, 3), np.uint8), photometric="YBR_FULL")
    dataset = dcmread(BytesIO(data))
    dataset.PhotometricInterpretation = "YBR_FULL_422"
    dataset.PixelData = cells.tobytes()
    buffer = BytesIO()
    dataset.save_as(buffer)
    written = dcmread(BytesIO(cleaned(buffer.getvalue()).data))
    assert written.PhotometricInterpretation == "YBR_FULL_422"
    stored = np.frombuffer(written.PixelData, np.uint8).reshape(30, 16, 4)
    expected = cells[0].copy()
    expected[5:14, 3:10] = (0, 0, 128, 128)
    np.testing.assert_array_equal(stored, expected)


def test_a_palette_gives_its_darkest_colour() -> None:
    values = np.random.default_rng(6).integers(0, 4, (1, 30, 32)).astype(np.uint8)
    shades = np.array([60000, 30000, 500, 65535], np.uint16)
    tables: dict[str, Any] = {
        f"{colour}PaletteColorLookupTable{part}": value
        for colour in ("Red", "Green", "Blue")
        for part, value in (("Descriptor", [4, 0, 16]), ("Data", shades.tobytes()))
    }
    data = file_of(values, photometric="PALETTE COLOR", **tables)
    dataset = check(data, cleaned(data), 2)
    assert (apply_color_lut(dataset.pixel_array, dataset)[BOX.area] == 500).all()


@pytest.mark.parametrize("colour", [False, True])
def test_what_was_lossy_is_not_made_worse_and_says_so(colour: bool) -> None:
    values = speckle(48, 64, colour=colour)[None]
    kind = "YBR_FULL_422" if colour else "MONOCHROME2"
    data = file_of(values, syntax=JPEGBaseline8Bit, photometric=kind, encode=jpeg)
    black = [0, 0, 0] if colour else values_of(data).min()
    dataset = check(data, cleaned(data), black)
    assert dataset.file_meta.TransferSyntaxUID == JPEGLSLossless
    assert dataset.LossyImageCompression == "01"
    assert dataset.PhotometricInterpretation == ("RGB" if colour else "MONOCHROME2")


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, ExplicitVRBigEndian])
@pytest.mark.parametrize("columns", [24, 25, 21])  # frames begin with a byte, or within one
def test_pixels_of_one_bit(syntax: UID, columns: int) -> None:
    bits = np.random.default_rng(7).integers(0, 2, (3, 15, columns)).astype(np.uint8)
    data = file_of(np.zeros((3, 15, columns), np.uint8), syntax=syntax)
    dataset = dcmread(BytesIO(data))
    dataset.BitsAllocated = dataset.BitsStored = 1
    dataset.HighBit = 0
    packed = np.packbits(bits.ravel(), bitorder="little").tobytes()
    dataset.PixelData = packed + b"\0" * (len(packed) % 2)
    dataset["PixelData"].VR = "OB"
    buffer = BytesIO()
    dataset.save_as(buffer)
    result = cleaned(buffer.getvalue())
    expected = bits.copy()
    expected[(slice(None), *BOX.area)] = 0
    np.testing.assert_array_equal(values_of(result.data).astype(np.uint8), expected)


@pytest.mark.parametrize("syntax", [*NATIVE, *CODECS, JPEGBaseline8Bit], ids=lambda uid: uid.name)
def test_where_nothing_is_found_the_pixels_keep_their_bytes(syntax: UID) -> None:
    encode = jpeg if syntax == JPEGBaseline8Bit else None
    data = file_of(grey("u1", 2), syntax=syntax, encode=encode)
    result = cleaned(data, detector=Blind())
    before, after = dcmread(BytesIO(data)), dcmread(BytesIO(result.data))
    assert after.PixelData == before.PixelData
    assert after.file_meta == before.file_meta
    assert (result.boxes, result.blanked_fraction, result.frames) == (0, 0, 2)


def test_the_header_says_what_was_done_and_nothing_else_changes() -> None:
    data = file_of(grey("u2"), StudyDescription="kept", BurnedInAnnotation="YES")
    before, after = dcmread(BytesIO(data)), dcmread(BytesIO(cleaned(data).data))
    assert after.BurnedInAnnotation == "NO"
    codes = [item.CodeValue for item in after.DeidentificationMethodCodeSequence]
    assert codes == ["113101"]
    assert after.DeidentificationMethod[0] == before.DeidentificationMethod
    changed = {
        "BurnedInAnnotation",
        "DeidentificationMethod",
        "DeidentificationMethodCodeSequence",
        "PixelData",
    }
    assert {e.keyword for e in after} == {e.keyword for e in before} | changed
    assert all(after[e.tag] == e for e in before if e.keyword not in changed)


def test_what_was_looked_at_is_known_again_until_it_changes() -> None:
    data = file_of(grey("u1"), syntax=JPEGLSLossless)
    seal = PixelSeal(KEY)
    assert not seal.holds(read_header(data))
    once = cleaned(data)
    assert seal.holds(read_header(once.data), Look.TEXT)
    assert not seal.holds(read_header(once.data), Look.FACE)
    twice = cleaned(once.data, detector=Blind())
    assert twice.data == once.data


def test_regions_are_blanked_before_anything_is_found(tmp_path: Path) -> None:
    more = tmp_path / "more.json"
    more.write_text(
        f'[{{"Modality": ["US"], "Blank": [[{BOX.left}, {BOX.top}, 13, 9]]}}]', encoding="utf-8"
    )
    data = file_of(grey("u1", 2))
    result = cleaned(data, detector=Blind(), regions=more)
    check(data, result, grey("u1", 2).min(axis=(1, 2))[:, None, None])


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"Rows": 4000}, "truncated"),
        ({"PhotometricInterpretation": "CMYK"}, "PhotometricInterpretation"),
        ({"BitsAllocated": 12}, "BitsAllocated"),
    ],
)
def test_what_cannot_be_read_is_refused(change: dict[str, Any], reason: str) -> None:
    dataset = dcmread(BytesIO(file_of(grey("u1"))))
    for keyword, value in change.items():
        setattr(dataset, keyword, value)
    buffer = BytesIO()
    dataset.save_as(buffer)
    with pytest.raises(DeidentificationError, match=reason):
        cleaned(buffer.getvalue())


def test_a_video_and_damaged_codestreams_are_refused() -> None:
    data = file_of(grey("u1"), syntax=JPEGLSLossless)
    for uid, reason in (
        ("1.2.840.10008.1.2.4.102", "video"),
        ("1.2.840.10008.1.2.4.90", "JPEG 2000"),
    ):
        dataset = dcmread(BytesIO(data))
        dataset.file_meta.TransferSyntaxUID = UID(uid)
        buffer = BytesIO()
        dataset.save_as(buffer)
        with pytest.raises(DeidentificationError, match=reason):
            cleaned(buffer.getvalue())
    with pytest.raises(DeidentificationError):
        cleaned(data[: len(data) // 2])


def test_what_is_too_large_is_refused() -> None:
    data = file_of(np.zeros((2, 1024, 1024), np.uint8))
    with pytest.raises(DeidentificationError, match="more than"):
        cleaned(data, max_megabytes=1)


def test_a_fault_of_a_library_is_a_refusal_without_values() -> None:
    class Broken:
        def boxes(self, values: NDArray[Any], /, *, again: bool = False) -> list[Box]:
            raise ValueError("Doe^Jane")

    with pytest.raises(DeidentificationError, match="ValueError") as caught:
        cleaned(file_of(grey("u1")), detector=Broken())
    assert "Doe" not in str(caught.value)


def test_a_look_that_nobody_chose_is_refused() -> None:
    with pytest.raises(DeidentificationError, match="options"):
        cleaned(file_of(grey("u1")), Look.FACE, faces=False)
    with pytest.raises(DeidentificationError, match="options"):
        cleaned(file_of(grey("u1")), Look.NONE)


@pytest.mark.parametrize("syntax", [ExplicitVRLittleEndian, RLELossless, ExplicitVRBigEndian])
def test_defaced_frames_are_what_is_stored(monkeypatch: pytest.MonkeyPatch, syntax: UID) -> None:
    def halved(_: Dataset, frames: Iterator[NDArray[Any]]) -> Iterator[NDArray[Any]]:
        return (frame // 2 for frame in frames)

    monkeypatch.setattr(deface, "deface_frames", halved)
    values = grey("i2", 2, 12)
    result = cleaned(file_of(values, syntax=syntax, bits=12), Look.FACE, detector=Blind())
    np.testing.assert_array_equal(values_of(result.data), values // 2)
    dataset = dcmread(BytesIO(result.data))
    assert [i.CodeValue for i in dataset.DeidentificationMethodCodeSequence] == ["113102"]
    assert dataset.BurnedInAnnotation == "YES", "text has not been looked for"


def test_a_face_in_colour_is_refused() -> None:
    with pytest.raises(DeidentificationError, match="face"):
        cleaned(file_of(speckle(30, 30, colour=True)[None]), Look.FACE)


@pytest.mark.shared_data
@pytest.mark.slow
def test_every_public_image_keeps_what_is_not_blanked(shared_dicom: Path) -> None:
    done, refused = 0, []
    for path in sorted((shared_dicom / "variety").glob("*.dcm")):
        data = path.read_bytes()
        try:
            result = cleaned(data)
        except DeidentificationError as error:
            refused.append((path.name, error.reason))
            continue
        old, new = Picture(data, 2**30), Picture(result.data, 2**30)
        outside = np.ones((old.layout.Rows, old.layout.Columns), bool)
        dataset = dcmread(BytesIO(result.data))
        shape = outside.shape
        known = PixelCleaner(KEY, PixelOptions(), Told())._regions.boxes(dataset, *shape)
        for box in (*known, BOX):
            outside[box.area] = False
        for before, after in zip(old.stored(), new.stored(), strict=True):
            np.testing.assert_array_equal(
                after.values[outside], before.values[outside], err_msg=path.name
            )
        done += 1
    assert done >= 130
    # Some have no pixels, the others a codec that nobody has or damage; none is passed on.
    assert len(refused) < 20
