"""An image that was looked at, without its pixels: what an object beside it needs to know of it."""

from __future__ import annotations

from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

import pydicom

from preread.elements import resource_ids
from preread.errors import PrereadError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.archive.pacs import Pacs
    from preread.elements import ResourceIds
    from preread.runner.writing import Deidentifies


class ProposalError(PrereadError):
    """A proposal cannot be made, and another try would not change that."""


@dataclass(frozen=True, slots=True, eq=False)
class SourceImage:
    """An image that was looked at.

    Attributes
    ----------
    instance, generation
        Orthanc's id of it as it arrived, and the arrival that was looked at.
    original
        Its header as it arrived.
    shown
        That of the image beside which what was found will lie: the same, or the de-identified copy.
    """

    instance: str
    generation: int
    original: Dataset
    shown: Dataset


def source_image(
    instance: str, generation: int, data: bytes, copies: Deidentifies | None = None
) -> SourceImage:
    """Take from an image's file what an object beside it needs.

    Parameters
    ----------
    instance, generation
        Orthanc's id of it, and the arrival of these bytes.
    data
        The file, as Orthanc has it under that id.
    copies
        In mode ``copy``: tells which object is its copy. None in other modes.

    Raises
    ------
    preread.errors.PrereadError
        If it cannot be read, or no copy can be made of it.
    """
    original = _header(data)
    shown = original if copies is None else _header(copies.deidentify(data).data)
    return SourceImage(instance, generation, original, shown)


def _header(data: bytes) -> Dataset:
    try:
        return pydicom.dcmread(BytesIO(data), stop_before_pixels=True, force=True)
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever the bytes provoke
        raise ProposalError(f"its header cannot be read ({type(error).__name__})") from None


def ids_of(header: Dataset) -> ResourceIds:
    """Return the ids that Orthanc files an object under."""
    return resource_ids(
        str(header.get("PatientID") or ""),
        str(header.StudyInstanceUID),
        str(header.SeriesInstanceUID),
        str(header.SOPInstanceUID),
    )


def can_lie_beside(source: SourceImage, pacs: Pacs, *, in_copy: bool) -> bool:
    """Tell whether an object can be stored beside an image; False if that was deleted.

    Parameters
    ----------
    source
        The first of the images that the object tells of.
    pacs
        Orthanc.
    in_copy
        Whether the object lies beside a copy of the image.

    Raises
    ------
    ProposalError
        If the copy is not there, or the object would be filed under another id than announced.
    preread.archive.pacs.PacsError
        If Orthanc does not answer or fails.
    """
    shown = ids_of(source.shown).instance
    if not in_copy and shown != source.instance:
        # Orthanc reads its PatientID in another way than we do, and would file the object under
        # an id that nobody announced.
        raise ProposalError(
            "its identifiers are in a character set in which proposals cannot be filed"
        )
    there = pacs.exists(shown)
    if in_copy and not there:
        raise ProposalError(
            "the de-identified copy, beside which the proposal belongs, is not there"
        )
    return there
