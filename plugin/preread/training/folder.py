"""A data set as a folder of class folders, read once and kept as the network's input."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.imaging import Preprocessing, UnreadableImage, open_image, open_picture, prepare
from preread.training.errors import TrainingError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.imaging import Frame

LARGEST_FILE: Final = 512 * 1024**2
LARGEST_DECODED: Final = 1024**3
"""Bytes of a file's decoded pixels."""
MOST_MEMORY: Final = 16 * 1024**3
"""Bytes of prepared images that are held."""
THUMBNAIL: Final = 48
"""Side of the thumbnails that look-alikes are told by, in pixels."""


@dataclass(frozen=True, slots=True, eq=False)
class DataSet:
    """Images with their classes, prepared for a network.

    Attributes
    ----------
    classes
        Names, in the order of the labels.
    files
        Path of each image under the data set's folder, with the frame's number behind ``#`` where
        a file has several.
    labels
        (N,) int64.
    digests
        SHA-256 of each image's decoded pixels.
    images
        One float32 (C, H, W) each, as `preread.imaging.prepare` gives it; C is 1 where all
        channels are the same.
    thumbnails
        (N, 48 * 48) float32: mean 0, length 1 (all 0 for an image of one value).
    duplicates
        How many images were left out because their pixels were there already.
    """

    classes: tuple[str, ...]
    files: tuple[str, ...]
    labels: NDArray[np.int64]
    digests: tuple[str, ...]
    images: tuple[NDArray[np.float32], ...]
    thumbnails: NDArray[np.float32]
    duplicates: int

    def __len__(self) -> int:
        return len(self.files)

    def counts(self) -> dict[str, int]:
        """Images of each class."""
        found = np.bincount(self.labels, minlength=len(self.classes))
        return {name: int(count) for name, count in zip(self.classes, found, strict=True)}


def read_folder(
    folder: Path,
    preprocessing: Preprocessing,
    names: Mapping[str, str],
    progress: Callable[[int, int], None] = lambda _done, _all: None,
) -> DataSet:
    """Read a folder that has one folder of images for each class.

    Images whose pixels are the same are taken once.

    Parameters
    ----------
    folder
        Class folders with PNG, JPEG or DICOM files, at any depth. Hidden files are passed over.
    preprocessing
        Of the network.
    names
        From the name of a folder to that of its class, in the order of the classes. Empty: each
        folder's own name, sorted.
    progress
        Called with files done and files in all.

    Raises
    ------
    TrainingError
        If there are fewer than two classes, one is empty, a file is no image, or the same pixels
        are in two classes.
    """
    places = _class_folders(folder, names)
    listed = [
        (label, path) for label, place in enumerate(places.values()) for path in _files(place)
    ]
    for label, name in enumerate(places):
        if not any(number == label for number, _ in listed):
            raise TrainingError(f"{folder.name}/{places[name].name}: no images in it")
    first_seen: dict[str, int] = {}
    rows: list[tuple[str, int, str, NDArray[np.float32], NDArray[np.float32]]] = []
    memory = duplicates = 0
    for done, (label, path) in enumerate(listed, start=1):
        shown = f"{path.relative_to(folder)}"
        for suffix, frame in _frames(path, shown):
            digest = _digest(frame)
            if digest in first_seen:
                other = first_seen[digest]
                if rows[other][1] != label:
                    raise TrainingError(
                        f"{shown} and {rows[other][0]}: the same pixels in two classes; "
                        "remove them from one or both"
                    )
                duplicates += 1
                continue
            first_seen[digest] = len(rows)
            image = _compact(prepare(frame, preprocessing))
            memory += image.nbytes
            if memory > MOST_MEMORY:
                raise TrainingError(f"{folder.name}: more images than memory is set aside for")
            rows.append((shown + suffix, label, digest, image, _thumbnail(frame)))
        progress(done, len(listed))
    return DataSet(
        classes=tuple(places),
        files=tuple(row[0] for row in rows),
        labels=np.array([row[1] for row in rows], dtype=np.int64),
        digests=tuple(row[2] for row in rows),
        images=tuple(row[3] for row in rows),
        thumbnails=np.stack([row[4] for row in rows]),
        duplicates=duplicates,
    )


def _class_folders(folder: Path, names: Mapping[str, str]) -> dict[str, Path]:
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
        return found
    if set(names) != set(found):
        odd = min(set(names) ^ set(found))
        raise TrainingError(f"{folder.name}: class folder {odd!r} is only in one of data and card")
    return {names[name]: found[name] for name in names}


def _files(place: Path) -> Iterator[Path]:
    for path in sorted(place.rglob("*")):
        if path.is_file() and not any(
            part.startswith(".") for part in path.relative_to(place).parts
        ):
            yield path


def _frames(path: Path, shown: str) -> Iterator[tuple[str, Frame]]:
    """Decode a file; each frame comes with what tells it from the file's others."""
    if path.stat().st_size > LARGEST_FILE:
        raise TrainingError(f"{shown}: larger than {LARGEST_FILE} bytes")
    data = path.read_bytes()
    try:
        if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
            yield "", open_picture(data, max_bytes=LARGEST_DECODED)
            return
        if data[128:132] != b"DICM":
            raise TrainingError(f"{shown}: neither PNG, JPEG nor DICOM; move it out of the folder")
        image = open_image(data, max_bytes=LARGEST_DECODED)
        several = image.number_of_frames > 1
        for frame in image.frames:
            yield (f"#{frame.index}" if several else ""), frame
    except UnreadableImage as error:
        raise TrainingError(f"{shown}: {error}") from None


def _digest(frame: Frame) -> str:
    digest = hashlib.sha256(repr((frame.pixels.shape, frame.units.value)).encode())
    digest.update(np.ascontiguousarray(frame.pixels).data)
    return digest.hexdigest()


def _compact(image: NDArray[np.float32]) -> NDArray[np.float32]:
    same = all(np.array_equal(image[0], channel) for channel in image[1:])
    return image[:1].copy() if same else image


def _thumbnail(frame: Frame) -> NDArray[np.float32]:
    grey = Preprocessing(size=(THUMBNAIL, THUMBNAIL), channels=1, range=(0.0, 1.0))
    flat = prepare(frame, grey).ravel()
    flat = flat - flat.mean()
    length = float(np.linalg.norm(flat))
    # Below this the image is one value, but for rounding.
    return flat / np.float32(length) if length > 1e-3 else np.zeros_like(flat)
