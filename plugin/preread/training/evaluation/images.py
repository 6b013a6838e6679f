"""The images that are measured on, each read once for each way of preparing it."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from preread.training.data_set import Contradictions
from preread.training.evaluation.errors import EvaluationError
from preread.training.folder import read_folder
from preread.training.listing import read_listing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable
    from pathlib import Path

    from numpy.typing import NDArray

    from preread.imaging import Preprocessing
    from preread.training.data_set import DataSet
    from preread.training.evaluation.record import SplitRecord


class Images:
    """Images of a source, or of the models' own splits, by the SHA-256 of their pixels.

    Parameters
    ----------
    data
        A CSV or a folder of class folders; None for each split's own list of files.
    root
        Folder that the files of a CSV are under; None for the folder of the CSV.
    progress
        Called with images read and images in all.
    contradictions
        What becomes of pixels that are in two classes of the source.
    """

    def __init__(
        self,
        data: Path | None,
        root: Path | None,
        progress: Callable[[int, int], None] = lambda _done, _all: None,
        contradictions: Contradictions = Contradictions.DROP,
    ) -> None:
        self._contradictions = contradictions
        self._data, self._root, self._progress = data, root, progress
        self._sources: dict[str, DataSet] = {}
        self._arrays: dict[str, dict[str, NDArray[np.float32]]] = {}
        self._thumbnails: dict[str, NDArray[np.float32]] = {}

    def source(self, preprocessing: Preprocessing) -> DataSet:
        """Give all images of the source, which there must be.

        Raises
        ------
        preread.training.errors.TrainingError
            If it cannot be read.
        """
        key = preprocessing.model_dump_json()
        if key not in self._sources:
            if self._data is None:
                raise EvaluationError("--data: expected a CSV or a folder of class folders")
            if self._data.is_dir():
                found = read_folder(
                    self._data,
                    preprocessing,
                    {},
                    self._progress,
                    contradictions=self._contradictions,
                )
            else:
                found = read_listing(
                    self._data,
                    self._root or self._data.parent,
                    preprocessing,
                    progress=self._progress,
                    contradictions=self._contradictions,
                )
            self._sources[key] = found
            self._take(key, found)
        return self._sources[key]

    def arrays(
        self, digests: Iterable[str], preprocessing: Preprocessing, record: SplitRecord | None
    ) -> list[NDArray[np.float32]]:
        """Give images as a network takes them, float32 (C, H, W) each.

        Parameters
        ----------
        digests
            Which.
        preprocessing
            Of the network.
        record
            The split that lists them, for where there is no source.

        Raises
        ------
        EvaluationError
            If some are not there.
        preread.training.errors.TrainingError
            If the files cannot be read.
        """
        key = preprocessing.model_dump_json()
        wanted = list(digests)
        if self._data is not None:
            self.source(preprocessing)
        elif record is not None and not set(wanted) <= self._arrays.get(key, {}).keys():
            if self._root is None:
                raise EvaluationError(
                    f"--root: expected the folder that the files of {record.name} are under"
                )
            found = read_listing(record.path, self._root, preprocessing, progress=self._progress)
            self._take(key, found)
        held = self._arrays.get(key, {})
        missing = sum(digest not in held for digest in wanted)
        if missing:
            raise EvaluationError(
                f"{record.name if record else 'the data'}: {missing} of {len(wanted)} images are "
                f"not in {self._data.name if self._data else 'the data'}, by the SHA-256 of their "
                "pixels; figures of the others would not be those of the part"
            )
        channels = preprocessing.channels
        return [np.broadcast_to(held[one], (channels, *held[one].shape[1:])) for one in wanted]

    def thumbnails(self, digests: Iterable[str]) -> NDArray[np.float32]:
        """Give what look-alikes are told by, (N, D), of images that were read."""
        return np.stack([self._thumbnails[digest] for digest in digests])

    def picture(self, digest: str, preprocessing: Preprocessing, side: int) -> bytes:
        """Give an image that was read as a small PNG: what the network saw.

        Parameters
        ----------
        side
            Pixels of the longer side, at most.
        """
        image = self._arrays[preprocessing.model_dump_json()][digest]
        mean = np.array(preprocessing.mean, dtype=np.float32).reshape(-1, 1, 1)
        std = np.array(preprocessing.std, dtype=np.float32).reshape(-1, 1, 1)
        low, high = preprocessing.range
        grey = ((image * std + mean - low) / (high - low)).mean(axis=0)
        shown = Image.fromarray(np.clip(grey * 255, 0, 255).astype(np.uint8))
        shown.thumbnail((side, side))
        kept = io.BytesIO()
        shown.save(kept, "PNG", optimize=True)
        return kept.getvalue()

    def _take(self, key: str, found: DataSet) -> None:
        self._arrays.setdefault(key, {}).update(zip(found.digests, found.images, strict=True))
        self._thumbnails.update(zip(found.digests, found.thumbnails, strict=True))
