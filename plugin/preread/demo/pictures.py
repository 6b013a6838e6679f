"""The computed chest as pictures: what models that were made for pictures can be asked of."""

from __future__ import annotations

from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Final
from uuid import NAMESPACE_OID, uuid5

import numpy as np
import pydicom
from numpy.typing import NDArray
from PIL import Image as PillowImage
from pydicom.dataset import Dataset
from pydicom.uid import UID

from preread.imaging.display import Window
from preread.imaging.secondary_capture import secondary_capture

WINDOW: Final = Window(center=175, width=350)
"""In Hounsfield units: grey levels come nearest to those of the models' training pictures."""
_LARGEST: Final = 2**24


def write_pictures(slices: Iterable[Path]) -> list[Path]:
    """Write each slice of a CT as a Secondary Capture beside it, in the same study.

    Parameters
    ----------
    slices
        Files of `preread.demo.phantom.write_chest_series`.

    Returns
    -------
    list of pathlib.Path
        One per slice, in a series of their own.
    """
    paths = []
    for path in slices:
        picture = _picture(pydicom.dcmread(path))
        place = path.with_name(f"{path.stem}-picture.dcm")
        picture.save_as(place, enforce_file_format=True)
        paths.append(place)
    return paths


def _picture(source: Dataset) -> Dataset:
    hounsfield = source.pixel_array * float(source.RescaleSlope) + float(source.RescaleIntercept)
    tags = {
        "PatientID": str(source.PatientID),
        "PatientName": str(source.PatientName),
        "StudyInstanceUID": str(source.StudyInstanceUID),
        "SeriesInstanceUID": _uid(source.SeriesInstanceUID),
        "SOPInstanceUID": _uid(source.SOPInstanceUID),
        "StudyDate": str(source.StudyDate),
        "StudyTime": str(source.StudyTime),
        "StudyDescription": str(source.StudyDescription),
        "SeriesDescription": "Synthetic chest as pictures",
        "SeriesNumber": 2,
        "InstanceNumber": int(source.InstanceNumber),
        "Modality": str(source.Modality),
        "BodyPartExamined": str(source.BodyPartExamined),
    }
    made = secondary_capture(_png(hounsfield), max_bytes=_LARGEST, tags=tags)
    picture = pydicom.dcmread(BytesIO(made))
    picture.SyntheticData = "YES"
    return picture


def _png(hounsfield: NDArray[np.float64]) -> bytes:
    shown = np.rint(255 * WINDOW.apply(hounsfield.astype(np.float32))).astype(np.uint8)
    buffer = BytesIO()
    PillowImage.fromarray(shown).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def _uid(of: str) -> str:
    """Give the UID of what a picture of an object has in its place, the same each time."""
    return UID(f"2.25.{uuid5(NAMESPACE_OID, f'preread picture of {of}').int}")
