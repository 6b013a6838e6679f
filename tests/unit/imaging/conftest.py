"""Files to open: pydicom's own, and ones built to show a single case."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import UID, CTImageStorage, ExplicitVRLittleEndian, generate_uid

from preread.imaging import Frame, open_image

LARGEST = 2**28


def packaged(name: str) -> bytes:
    """Read one of the files that come with pydicom."""
    path = get_testdata_file(name, download=False)
    assert isinstance(path, str | Path), f"pydicom does not come with {name}"
    return Path(path).read_bytes()


def only_frame(data: bytes) -> Frame:
    """Open an image of one frame."""
    (frame,) = open_image(data, max_bytes=LARGEST).frames
    return frame


class Build:
    """Writes DICOM files of the tests' own."""

    def __call__(
        self, pixels: NDArray[Any] | None, syntax: str = ExplicitVRLittleEndian, **values: Any
    ) -> bytes:
        """Write a grey image, or what `values` make of it; None leaves an attribute out."""
        dataset = Dataset()
        dataset.file_meta = FileMetaDataset()
        dataset.file_meta.TransferSyntaxUID = UID(syntax)
        dataset.SOPClassUID = CTImageStorage
        dataset.SOPInstanceUID = generate_uid(prefix=None)
        dataset.Modality = "CT"
        if pixels is not None:
            self.describe(dataset, pixels)
        for keyword, value in values.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        return self.written(dataset)

    def describe(self, dataset: Dataset, pixels: NDArray[Any]) -> None:
        bits = pixels.dtype.itemsize * 8
        dataset.SamplesPerPixel = 1
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.Rows, dataset.Columns = pixels.shape[-2:]
        if pixels.ndim == 3:
            dataset.NumberOfFrames = pixels.shape[0]
        dataset.BitsAllocated = dataset.BitsStored = bits
        dataset.HighBit = bits - 1
        dataset.PixelRepresentation = int(pixels.dtype.kind == "i")
        raw = pixels.tobytes()
        dataset.PixelData = raw + b"\0" * (len(raw) % 2)
        dataset["PixelData"].VR = "OB" if bits == 8 else "OW"

    def written(self, dataset: Dataset) -> bytes:
        file = BytesIO()
        dataset.save_as(file, enforce_file_format=True)
        return file.getvalue()


@pytest.fixture(scope="session")
def build() -> Build:
    return Build()


@pytest.fixture(scope="session")
def item() -> Callable[..., Dataset]:
    def _item(**values: Any) -> Dataset:
        dataset = Dataset()
        for keyword, value in values.items():
            if keyword == "LUTData":
                # US or OW: pydicom leaves the choice to the writer.
                dataset.add_new(keyword, "OW" if isinstance(value, bytes) else "US", value)
            else:
                setattr(dataset, keyword, value)
        return dataset

    return _item


@pytest.fixture(scope="session")
def ramp() -> NDArray[np.int16]:
    return np.arange(-2000, 2096, dtype=np.int16).reshape(64, 64)
