"""Networks as objects, in our layout and, built from their descriptions, in the published ones."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from typing import Any

import numpy as np
import pydicom.uid
import pytest
import safetensors.numpy
from numpy.typing import NDArray
from pydicom import Dataset, FileMetaDataset, dcmwrite
from pydicom.uid import ImplicitVRLittleEndian

from preread.iodeep.iod import RAW_DATA_STORAGE, IODeep
from preread.iodeep.weights import Safetensors

DOCUMENT: dict[str, Any] = {
    "input_shape": {"input_shape0": "1", "input_shape1": "64", "input_shape2": "48"},
    "architecture": {"1": "cnn2d", "2": "output"},
    "data_format": "channels_first",
    "backend": "pytorch",
}
UID = pydicom.uid.UID("1.2.826.0.1.3680043.8.498.1234")

Build = Callable[..., bytes]
Make = Callable[..., IODeep]


@pytest.fixture
def arrays() -> dict[str, NDArray[np.float32]]:
    return {"1.weight": np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)}


@pytest.fixture
def weights(arrays: dict[str, NDArray[np.float32]]) -> bytes:
    return bytes(safetensors.numpy.save(arrays))


@pytest.fixture
def make(weights: bytes) -> Make:
    """Make a valid network, or one that differs from it."""

    def made(**changes: Any) -> IODeep:
        facts: dict[str, Any] = {
            "DnnUID": UID,
            "DnnName": "unet_mri",
            "DnnArchitecture": json.dumps(DOCUMENT),
            "DnnWeights": Safetensors(weights),
            "Modality": "MR",
            "BodyPartExamined": "HEAD",
            "SamplesPerPixel": 1,
            "PhotometricInterpretation": "MONOCHROME2",
            "Rows": 64,
            "Columns": 48,
        }
        return IODeep(**facts | changes)

    return made


@pytest.fixture
def prototype(weights: bytes) -> Build:
    """Build a file as the prototype writes it: no creator, wrong SOP Class, texts for numbers."""

    def built(
        architecture: str = str(DOCUMENT),
        weights: str = base64.b64encode(weights).decode(),
        tags: tuple[int, int, int, int] = (0x16, 0x18, 0x20, 0x22),
        **changes: Any,
    ) -> bytes:
        dataset = Dataset()
        dataset.SOPClassUID = dataset.SOPInstanceUID = UID
        dataset.StudyInstanceUID = dataset.SeriesInstanceUID = UID
        dataset.Modality = "MR"
        dataset.BodyPartExamined = "Head"
        dataset.PatientName = dataset.PatientID = None
        dataset.PhotometricInterpretation = "MONOCHROME2"
        dataset.add_new(0x00280002, "IS", "1")
        dataset.add_new(0x00280010, "IS", "64")
        dataset.add_new(0x00280011, "IS", "48")
        for number, vr, value in zip(
            tags,
            ("UT", "UT", "ST", "UI"),
            (architecture, weights, "unet_mri", UID),
            strict=True,
        ):
            dataset.add_new(0x00170000 | number, vr, value)
        for keyword, value in changes.items():
            if value is None:
                delattr(dataset, keyword)
            else:
                setattr(dataset, keyword, value)
        return written(dataset)

    return built


def written(dataset: Dataset) -> bytes:
    """Write a data set as it is, with the file meta of Raw Data."""
    dataset.file_meta = FileMetaDataset()
    dataset.file_meta.MediaStorageSOPClassUID = pydicom.uid.UID(RAW_DATA_STORAGE)
    dataset.file_meta.MediaStorageSOPInstanceUID = UID
    dataset.file_meta.TransferSyntaxUID = ImplicitVRLittleEndian
    dataset.preamble = b"\0" * 128
    file = io.BytesIO()
    dcmwrite(file, dataset, enforce_file_format=False, implicit_vr=True, little_endian=True)
    return file.getvalue()
