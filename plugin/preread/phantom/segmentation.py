"""A phantom's lesions as Segmentation Storage (PS3.3 A.51): the voxels of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import numpy as np
from highdicom import AlgorithmIdentificationSequence
from highdicom.seg import Segmentation, SegmentDescription
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from preread.phantom.acquisition import Kind
from preread.phantom.images import (
    DATE,
    GENERATOR,
    MANUFACTURER,
    MODEL_NAME,
    NOTE,
    TIME,
    describe,
    series_uid,
    uid,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.phantom.lesion_mask import LesionMask
    from preread.phantom.volume import Volume

_CATEGORY: Final = Code("49755003", "SCT", "Morphologically Abnormal Structure")
_NODULE: Final = Code("27925004", "SCT", "Nodule")
_LESION: Final = Code("52988006", "SCT", "Lesion")
_LUNG: Final = Code("39607008", "SCT", "Lung")
_BRAIN: Final = Code("12738006", "SCT", "Brain")
_FAMILY: Final = Code("PHANTOM", "99PREREAD", "Truth of a computed phantom")


def segmentation(volume: Volume, masks: Sequence[LesionMask], images: Sequence[Dataset]) -> Dataset:
    """Make the segmentation of all lesions, one segment each.

    Parameters
    ----------
    volume
        The phantom.
    masks
        Of its lesions, in their order.
    images
        Its slices in their order; pixel data is not needed.

    Returns
    -------
    pydicom.Dataset
        With file meta information, Explicit VR Little Endian.
    """
    labels = volume.labels(masks)
    # Slices without a lesion would be left out in any case, but after much work.
    shown = [int(number) for number in np.flatnonzero(labels.any(axis=(1, 2)))]
    descriptions = [_description(volume, number) for number in range(1, len(masks) + 1)]
    dataset: Dataset = Segmentation(
        source_images=[images[number] for number in shown],
        pixel_array=labels[shown],
        segmentation_type="BINARY",
        segment_descriptions=descriptions,
        series_instance_uid=series_uid(volume, "series of segmentation"),
        series_number=2,
        sop_instance_uid=series_uid(volume, "segmentation"),
        instance_number=1,
        manufacturer=MANUFACTURER,
        manufacturer_model_name=MODEL_NAME,
        software_versions=GENERATOR,
        device_serial_number="1",
        content_label="SYNTHETIC",
        content_description=NOTE,
        content_creator_name="Synthetic^Phantom",
        series_description="Synthetic truth, voxels",
    )
    describe(dataset, volume)
    dataset.ContentDate, dataset.ContentTime = DATE, TIME
    # The library draws it at random and takes the time of day: the same seed makes the same file.
    dimensions = series_uid(volume, "dimensions")
    dataset.DimensionOrganizationSequence[0].DimensionOrganizationUID = dimensions
    for item in dataset.DimensionIndexSequence:
        item.DimensionOrganizationUID = dimensions
    for item in dataset.get("ContributingEquipmentSequence", []):
        item.ContributionDateTime = DATE + TIME
    return dataset


def _description(volume: Volume, number: int) -> SegmentDescription:
    chest = volume.kind is Kind.CHEST
    return SegmentDescription(
        segment_number=number,
        segment_label=f"Synthetic lesion {number}",
        segmented_property_category=_CATEGORY,
        segmented_property_type=_NODULE if chest else _LESION,
        algorithm_type="AUTOMATIC",
        algorithm_identification=AlgorithmIdentificationSequence(
            name=MODEL_NAME, family=_FAMILY, version=GENERATOR
        ),
        tracking_uid=uid(volume, "lesion", str(number)),
        tracking_id=f"Synthetic {volume.kind} {volume.seed} lesion {number}",
        anatomic_regions=[_LUNG if chest else _BRAIN],
    )
