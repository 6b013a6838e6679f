"""The images of a series, one after the other, for a network that looks for regions in them.

One odd object costs a series nothing but itself: a localizer, an image without a place in the
patient among others that have one, pixels that cannot be decoded. It is left out before the network
sees it, and named with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import structlog

from preread.errors import PrereadError
from preread.iodeep.files_prediction import LOCALIZER, frames_of_image, is_localizer
from preread.ledger.skipped import SkippedImage
from preread.results.structure_set.bearing import check_place, check_reference
from preread.results.structure_set.errors import NoImagePlaneError, UnwritableStructureSetError
from preread.results.structure_set.plane import ImagePlane, frames_of

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.archive.pacs import Pacs
    from preread.imaging import Frame, Image
    from preread.iodeep.region import Region
    from preread.ledger.job import InstanceRecord
    from preread.runner.proposer import Proposer, SourceImage

_log = structlog.get_logger(__name__)


class OvertakenError(Exception):
    """The series has changed while it was looked at."""


@dataclass(slots=True)
class _Image:
    """One that the network sees: how many of its frames it got, and whether one was unreadable."""

    source: SourceImage
    frames: int = 0
    is_spoilt: bool = False


class SeriesImages:
    """Gives the frames of a series, and writes down which images they are from.

    Parameters
    ----------
    records
        The images, as the ledger knows them.
    pacs
        Orthanc.
    proposer
        Takes from a file what a proposal needs of it.
    open_image
        Opens a DICOM file.
    """

    def __init__(
        self,
        records: Sequence[InstanceRecord],
        pacs: Pacs,
        proposer: Proposer,
        open_image: Callable[[bytes], Image],
    ) -> None:
        self._records = records
        self._pacs = pacs
        self._proposer = proposer
        self._open_image = open_image
        self._images: list[_Image] = []
        self._has_places = False
        self.skipped: list[SkippedImage] = []
        self.first_error: PrereadError | None = None

    def frames(self) -> Iterator[tuple[Frame, float | None]]:
        """Give the frames of the images that have a place in the patient; if none has, of all.

        Never more than one image is in memory, and what a batch of the network holds.

        Yields
        ------
        tuple of Frame and float or None
            As `preread.iodeep.files_prediction.regions_of_frames` takes them.

        Raises
        ------
        OvertakenError
            If an image is not stored any more.
        preread.archive.pacs.PacsError
            If Orthanc does not answer or fails.
        """
        without_place: list[tuple[InstanceRecord, str]] = []
        for record in self._records:
            data = self._file(record)
            source = self._sound(record, data)
            if source is None:
                continue
            try:
                _check_places(source)
            except NoImagePlaneError as error:
                without_place.append((record, str(error)))
                continue
            self._has_places = True
            yield from self._frames_of(record, source, data)
        for record, reason in without_place:
            if self._has_places:
                self._skip(record, reason)
                continue
            data = self._file(record)
            source = self._sound(record, data)
            if source is not None:
                yield from self._frames_of(record, source, data)

    def looked_at(self, regions: Sequence[Region]) -> tuple[list[SourceImage], list[Region]]:
        """Return the images that were looked at, in the series' order, with what was found there.

        Parameters
        ----------
        regions
            Each counts the frames as they were given.

        Returns
        -------
        tuple of list
            The images, and the regions, each counting the frames of all of them.
        """
        images = self._images
        places = [(index, frame) for index, one in enumerate(images) for frame in range(one.frames)]
        sound = [index for index, one in enumerate(images) if not one.is_spoilt]
        ranks = _ranks([images[index].source for index in sound])
        order = [index for _, index in sorted(zip(ranks, sound, strict=True))]
        before, offsets = 0, {}
        for index in order:
            offsets[index] = before
            before += images[index].frames
        found = []
        for region in regions:
            index, frame = places[region.frame]
            if index in offsets:
                found.append(replace(region, frame=offsets[index] + frame))
        found.sort(key=lambda one: one.frame)
        return [images[index].source for index in order], found

    def _file(self, record: InstanceRecord) -> bytes:
        data = self._pacs.file(record.instance)
        if data is None:
            raise OvertakenError
        return data

    def _sound(self, record: InstanceRecord, data: bytes) -> SourceImage | None:
        """Return what a proposal needs of an image; None if no network may see it."""
        try:
            source = self._proposer.source(record.instance, record.generation, data)
            for header in _headers(source):
                check_reference(header)
        except PrereadError as error:
            self._fail(record, error)
            return None
        if is_localizer(source.original):
            self._skip(record, LOCALIZER)
            return None
        return source

    def _frames_of(
        self, record: InstanceRecord, source: SourceImage, data: bytes
    ) -> Iterator[tuple[Frame, float | None]]:
        seen = _Image(source)
        self._images.append(seen)
        try:
            image = self._open_image(data)
            if any(image.number_of_frames != frames_of(one) for one in _headers(source)):
                raise UnwritableStructureSetError(
                    "NumberOfFrames (0028,0008) is not the number of its frames"
                )
            for pair in frames_of_image(image, source.original):
                seen.frames += 1
                yield pair
        except PrereadError as error:
            # Regions of its first frames would say that there is none on the others.
            seen.is_spoilt = True
            self._fail(record, error)

    def _fail(self, record: InstanceRecord, error: PrereadError) -> None:
        self.first_error = self.first_error or error
        self._skip(record, str(error))

    def _skip(self, record: InstanceRecord, reason: str) -> None:
        _log.warning("left out of a series", instance=record.instance, reason=reason)
        self.skipped.append(SkippedImage(record.instance, reason))


def usual_first(records: Sequence[InstanceRecord]) -> list[InstanceRecord]:
    """Bring images forward that are of the kind that most of their series are."""
    kinds = [(record.SOPClassUID, record.Modality) for record in records]
    counts = {kind: kinds.count(kind) for kind in set(kinds)}
    return sorted(records, key=lambda one: -counts[one.SOPClassUID, one.Modality])


def _headers(source: SourceImage) -> tuple[Dataset, ...]:
    same = source.shown is source.original
    return (source.original,) if same else (source.original, source.shown)


def _check_places(source: SourceImage) -> None:
    for header in _headers(source):
        check_place(header)


def _ranks(sources: Sequence[SourceImage]) -> list[tuple[float, float, str]]:
    """Return what each image is ordered by: its place along the patient, else its number."""
    try:
        planes = [ImagePlane.of(one.original) for one in sources]
        normal = np.cross(planes[0].along_row, planes[0].along_column) if planes else np.zeros(3)
        places = [float(plane.position @ normal) for plane in planes]
    except NoImagePlaneError:
        places = [0.0] * len(sources)
    return [
        (place, _number(one.original), str(one.original.get("SOPInstanceUID", "")))
        for place, one in zip(places, sources, strict=True)
    ]


def _number(header: Dataset) -> float:
    try:
        return float(header.get("InstanceNumber") or 0)
    except (TypeError, ValueError):
        return 0.0
