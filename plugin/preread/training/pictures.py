"""Images of a folder as networks take them, for what needs no label."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from preread.imaging import prepare
from preread.training.errors import TrainingError
from preread.training.folder import files_below
from preread.training.image_files import ImageFile, digest_of

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.imaging import Frame, Preprocessing


class Shown(NamedTuple):
    """A frame of an image.

    Attributes
    ----------
    name
        The file's path in its folder and, of several frames, which.
    sha256
        Of its pixels.
    frame
        The frame.
    """

    name: str
    sha256: str
    frame: Frame


def frames_below(folder: Path, only: Collection[str] | None = None) -> Iterator[Shown]:
    """Give the frames of all images below a folder; the same pixels once.

    Parameters
    ----------
    folder
        PNG, JPEG and DICOM files at any depth; hidden ones are passed over.
    only
        SHA-256 of the pixels of the wanted ones; None for all.

    Raises
    ------
    TrainingError
        If there is none, or a file is no image.
    """
    seen: set[str] = set()
    for path in files_below(folder):
        shown = str(path.relative_to(folder))
        for number, frame in enumerate(ImageFile(path, shown).frames()):
            sha256 = digest_of(frame)
            if sha256 in seen or (only is not None and sha256 not in only):
                continue
            seen.add(sha256)
            yield Shown(shown if not number else f"{shown}, frame {number + 1}", sha256, frame)
    if not seen:
        raise TrainingError(f"{folder.name}: no PNG, JPEG or DICOM file that is wanted lies there")


def batch_of_one(frame: Frame, how: Preprocessing) -> NDArray[np.float32]:
    """Give a frame as a batch (1, C, H, W)."""
    return prepare(frame, how)[np.newaxis]
