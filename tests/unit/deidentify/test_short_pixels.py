"""Pixel data that end within a frame crash those who show it: such a file is refused."""

from __future__ import annotations

from io import BytesIO

import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file

from preread.deidentify import DeidentificationError, Deidentifier


def image(**changes: object) -> bytes:
    """Return an uncompressed image with other attributes."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()


WHOLE = 128 * 128 * 2


@pytest.mark.parametrize(
    "changes",
    [
        {"PixelData": bytes(WHOLE - 2)},
        {"PixelData": b""},
        {"PixelData": bytes(WHOLE), "NumberOfFrames": 2},
        {"PixelData": bytes(2 * WHOLE - 2), "NumberOfFrames": 2},
        {"Rows": 129},
        {"BitsAllocated": 32},
        {"SamplesPerPixel": 3, "PhotometricInterpretation": "RGB"},
        {"BitsAllocated": 1, "PixelData": bytes(WHOLE // 16 - 2)},
    ],
)
def test_native_pixel_data_shorter_than_its_frames_is_refused(
    deidentifier: Deidentifier, changes: dict[str, object]
) -> None:
    with pytest.raises(DeidentificationError, match="shorter than its frames"):
        deidentifier.deidentify(image(**changes))


def test_float_pixel_data_too(deidentifier: Deidentifier) -> None:
    dataset = dcmread(BytesIO(image(BitsAllocated=32)))
    del dataset.PixelData
    dataset.FloatPixelData = bytes(2 * WHOLE - 4)
    file = BytesIO()
    dataset.save_as(file)
    with pytest.raises(DeidentificationError, match="shorter than its frames"):
        deidentifier.deidentify(file.getvalue())


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"BitsAllocated": 1, "PixelData": bytes(WHOLE // 16)},
        {"Rows": 3, "Columns": 3, "BitsAllocated": 8, "PixelData": bytes(10)},
        {"Rows": 3, "Columns": 3, "BitsAllocated": 1, "NumberOfFrames": 5, "PixelData": bytes(6)},
        {"Rows": 3, "Columns": 3, "BitsAllocated": 1, "NumberOfFrames": 5, "PixelData": bytes(10)},
        {
            "PixelData": bytes(WHOLE),
            "BitsAllocated": 8,
            "SamplesPerPixel": 3,
            "PhotometricInterpretation": "YBR_FULL_422",
        },
    ],
)
def test_whole_frames_pass(deidentifier: Deidentifier, changes: dict[str, object]) -> None:
    deidentifier.deidentify(image(**changes))
