"""pydicom's small CT, changed as a test wants it."""

from __future__ import annotations

from io import BytesIO

from pydicom import Dataset, dcmread
from pydicom.data import get_testdata_file


def ct(**changes: object) -> Dataset:
    """Return it with other values of some attributes, by their keywords."""
    dataset = dcmread(str(get_testdata_file("CT_small.dcm")))
    for keyword, value in changes.items():
        setattr(dataset, keyword, value)
    return dataset


def written(dataset: Dataset) -> bytes:
    """Return a data set as the bytes of a file."""
    file = BytesIO()
    dataset.save_as(file)
    return file.getvalue()
