"""Image files of a data set: decoded within bounds, and what tells images apart and alike."""

from __future__ import annotations

import hashlib
from functools import cached_property
from typing import TYPE_CHECKING, Final

import numpy as np

from preread.imaging import Preprocessing, UnreadableImage, open_image, open_picture, prepare
from preread.training.errors import TrainingError
from preread.training.patients import token_of, tokens_of_header

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.imaging import Frame, Image

LARGEST_FILE: Final = 512 * 1024**2
LARGEST_DECODED: Final = 1024**3
"""Bytes of a file's decoded pixels."""
THUMBNAIL: Final = 48
"""Side of the thumbnails that look-alikes are told by, in pixels."""


class ImageFile:
    """A PNG, JPEG or DICOM file whose frames are decoded when they are asked for.

    Parameters
    ----------
    path
        Of the file.
    shown
        What errors call it.

    Raises
    ------
    TrainingError
        If it is too large, cannot be read, or is none of the three.
    """

    def __init__(self, path: Path, shown: str) -> None:
        self._shown = shown
        self._image: Image | None = None
        self._picture: Frame | None = None
        self._data = b""
        try:
            if path.stat().st_size > LARGEST_FILE:
                raise TrainingError(f"{shown}: larger than {LARGEST_FILE} bytes")
            data = path.read_bytes()
            if data.startswith((b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff")):
                self._picture = open_picture(data, max_bytes=LARGEST_DECODED)
            elif data[128:132] == b"DICM":
                self._image = open_image(data, max_bytes=LARGEST_DECODED)
                self._data = data
            else:
                raise TrainingError(f"{shown}: neither PNG, JPEG nor DICOM; leave it out")
        except UnreadableImage as error:
            raise TrainingError(f"{shown}: {error}") from None
        except OSError as error:
            raise TrainingError(f"{shown}: cannot be read ({error.strerror})") from None

    @property
    def number_of_frames(self) -> int:
        """How many frames there are, 1 or more."""
        return self._image.number_of_frames if self._image is not None else 1

    def patients(self, told: Sequence[str] = ()) -> tuple[str, ...]:
        """Give tokens of whom the frames are of; see `preread.training.patients`.

        Parameters
        ----------
        told
            What a CSV says, which counts instead of a DICOM header.

        Returns
        -------
        tuple of str
            With a token of the file itself where its frames would have none in common otherwise.
        """
        known = tuple(told) or self._in_header
        if self.number_of_frames > 1 and (told or not known):
            known = (*known, self._own)
        return known

    @cached_property
    def _in_header(self) -> tuple[str, ...]:
        return tokens_of_header(self._data) if self._data else ()

    @cached_property
    def _own(self) -> str:
        return token_of(self._data)

    def frames(self) -> Iterator[Frame]:
        """Decode all frames, one after the other.

        Raises
        ------
        TrainingError
            If one of them cannot be decoded.
        """
        if self._picture is not None:
            yield self._picture
        if self._image is not None:
            try:
                yield from self._image.frames
            except UnreadableImage as error:
                raise TrainingError(f"{self._shown}: {error}") from None

    def frame(self, index: int) -> Frame:
        """Decode one frame, counted from 0.

        Raises
        ------
        TrainingError
            If there is no such frame or it cannot be decoded.
        """
        if not 0 <= index < self.number_of_frames:
            raise TrainingError(
                f"{self._shown}: no frame {index}; there are {self.number_of_frames}, from 0 on"
            )
        if self._image is None:
            return next(self.frames())
        try:
            return self._image.frame(index)
        except UnreadableImage as error:
            raise TrainingError(f"{self._shown}: {error}") from None


def digest_of(frame: Frame) -> str:
    """Give the SHA-256 of a frame's decoded pixels with their shape and units, in hexadecimal."""
    digest = hashlib.sha256(repr((frame.pixels.shape, frame.units.value)).encode())
    digest.update(np.ascontiguousarray(frame.pixels).data)
    return digest.hexdigest()


def thumbnail_of(frame: Frame) -> NDArray[np.float32]:
    """Reduce a frame to what look-alikes are told by.

    Returns
    -------
    ndarray of float32
        (48 * 48,), mean 0, length 1; all 0 for an image of one value.
    """
    grey = Preprocessing(size=(THUMBNAIL, THUMBNAIL), channels=1, range=(0.0, 1.0))
    flat = prepare(frame, grey).ravel()
    flat = flat - flat.mean()
    length = float(np.linalg.norm(flat))
    # Below this the image is one value, but for rounding.
    return flat / np.float32(length) if length > 1e-3 else np.zeros_like(flat)
