"""A data set as a folder of class folders, read once and kept as the network's input."""

from __future__ import annotations

from typing import TYPE_CHECKING

from preread.training.data_set import ONLY_SET, Contradictions, DataSet, Gathering, Listed
from preread.training.errors import TrainingError
from preread.training.image_files import ImageFile

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from preread.imaging import Preprocessing

__all__ = ["DataSet", "files_below", "read_folder"]


def read_folder(
    folder: Path,
    preprocessing: Preprocessing,
    names: Mapping[str, str],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
    *,
    keep_duplicates: bool = False,
    contradictions: Contradictions = Contradictions.REFUSE,
) -> DataSet:
    """Read a folder that has one folder of images for each class.

    Parameters
    ----------
    folder
        Class folders with PNG, JPEG or DICOM files, at any depth. Hidden files are passed over.
    preprocessing
        Of the network.
    names
        From the name of a folder to that of its class, in the order of the classes; several
        folders may be of one. Empty: each folder's own name, sorted.
    progress
        Called with files done and files in all.
    keep_duplicates
        Whether images whose pixels are the same are taken each time, not once.
    contradictions
        What becomes of images whose pixels are in two classes.

    Returns
    -------
    DataSet
        With one set, called ``class``.

    Raises
    ------
    TrainingError
        If there are fewer than two classes, one is empty, a file is no image, or the same pixels
        are in two classes and that is refused.
    """
    places = _class_folders(folder, names)
    listed = []
    for label, class_folders in enumerate(places.values()):
        for place in class_folders:
            files = [(label, path) for path in files_below(place)]
            if not files:
                raise TrainingError(f"{folder.name}/{place.name}: no images in it")
            listed += files
    gathering = Gathering(
        folder.name,
        preprocessing,
        {ONLY_SET: tuple(places)},
        keep_duplicates=keep_duplicates,
        contradictions=contradictions,
    )
    for done, (label, path) in enumerate(listed, start=1):
        shown = f"{path.relative_to(folder)}"
        image = ImageFile(path, shown)
        several = image.number_of_frames > 1
        for frame in image.frames():
            name = f"{shown}#{frame.index}" if several else shown
            gathering.add(Listed(name, (label,), image.patients()), frame)
        progress(done, len(listed))
    return gathering.data_set()


def _class_folders(folder: Path, names: Mapping[str, str]) -> dict[str, list[Path]]:
    """Give the folders of each class, in the order of the classes."""
    if not folder.is_dir():
        raise TrainingError(f"{folder.name}: no such folder")
    found = {
        place.name: place
        for place in sorted(folder.iterdir())
        if place.is_dir() and not place.name.startswith(".")
    }
    if len(found) < 2:
        raise TrainingError(
            f"{folder.name}: expected a folder of images for each of two classes or more"
        )
    if not names:
        return {name: [place] for name, place in found.items()}
    if set(names) != set(found):
        odd = min(set(names) ^ set(found))
        raise TrainingError(f"{folder.name}: class folder {odd!r} is only in one of data and card")
    classes: dict[str, list[Path]] = {}
    for name, known in names.items():
        classes.setdefault(known, []).append(found[name])
    return classes


def files_below(place: Path) -> Iterator[Path]:
    """List the files of a folder at any depth, sorted, hidden ones left out."""
    for path in sorted(place.rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(place).parts
        ):
            yield path
