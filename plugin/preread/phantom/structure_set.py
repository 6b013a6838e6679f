"""A phantom's lesions as RT Structure Set Storage (PS3.3 A.19): contours on each slice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from pydicom.uid import UID, RTStructureSetStorage
from pydicom.valuerep import format_number_as_ds

from preread.phantom.images import (
    DATE,
    NOTE,
    TIME,
    describe,
    image_uid,
    new_instance,
    series_uid,
    uid,
)
from preread.results.structure_set import ImagePlane
from preread.results.structure_set.sequences import (
    closed_contours,
    frame_of_reference,
    image_reference,
    observation,
    region_of_interest,
    roi_contours,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydicom.dataset import Dataset

    from preread.phantom.lesion_mask import LesionMask
    from preread.phantom.volume import Volume

_COLOUR: Final = (255, 0, 0)


def structure_set(volume: Volume, masks: Sequence[LesionMask], image_class: UID) -> Dataset:
    """Make the structure set of all lesions.

    Parameters
    ----------
    volume
        The phantom.
    masks
        Of its lesions, in their order.
    image_class
        The SOP Class of its slices.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.
    """
    dataset = new_instance(RTStructureSetStorage, series_uid(volume, "structure set"))
    describe(dataset, volume)
    dataset.Modality = "RTSTRUCT"
    dataset.SeriesInstanceUID = series_uid(volume, "series of structure set")
    dataset.SeriesNumber = 3
    dataset.SeriesDescription = "Synthetic truth, contours"
    dataset.InstanceNumber = 1
    dataset.OperatorsName = ""
    dataset.StructureSetLabel = "SYNTHETIC"
    dataset.StructureSetName = "Synthetic truth"
    dataset.StructureSetDescription = NOTE
    dataset.StructureSetDate, dataset.StructureSetTime = DATE, TIME
    dataset.ApprovalStatus = "UNAPPROVED"
    numbers = range(1, len(masks) + 1)
    frame = uid(volume, "frame of reference")
    dataset.ReferencedFrameOfReferenceSequence = [
        frame_of_reference(
            frame,
            uid(volume, "study"),
            series_uid(volume, "series"),
            (_reference(volume, number, image_class) for number in range(volume.grid.slices)),
        )
    ]
    dataset.StructureSetROISequence = [_roi(volume, number, frame) for number in numbers]
    dataset.ROIContourSequence = [
        _contours(volume, number, mask, image_class) for number, mask in enumerate(masks, start=1)
    ]
    dataset.RTROIObservationsSequence = [observation(number) for number in numbers]
    return dataset


def _reference(volume: Volume, number: int, image_class: UID) -> Dataset:
    return image_reference(image_class, image_uid(volume, number))


def _roi(volume: Volume, number: int, frame: str) -> Dataset:
    roi = region_of_interest(number, frame, f"Synthetic lesion {number}", generation=NOTE)
    roi.ROIVolume = format_number_as_ds(round(volume.lesions[number - 1].volume / 1000, 6))  # ml
    return roi


def _contours(volume: Volume, number: int, mask: LesionMask, image_class: UID) -> Dataset:
    contours = (
        contour
        for slice_ in range(mask.slices.start, mask.slices.stop)
        for line in mask.contours(slice_)
        for contour in closed_contours(
            line, _plane(volume, slice_), _reference(volume, slice_, image_class)
        )
    )
    return roi_contours(number, _COLOUR, contours)


def _plane(volume: Volume, slice_: int) -> ImagePlane:
    spacing = volume.grid.pixel_spacing
    corner = np.array(volume.grid.position(0, 0, slice_))
    return ImagePlane(corner, np.array([1.0, 0, 0]), np.array([0, 1.0, 0]), spacing, spacing)
