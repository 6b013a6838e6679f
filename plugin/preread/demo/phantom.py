"""The computed chest that the demonstration sends: slices of `preread phantom`, 5 mm thick."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.phantom.acquisition import Acquisition, Kind
from preread.phantom.errors import PhantomError
from preread.phantom.images import image
from preread.phantom.volume import make_volume

if TYPE_CHECKING:
    from pathlib import Path

THICKNESS: Final = 5.0  # mm
_MOST: Final = 47


def write_chest_series(folder: Path, seed: int = 1, slices: int = 40) -> list[Path]:
    """Write the middle slices of one computed chest as CT files into a folder that exists.

    Each names itself synthetic, as all phantoms do. The same seed makes the same instances, UIDs
    included, so that sending them again replaces them.

    Parameters
    ----------
    folder
        Where.
    seed
        From 0 on.
    slices
        From 1 to 47.

    Returns
    -------
    list of pathlib.Path
        One for each slice, from the feet to the head.

    Raises
    ------
    preread.phantom.errors.PhantomError
        If the seed or the number of slices is out of range.
    """
    if not 1 <= slices <= _MOST:
        raise PhantomError(f"slices of a phantom: expected 1 to {_MOST}, not {slices}")
    volume = make_volume(Kind.CHEST, seed, Acquisition(slice_thickness=THICKNESS))
    first = (volume.grid.slices - slices) // 2
    paths = []
    for number in range(slices):
        dataset = image(volume, first + number, volume.slice_(first + number))
        dataset.InstanceNumber = number + 1
        path = folder / f"chest-{seed}-{number + 1:02d}.dcm"
        dataset.save_as(path, enforce_file_format=True)
        paths.append(path)
    return paths
