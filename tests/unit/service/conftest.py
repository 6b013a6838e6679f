"""A service with a network that sees what is bright, and images to send to it."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import dcmread
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.uid import ExplicitVRLittleEndian, generate_uid
from starlette.testclient import TestClient

from preread.iodeep.opening import WeightsFolder
from preread.iodeep.prediction import Predictor
from preread.iodeep.writing import encode
from preread.service.application import Offer, application
from preread.service.networks import FolderNetworks
from tests.unit.iodeep.toy_networks import pointwise

UID = "1.2.826.0.1.3680043.8.498.77"
SERIES = generate_uid()

Serve = Callable[..., TestClient]


def image(number: int = 1, **changes: Any) -> bytes:
    """Make a CT slice of 32 x 48 pixels of 0.5 x 0.5 mm, with a bright square."""
    dataset: Dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    pixels = np.zeros((32, 48), np.int16)
    pixels[4:12, 20 + number : 28 + number] = 1000
    dataset.Rows, dataset.Columns = pixels.shape
    dataset.PixelData = pixels.tobytes()
    dataset.RescaleSlope, dataset.RescaleIntercept = 1, 0
    dataset.PixelSpacing = [0.5, 0.5]
    dataset.SeriesInstanceUID = SERIES
    dataset.SOPInstanceUID = f"{UID}.{number}"
    dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
    dataset.ImagePositionPatient = [-10, -20, number]
    dataset.file_meta.TransferSyntaxUID = ExplicitVRLittleEndian
    for keyword, value in changes.items():
        if value is None:
            delattr(dataset, keyword)
        else:
            setattr(dataset, keyword, value)
    file = io.BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def related(*files: bytes, kind: bytes = b"application/dicom") -> tuple[bytes, dict[str, str]]:
    """Give a body of multipart/related, and the header that goes with it."""
    parts = [b"--edge\r\nContent-Type: " + kind + b"\r\n\r\n" + file + b"\r\n" for file in files]
    header = {"Content-Type": 'multipart/related; type="application/dicom"; boundary=edge'}
    return b"".join(parts) + b"--edge--", header


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Make the folder of networks, with one."""
    made = tmp_path / "networks"
    made.mkdir()
    sees = pointwise(32, 48, WindowCenter=500.0, WindowWidth=1000.0)
    (made / "bright.dcm").write_bytes(encode(sees))
    return made


@pytest.fixture
def serve(folder: Path, tmp_path: Path) -> Serve:
    def served(**offer: Any) -> TestClient:
        predictor = Predictor(WeightsFolder(tmp_path))
        made = application(FolderNetworks(folder), predictor, Offer(**offer))
        return TestClient(made, raise_server_exceptions=False)

    return served
