"""The files that the benchmarks use: CT slices of 512x512 with a header of 258 elements, or 79."""

from __future__ import annotations

import copy
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.datadict import (  # type: ignore[attr-defined]  # public by pydicom's own manual
    DicomDictionary,
    keyword_for_tag,
)
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid

ELEMENTS = 258
FEW_ELEMENTS = 79
"""Of the same header without its private ones: about what a slice of a public archive has."""
_VALUES = {
    "AE": "STATION", "AS": "044Y", "CS": "VALUE", "DA": "20261121", "DS": "1.5", "IS": "7",
    "LO": "A text of the usual length", "PN": "Doe^Jane", "SH": "SHORT", "ST": "A short text",
    "LT": "A longer text", "TM": "092352", "DT": "20261121092352", "UI": "1.2.3.4", "US": 3,
    "UL": 5, "FD": 2.5, "FL": 2.5, "SS": -3, "SL": -5,
}  # fmt: skip


def template(size: int = 512, elements: int = ELEMENTS) -> Dataset:
    """Return pydicom's packaged real CT, enlarged and with a header as scanners write them.

    Parameters
    ----------
    size
        Rows and columns.
    elements
        `ELEMENTS`, or `FEW_ELEMENTS` for a header without private ones.
    """
    dataset = pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))
    tile = -(-size // dataset.Rows)
    pixels = np.tile(dataset.pixel_array, (tile, tile))[:size, :size].astype(np.int16)
    dataset.Rows = dataset.Columns = size
    dataset.PixelData = pixels.tobytes()
    dataset.BodyPartExamined = "CHEST"
    dataset.pop("DataSetTrailingPadding", None)
    if elements == FEW_ELEMENTS:
        dataset.remove_private_tags()
    for tag in sorted(DicomDictionary):
        if len(dataset) >= elements:
            break
        vr, keyword = DicomDictionary[tag][0], keyword_for_tag(tag)
        if 0x00080000 <= tag < 0x00280000 and vr in _VALUES and keyword and keyword not in dataset:
            setattr(dataset, keyword, _VALUES[vr])
    return dataset


def write_series(folder: Path, count: int, size: int = 512, elements: int = ELEMENTS) -> list[Path]:
    """Write a series of `count` slices, each with pixels of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    dataset, random, files = template(size, elements), np.random.default_rng(0), []
    pixels = dataset.pixel_array
    study, series = generate_uid(), generate_uid()
    for number in range(count):
        one = copy.copy(dataset)
        one.file_meta = copy.copy(dataset.file_meta)
        one.StudyInstanceUID, one.SeriesInstanceUID = study, series
        one.SOPInstanceUID = one.file_meta.MediaStorageSOPInstanceUID = generate_uid()
        one.InstanceNumber = number + 1
        noise = random.integers(0, 60, pixels.shape, dtype=np.int16)
        one.PixelData = (pixels + noise).tobytes()
        files.append(folder / f"{number:04}.dcm")
        one.save_as(files[-1], enforce_file_format=True)
    return files
