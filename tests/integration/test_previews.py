"""The plugins that ship beside Preread: none of them ends Orthanc when somebody asks for pixels."""

from __future__ import annotations

from collections.abc import Callable
from io import BytesIO
from pathlib import Path
from typing import Any

import json5
import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset, FileMetaDataset
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEGLSLossless,
    SecondaryCaptureImageStorage,
    generate_uid,
)

from tests.integration.pacs import ROOT, Pacs


def capture() -> Dataset:
    """Return a picture of 16 x 16 without pixels."""
    meta = FileMetaDataset()
    meta.TransferSyntaxUID = ExplicitVRLittleEndian
    dataset = Dataset()
    dataset.file_meta = meta
    dataset.SOPClassUID = meta.MediaStorageSOPClassUID = SecondaryCaptureImageStorage
    dataset.SOPInstanceUID = meta.MediaStorageSOPInstanceUID = generate_uid()
    dataset.StudyInstanceUID, dataset.SeriesInstanceUID = generate_uid(), generate_uid()
    dataset.PatientID, dataset.Modality = "nobody", "OT"
    dataset.Rows = dataset.Columns = 16
    dataset.SamplesPerPixel, dataset.PixelRepresentation = 1, 0
    dataset.PhotometricInterpretation = "MONOCHROME2"
    dataset.BitsAllocated, dataset.BitsStored, dataset.HighBit = 16, 8, 7
    return dataset


def eight_of_sixteen() -> Dataset:
    dataset = capture()
    dataset.compress(JPEGLSLossless, np.arange(256, dtype=np.uint16).reshape(16, 16))
    return dataset


def odd_palette() -> Dataset:
    dataset = capture()
    dataset.PhotometricInterpretation = "PALETTE COLOR"
    dataset.BitsAllocated = 8
    dataset.PixelData = bytes(range(256))
    for colour in ("Red", "Green", "Blue"):
        setattr(dataset, f"{colour}PaletteColorLookupTableDescriptor", [256, 0, 8])
        setattr(dataset, f"{colour}PaletteColorLookupTableData", bytes(512))
    return dataset


def run_length() -> Dataset:
    return pydicom.dcmread(str(get_testdata_file("MR_small_RLE.dcm")))


def encoded(dataset: Dataset) -> bytes:
    file = BytesIO()
    dataset.save_as(file, enforce_file_format=True)
    return file.getvalue()


def plugins_of(configuration: Path) -> list[str]:
    """Return the plugins that a shipped configuration loads beside Preread."""
    content: dict[str, Any] = json5.loads(configuration.read_text(encoding="utf-8"))
    return [path for path in content["Plugins"] if "Python" not in path]


def test_pixels_that_cannot_be_shown_end_nothing(make_pacs: Callable[..., Pacs]) -> None:
    shipped = plugins_of(ROOT / "orthanc.json")
    assert shipped == plugins_of(ROOT / "plugin" / "docker" / "orthanc.json")
    pacs = make_pacs(None, configuration={"Plugins": shipped}).start()
    transcoded = {"Transcode": ExplicitVRLittleEndian, "Keep": ["SOPInstanceUID"], "Force": True}
    for dataset in (eight_of_sixteen(), odd_palette(), run_length()):
        instance = pacs.upload(encoded(dataset)).json()["ID"]
        for path in ("preview", "rendered", "image-uint8", "frames/0/preview"):
            answer = pacs.http.get(f"/instances/{instance}/{path}")
            assert answer.status_code in (200, 415), path
        answer = pacs.http.post(f"/instances/{instance}/modify", json=transcoded)
        assert answer.status_code in (200, 500), "it is transcoded, or it is said that it cannot be"
    assert len(pacs.instances()) == 3
