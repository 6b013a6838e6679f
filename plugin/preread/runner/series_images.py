"""The images of a series, one after the other, for a reader that looks at them.

One odd object costs a series nothing but itself: a localizer, an image without a place in the
patient among others that have one, pixels that cannot be decoded. It is left out before the reader
sees it, and named with the reason.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from preread.errors import PrereadError
from preread.findings.reader import Placed
from preread.imaging.errors import NoImagePlaneError
from preread.imaging.plane import ImagePlane, frames_of
from preread.imaging.volume import in_order, is_localizer, pixel_area
from preread.ledger.skipped import SkippedImage
from preread.results.structure_set.bearing import check_place, check_reference
from preread.results.structure_set.errors import UnwritableStructureSetError

if TYPE_CHECKING:
    from pydicom.dataset import Dataset

    from preread.archive.pacs import Pacs
    from preread.findings.findings import Findings
    from preread.imaging import Image
    from preread.ledger.job import InstanceRecord
    from preread.runner.sources import SourceImage

_log = structlog.get_logger(__name__)


LOCALIZER: Final = "it is a localizer (ImageType), on which no network looks for regions"


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
    source_of
        Takes from a file what an object beside it needs.
    open_image
        Opens a DICOM file.
    """

    def __init__(
        self,
        records: Sequence[InstanceRecord],
        pacs: Pacs,
        source_of: Callable[[str, int, bytes], SourceImage],
        open_image: Callable[[bytes], Image],
    ) -> None:
        self._records = records
        self._pacs = pacs
        self._source_of = source_of
        self._open_image = open_image
        self._images: list[_Image] = []
        self._has_places = False
        self.skipped: list[SkippedImage] = []
        self.first_error: PrereadError | None = None

    def frames(self) -> Iterator[Placed]:
        """Give the frames of the images that have a place in the patient; if none has, of all.

        Never more than one image is in memory, and what a batch of the network holds.

        Yields
        ------
        Placed
            Frames of images that have no place in the patient come without a plane.

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

    def looked_at(self, found: Findings) -> tuple[list[SourceImage], Findings]:
        """Return the images that were looked at, in the series' order, with what was found there.

        Parameters
        ----------
        found
            It counts the frames as they were given.

        Returns
        -------
        tuple of list and Findings
            The images, and what was found, counting the frames of all of them. What lies on an
            image of which a frame could not be read is left out.
        """
        sources, numbers = self._in_order()
        lesions = []
        for lesion in found.lesions:
            outlines = [
                replace(one, frame=number)
                for one in lesion.outlines
                if (number := numbers[one.frame]) is not None
            ]
            if outlines:
                outlines.sort(key=lambda one: one.frame)
                lesions.append(replace(lesion, outlines=tuple(outlines)))
        lesions.sort(key=lambda one: one.outlines[0].frame)
        maps = tuple(
            replace(one, frame=number)
            for one in found.maps
            if (number := numbers[one.frame]) is not None
        )
        return sources, replace(found, lesions=tuple(lesions), maps=maps)

    def _in_order(self) -> tuple[list[SourceImage], list[int | None]]:
        """Return the images that were looked at, in the series' order, and where each frame is.

        Returns
        -------
        tuple of list
            The images; and for each frame as it was given, which it is of the frames of all of
            them, or None where a later frame of its image could not be read.
        """
        images = self._images
        sound = [index for index, one in enumerate(images) if not one.is_spoilt]
        order = [sound[at] for at in in_order([images[at].source.original for at in sound])]
        before, offsets = 0, {}
        for index in order:
            offsets[index] = before
            before += images[index].frames
        numbers = [
            offsets[index] + frame if index in offsets else None
            for index, one in enumerate(images)
            for frame in range(one.frames)
        ]
        return [images[index].source for index in order], numbers

    def _file(self, record: InstanceRecord) -> bytes:
        data = self._pacs.file(record.instance)
        if data is None:
            raise OvertakenError
        return data

    def _sound(self, record: InstanceRecord, data: bytes) -> SourceImage | None:
        """Return what a proposal needs of an image; None if no network may see it."""
        try:
            source = self._source_of(record.instance, record.generation, data)
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
    ) -> Iterator[Placed]:
        seen = _Image(source)
        self._images.append(seen)
        try:
            image = self._open_image(data)
            if any(image.number_of_frames != frames_of(one) for one in _headers(source)):
                raise UnwritableStructureSetError(
                    "NumberOfFrames (0028,0008) is not the number of its frames"
                )
            for frame in image.frames:
                plane = ImagePlane.of(source.original, frame.index) if self._has_places else None
                seen.frames += 1
                yield Placed(frame, plane, pixel_area(source.original, frame.index))
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
