"""Text in overlay bitmaps goes, drawings stay."""

from __future__ import annotations

from io import BytesIO
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom import dcmread
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.pixels.cleaning import PixelCleaner
from preread.deidentify.pixels.policy import Look
from tests.unit.deidentify.pixels.planting import file_of, plant, read_by_tesseract


def with_overlay(planes: NDArray[np.uint8], syntax: UID, vr: str = "OW", **more: Any) -> bytes:
    dataset = dcmread(BytesIO(file_of(np.zeros((1, 8, 8), np.uint8), syntax=syntax)))
    packed = np.packbits(planes.ravel(), bitorder="little")
    packed = np.pad(packed, (0, len(packed) % 2))
    if syntax == ExplicitVRBigEndian and vr == "OW":
        packed = packed.view(np.uint16).byteswap().view(np.uint8)
    dataset.add_new(0x60020010, "US", planes.shape[1])
    dataset.add_new(0x60020011, "US", planes.shape[2])
    dataset.add_new(0x60020015, "IS", len(planes))
    dataset.add_new(0x60020040, "CS", "G")
    dataset.add_new(0x60023000, vr, packed.tobytes())
    for tag, value in more.items():
        dataset[int(tag[1:], 16)].value = value
    buffer = BytesIO()
    dataset.save_as(buffer)
    return buffer.getvalue()


def planes_of(data: bytes) -> NDArray[np.uint8]:
    dataset = dcmread(BytesIO(data))
    value = np.frombuffer(dataset[0x6002, 0x3000].value, np.uint8)
    if not dataset.original_encoding[1] and dataset[0x6002, 0x3000].VR == "OW":
        value = value.view(np.uint16).byteswap().view(np.uint8)
    shape = (
        dataset[0x6002, 0x0015].value,
        dataset[0x6002, 0x10].value,
        dataset[0x6002, 0x11].value,
    )
    bits = np.unpackbits(value, bitorder="little")
    return bits[: int(np.prod(shape))].reshape(shape)


@pytest.mark.parametrize(
    ("syntax", "vr"),
    [(ExplicitVRLittleEndian, "OW"), (ExplicitVRLittleEndian, "OB"), (ExplicitVRBigEndian, "OW")],
)
def test_text_is_blanked_in_each_plane(cleaner: PixelCleaner, syntax: UID, vr: str) -> None:
    planes = np.zeros((2, 301, 303), np.uint8)
    y, x = np.mgrid[:301, :303]
    planes[:, np.abs(np.hypot(y - 210, x - 150) - 70) < 1.2] = 1  # a ring around a finding
    drawn = planes.copy()
    plant(planes[0], "JOHANSSON", (30, 40), size=22, value=1, smooth=False)
    plant(planes[1], "KOWALSKI", (70, 90), size=18, value=1, smooth=False)
    assert "JOHANSSON" in read_by_tesseract(planes[0])
    result = cleaner.clean(with_overlay(planes, syntax, vr), Look.OVERLAYS)
    after = planes_of(result.data)
    np.testing.assert_array_equal(after, drawn)
    assert result.boxes >= 2
    dataset = dcmread(BytesIO(result.data))
    assert [i.CodeValue for i in dataset.DeidentificationMethodCodeSequence] == ["113103"]
    assert dataset.BurnedInAnnotation == "YES", "the pixels have not been looked at"


def test_an_overlay_without_text_keeps_its_bytes(cleaner: PixelCleaner) -> None:
    planes = np.zeros((1, 300, 300), np.uint8)
    planes[0, 100:200, 100:102] = 1
    data = with_overlay(planes, ExplicitVRLittleEndian)
    result = cleaner.clean(data, Look.OVERLAYS)
    assert result.boxes == 0
    np.testing.assert_array_equal(planes_of(result.data), planes)


@pytest.mark.parametrize("change", [{"t60020010": 9000}, {"t60020011": 0}, {"t60020015": None}])
def test_an_overlay_that_cannot_be_read_is_refused(
    cleaner: PixelCleaner, change: dict[str, Any]
) -> None:
    data = with_overlay(np.zeros((2, 64, 64), np.uint8), ExplicitVRLittleEndian, **change)
    if change.get("t60020015", 1) is None:  # one frame then, of which there are bits enough
        cleaner.clean(data, Look.OVERLAYS)
        return
    with pytest.raises(DeidentificationError, match="6002"):
        cleaner.clean(data, Look.OVERLAYS)
