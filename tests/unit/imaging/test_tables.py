from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
import pydicom
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from pydicom.data import get_palette_files
from pydicom.dataset import Dataset
from pydicom.pixels.processing import apply_color_lut

from preread.imaging import UnreadableImage
from preread.imaging.tables import lookup_table, palette_table
from tests.unit.imaging.conftest import Build, only_frame, packaged

Item = Callable[..., Dataset]
COLOURS = ("Red", "Green", "Blue")


def palette(descriptor: list[int], data: bytes, *, segmented: bool = False) -> Dataset:
    dataset = Dataset()
    for colour in COLOURS:
        dataset.add_new(f"{colour}PaletteColorLookupTableDescriptor", "US", descriptor)
        keyword = f"{colour}PaletteColorLookupTableData"
        dataset.add_new(f"Segmented{keyword}" if segmented else keyword, "OW", data)
    return dataset


def words(*values: int) -> bytes:
    return np.array(values, dtype="<u2").tobytes()


def test_a_palette_image_has_the_colours_that_pydicom_gives() -> None:
    data = packaged("examples_palette.dcm")
    dataset = pydicom.dcmread(BytesIO(data))
    reference = apply_color_lut(dataset.pixel_array, dataset)
    np.testing.assert_array_equal(only_frame(data).pixels, reference)


@pytest.mark.parametrize("name", ["hotiron", "pet", "hotmetalblue", "pet20step", "spring"])
def test_the_standards_palettes(name: str) -> None:
    dataset = pydicom.dcmread(get_palette_files(f"{name}.dcm")[0])
    stored = np.arange(300, dtype=np.uint16).clip(0, 255)
    table = palette_table(dataset, signed=False, little=True)
    np.testing.assert_array_equal(table.apply(stored), apply_color_lut(stored, dataset))


def test_eight_bit_entries_in_sixteen_bit_words() -> None:
    table = palette_table(palette([4, 0, 8], words(0, 50, 100, 255)), signed=False, little=True)
    assert table.entries[:, 0].tolist() == [0, 50, 100, 255]
    assert table.entries.dtype == np.uint8


def test_an_index_beyond_eight_bits_takes_the_last_entry() -> None:
    dataset = palette([256, 0, 8], bytes(range(256)))
    table = palette_table(dataset, signed=False, little=True)
    assert table.apply(np.array([255, 256, 300, 65535]))[:, 0].tolist() == [255] * 4


def test_a_negative_first_value() -> None:
    dataset = palette([3, 65534, 16], words(1, 2, 60000))
    table = palette_table(dataset, signed=True, little=True)
    assert table.first == -2
    assert table.apply(np.array([-9, -2, -1, 0, 9]))[:, 0].tolist() == [1, 1, 2, 60000, 60000]


def test_zero_entries_stand_for_65536() -> None:
    dataset = palette([0, 0, 16], np.arange(65536, dtype="<u2").tobytes())
    table = palette_table(dataset, signed=False, little=True)
    assert table.entries.shape == (65536, 3)


def test_segments(build: Build) -> None:
    # Discrete, linear, and an indirect one that repeats the two (PS3.3 C.7.9.2).
    data = words(0, 2, 0, 10, 1, 5, 60, 2, 2, 0, 0)
    dataset = palette([14, 0, 16], data, segmented=True)
    table = palette_table(dataset, signed=False, little=True)
    once = [0, 10, 20, 30, 40, 50, 60]
    assert table.entries[:, 0].tolist() == once * 2


def test_segments_of_eight_bits_as_pydicom_reads_them() -> None:
    data = bytes([0, 2, 0, 10, 1, 5, 60, 0, 1, 9, 2, 2, 0, 0, 0, 0])
    dataset = palette([15, 0, 8], data, segmented=True)
    dataset.file_meta = pydicom.dataset.FileMetaDataset()
    dataset.file_meta.TransferSyntaxUID = pydicom.uid.ExplicitVRLittleEndian
    stored = np.arange(15, dtype=np.uint8)
    table = palette_table(dataset, signed=False, little=True)
    np.testing.assert_array_equal(table.apply(stored), apply_color_lut(stored, dataset))


@given(st.binary(max_size=200), st.sampled_from([8, 16]))
def test_segments_of_any_bytes_end(data: bytes, bits: int) -> None:
    dataset = palette([0, 0, bits], data + b"\0" * (len(data) % 2), segmented=True)
    try:
        table = palette_table(dataset, signed=False, little=True)
    except UnreadableImage:
        return
    assert len(table.entries) == 65536


@pytest.mark.parametrize(
    "data",
    [
        words(2, 1, 0, 0),  # an indirect segment that is itself
        words(0, 1, 5, 2, 2, 0, 0),  # and one that reaches itself
        words(0, 1, 5, *[2, 65535, 0, 0] * 1000),  # many of them
        words(1, 4, 9),  # a line from nowhere
        words(0, 0) * 5000,  # nothing, often
        words(7, 1, 1),
    ],
)
def test_broken_segments_are_refused(data: bytes) -> None:
    with pytest.raises(UnreadableImage, match="broken segments"):
        palette_table(palette([0, 0, 16], data, segmented=True), signed=False, little=True)


@pytest.mark.parametrize(
    ("descriptor", "data", "reason"),
    [
        ([4, 0, 16], words(1, 2), "holds 2 entries; its descriptor claims 4"),
        ([4, 0], words(1, 2, 3, 4), "not three numbers"),
        ([4, 0, 32], words(1, 2, 3, 4), "claims 32 bits"),
    ],
)
def test_a_broken_palette_is_refused(descriptor: list[int], data: bytes, reason: str) -> None:
    with pytest.raises(UnreadableImage, match=reason):
        palette_table(palette(descriptor, data), signed=False, little=True)


def test_a_palette_that_is_not_there_is_refused(build: Build) -> None:
    data = build(np.zeros((2, 2), np.uint8), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(UnreadableImage, match="RedPaletteColorLookupTableDescriptor"):
        only_frame(data)


@pytest.mark.parametrize("as_bytes", [True, False])
def test_a_lookup_table_as_words_or_numbers(item: Item, *, as_bytes: bool) -> None:
    entries = [3, 70, 4095]
    data = words(*entries) if as_bytes else entries
    table = lookup_table(item(LUTDescriptor=[3, 1, 12], LUTData=data), signed=False, little=True)
    assert (table.first, table.bits) == (1, 12)
    assert table.apply(np.array([0, 1, 2, 3, 4])).tolist() == [3, 3, 70, 4095, 4095]


def test_a_table_whose_descriptor_claims_too_few_bits(item: Item) -> None:
    made = item(LUTDescriptor=[3, 0, 8], LUTData=[0, 2048, 4095])
    assert lookup_table(made, signed=False, little=True).bits == 12


@pytest.mark.parametrize(
    "values", [{}, {"LUTDescriptor": [3, 0, 12]}, {"LUTDescriptor": [3, 0, 12], "LUTData": [1]}]
)
def test_a_broken_lookup_table_is_refused(build: Build, item: Item, values: dict[str, Any]) -> None:
    pixels: NDArray[Any] = np.zeros((2, 2), np.uint16)
    data = build(pixels, ModalityLUTSequence=[item(**values)])
    with pytest.raises(UnreadableImage, match="LUT"):
        only_frame(data)
