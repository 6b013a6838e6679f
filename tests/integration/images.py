"""CT series for tests, from pydicom's packaged real CT, with planted identifiers."""

from __future__ import annotations

import copy
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pydicom
from pydicom.data import get_testdata_file
from pydicom.dataset import Dataset
from pydicom.sequence import Sequence
from pydicom.uid import generate_uid

PLANTED = (
    "PLANTEDNAME",
    "PLANTEDID77",
    "PLANTEDSTREET",
    "PLANTEDDOCTOR",
    "PLANTEDPLACE",
    "PLANTEDNOTE",
    "PLANTEDNEST",
    "PLANTEDPRIV",
    "19441231",
    "PLANTEDACC",
    "PLANTEDAE",
)


@dataclass
class Series:
    """The files of one series, and what identifies it."""

    files: list[Path] = field(default_factory=list)
    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    uids: list[str] = field(default_factory=list)


def real_ct() -> Dataset:
    """Return pydicom's packaged real CT."""
    return pydicom.dcmread(str(get_testdata_file("CT_small.dcm")))


def plant(dataset: Dataset) -> None:
    """Put values that must never be found again into attributes of many kinds."""
    dataset.PatientName = "PLANTEDNAME^Jane"
    dataset.PatientID = "PLANTEDID77"
    dataset.PatientBirthDate = "19441231"
    dataset.PatientAddress = "PLANTEDSTREET 1"
    dataset.ReferringPhysicianName = "PLANTEDDOCTOR^John"
    dataset.InstitutionName = "PLANTEDPLACE"
    dataset.AccessionNumber = "PLANTEDACC"
    dataset.StudyDescription = "PLANTEDNOTE thorax"
    item = Dataset()
    item.PatientComments = "PLANTEDNEST"
    item.PersonName = "PLANTEDNEST^X"
    outer = Dataset()
    outer.ReferencedStudySequence = Sequence([item])
    dataset.RequestAttributesSequence = Sequence([outer])
    block = dataset.private_block(0x0099, "PLANTEDPRIV", create=True)
    block.add_new(0x01, "LO", "PLANTEDPRIV value")


def ct_series(
    folder: Path,
    count: int,
    *,
    size: int = 128,
    patient: str | None = None,
    planted: bool = True,
    seed: int = 0,
) -> Series:
    """Write a series of `count` slices, `size` pixels square, each with pixels of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    template = real_ct()
    series = Series(StudyInstanceUID=generate_uid(), SeriesInstanceUID=generate_uid())
    series.uids += [series.StudyInstanceUID, series.SeriesInstanceUID]
    random = np.random.default_rng(seed)
    tile = -(-size // template.Rows)
    pixels = np.tile(template.pixel_array, (tile, tile))[:size, :size]
    for number in range(count):
        dataset = copy.deepcopy(template)
        if planted:
            plant(dataset)
        if patient is not None:
            dataset.PatientID = patient
        dataset.BodyPartExamined = "CHEST"
        dataset.StudyInstanceUID = series.StudyInstanceUID
        dataset.SeriesInstanceUID = series.SeriesInstanceUID
        dataset.SOPInstanceUID = generate_uid()
        dataset.file_meta.MediaStorageSOPInstanceUID = dataset.SOPInstanceUID
        dataset.file_meta.SourceApplicationEntityTitle = "PLANTEDAE"
        dataset.InstanceNumber = number + 1
        dataset.Rows = dataset.Columns = size
        noise = random.integers(0, 50, pixels.shape, dtype=np.int16)
        dataset.PixelData = (pixels + noise).astype(np.int16).tobytes()
        if "DataSetTrailingPadding" in dataset:
            del dataset.DataSetTrailingPadding
        file = folder / f"{number:04}.dcm"
        dataset.save_as(file, enforce_file_format=True)
        series.files.append(file)
        series.uids.append(dataset.SOPInstanceUID)
    return series
