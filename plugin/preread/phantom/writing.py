"""A folder for each phantom: its slices, and the truth as SEG, RTSTRUCT and JSON."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from preread.phantom.errors import PhantomError
from preread.phantom.images import image
from preread.phantom.segmentation import segmentation
from preread.phantom.structure_set import structure_set
from preread.phantom.truth import truth

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pydicom.dataset import Dataset

    from preread.phantom.volume import Volume


@dataclass(frozen=True, slots=True)
class PhantomFiles:
    """Where one phantom was written to.

    Attributes
    ----------
    folder
        Of all its files; its name begins with `synthetic`.
    images
        One file for each slice, from the feet to the head.
    segmentation, structure_set, truth
        The lesions as SEG, RTSTRUCT and JSON.
    """

    folder: Path
    images: tuple[Path, ...]
    segmentation: Path
    structure_set: Path
    truth: Path


def write_phantom(
    volume: Volume, parent: Path, progress: Callable[[], None] = lambda: None
) -> PhantomFiles:
    """Write a phantom into a new folder, such as `synthetic-chest-7`.

    Parameters
    ----------
    volume
        The phantom.
    parent
        Where the folder is made; it is made itself if it is missing.
    progress
        Called after each slice.

    Returns
    -------
    PhantomFiles
        What was written.

    Raises
    ------
    PhantomError
        If the folder is there already, or cannot be written.
    """
    folder = parent / f"synthetic-{volume.kind}-{volume.seed}"
    try:
        parent.mkdir(parents=True, exist_ok=True)
        folder.mkdir()
        return _written(volume, folder, progress)
    except FileExistsError:
        # mkdir of the parent says so too, where a file has its name.
        taken = folder if parent.is_dir() else parent
        raise PhantomError(f"{taken.name}: there already; name another folder") from None
    except OSError as error:
        raise PhantomError(f"{folder.name}: cannot be written ({error.strerror})") from None


def _written(volume: Volume, folder: Path, progress: Callable[[], None]) -> PhantomFiles:
    masks = volume.masks()
    files: list[Path] = []
    headers: list[Dataset] = []
    for number, pixels in enumerate(volume):
        dataset = image(volume, number, pixels)
        files.append(folder / f"image-{number + 1:04d}.dcm")
        dataset.save_as(files[-1], enforce_file_format=True)
        del dataset.PixelData
        headers.append(dataset)
        progress()
    written = PhantomFiles(
        folder=folder,
        images=tuple(files),
        segmentation=folder / "segmentation.dcm",
        structure_set=folder / "structure-set.dcm",
        truth=folder / "truth.json",
    )
    voxels = segmentation(volume, masks, headers)
    voxels.save_as(written.segmentation, enforce_file_format=True)
    contours = structure_set(volume, masks, headers[0].SOPClassUID)
    contours.save_as(written.structure_set, enforce_file_format=True)
    written.truth.write_text(truth(volume, masks), encoding="utf-8")
    return written
