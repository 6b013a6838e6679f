"""What is true of a phantom, as JSON."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from preread.phantom.images import GENERATOR, NOTE, image_uid, series_uid, uid

if TYPE_CHECKING:
    from collections.abc import Sequence

    from preread.phantom.acquisition import Grid
    from preread.phantom.lesion import Lesion
    from preread.phantom.lesion_mask import LesionMask
    from preread.phantom.volume import Volume

_DECIMALS = 4


def truth(volume: Volume, masks: Sequence[LesionMask]) -> str:
    """Write what is true of a phantom.

    Lengths are in mm, volumes in cubic mm, positions in patient coordinates (left, back, head);
    positions in voxels are column, row and slice, from 0. `MaskCentre` and `MaskVolume` are those
    of the voxels of the segmentation, `Centre` and `Volume` those of the shape that was imaged.

    Parameters
    ----------
    volume
        The phantom.
    masks
        Of its lesions, in their order.

    Returns
    -------
    str
        JSON that ends with a line feed.
    """
    grid = volume.grid
    pairs = zip(volume.lesions, masks, strict=True)
    content = {
        "Synthetic": True,
        "Note": NOTE,
        "Generator": GENERATOR,
        "Kind": volume.kind.value,
        "Seed": volume.seed,
        "SliceThickness": grid.slice_thickness,
        "Kernel": volume.kernel,
        "Size": grid.size,
        "PixelSpacing": grid.pixel_spacing,
        "Slices": grid.slices,
        "StudyInstanceUID": uid(volume, "study"),
        "SeriesInstanceUID": series_uid(volume, "series"),
        "FrameOfReferenceUID": uid(volume, "frame of reference"),
        "Lesions": [
            {"Number": number, **_facts(lesion), **_voxels(volume, grid, lesion, mask)}
            for number, (lesion, mask) in enumerate(pairs, start=1)
        ],
    }
    return json.dumps(content, indent=2) + "\n"


def _facts(lesion: Lesion) -> dict[str, Any]:
    return {
        "Centre": _rounded((lesion.x, lesion.y, lesion.z)),
        "Diameter": round(lesion.diameter, _DECIMALS),
        "Volume": round(lesion.volume, _DECIMALS),
        "Density": lesion.density,
        "CoreDiameter": round(lesion.core_diameter, _DECIMALS),
        "Calcified": lesion.calcified,
        "Spiculation": lesion.spiculation,
        "Malignant": lesion.malignant,
        "Value": round(lesion.value, 1),
        "CoreValue": round(lesion.core_value, 1) if lesion.core else None,
    }


def _voxels(volume: Volume, grid: Grid, lesion: Lesion, mask: LesionMask) -> dict[str, Any]:
    shown = [
        number for number, plane in enumerate(mask.box, start=mask.slices.start) if plane.any()
    ]
    return {
        "CentreInVoxels": _rounded(grid.voxel(lesion.x, lesion.y, lesion.z)),
        "MaskCentre": _rounded(mask.centre(grid)),
        "MaskVolume": round(mask.voxels * grid.voxel_volume, _DECIMALS),
        "Voxels": mask.voxels,
        "SOPInstanceUIDs": [image_uid(volume, number) for number in shown],
    }


def _rounded(position: tuple[float, float, float]) -> list[float]:
    return [round(float(value), _DECIMALS) for value in position]
