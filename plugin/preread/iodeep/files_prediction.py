"""Regions in DICOM files: the same for whoever has the files, runner or service."""

from __future__ import annotations

import io
from dataclasses import replace
from itertools import groupby
from typing import TYPE_CHECKING, Final, NamedTuple

from pydicom import dcmread
from pydicom.uid import UID

from preread.imaging import UnreadableImage, open_image
from preread.imaging.volume import is_localizer, pixel_area

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from pydicom.dataset import Dataset

    from preread.imaging import Frame, Image
    from preread.iodeep.iod import IODeep
    from preread.iodeep.prediction import Predictor, Region


LOCALIZER: Final = "it is a localizer (ImageType), on which no network looks for regions"


class RegionsOfFiles(NamedTuple):
    """What was found.

    Attributes
    ----------
    regions
        `Region.frame` counts the frames of all files, one file after the other.
    headers
        Of the files, without pixels.
    frames
        How many each of them has.
    """

    regions: list[Region]
    headers: list[Dataset]
    frames: list[int]

    def place(self, region: Region) -> tuple[Dataset, int]:
        """Give the header of the file that a region is in, and which of its frames, from 0."""
        frame = region.frame
        for header, count in zip(self.headers, self.frames, strict=True):
            if frame < count:
                return header, frame
            frame -= count
        raise IndexError(f"frame {region.frame} of {sum(self.frames)}")


def regions_of_files(
    predictor: Predictor, network: IODeep, files: Sequence[bytes], *, max_bytes: int
) -> RegionsOfFiles:
    """Find regions in the images of DICOM files.

    Parameters
    ----------
    predictor
        That runs the network.
    network
        Of which it is known that it may run.
    files
        In the order in which frames are counted.
    max_bytes
        The largest uncompressed size of one file's frames.

    Raises
    ------
    preread.errors.PrereadError
        If a file is no image that can be read, or a localizer, or the network cannot run on it.
    """
    # All are looked at before the network runs on any, and none is kept open: a deflated file
    # takes as much as its pixels do.
    counts = [open_image(data, max_bytes=max_bytes).number_of_frames for data in files]
    headers = [_header(data) for data in files]
    if any(map(is_localizer, headers)):
        raise UnreadableImage(LOCALIZER)
    frames = (
        pair
        for data, header in zip(files, headers, strict=True)
        for pair in frames_of_image(open_image(data, max_bytes=max_bytes), header)
    )
    return RegionsOfFiles(regions_of_frames(predictor, network, frames), headers, counts)


def regions_of_frames(
    predictor: Predictor, network: IODeep, frames: Iterable[tuple[Frame, float | None]]
) -> list[Region]:
    """Find regions in frames whose pixels may differ in size.

    Parameters
    ----------
    predictor, network
        As of `regions_of_files`.
    frames
        Each with what `pixel_area` gives for it; they are taken a batch at a time.

    Returns
    -------
    list of Region
        `Region.frame` counts the frames as they came.

    Raises
    ------
    preread.errors.PrereadError
        If the network cannot run on them.
    """
    regions: list[Region] = []
    seen = 0
    for area, group in groupby(frames, key=lambda pair: pair[1]):
        counted = _Counted(frame for frame, _ in group)
        found = predictor.regions(network, counted, pixel_area=area)
        regions += (replace(region, frame=region.frame + seen) for region in found)
        seen += counted.count
    return regions


class _Counted:
    """Frames that are counted while they are taken."""

    def __init__(self, frames: Iterator[Frame]) -> None:
        self._frames = frames
        self.count = 0

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._frames:
            self.count += 1
            yield frame


def _header(data: bytes) -> Dataset:
    try:
        dataset = dcmread(io.BytesIO(data), force=True, stop_before_pixels=True)
        UID(str(dataset.SOPInstanceUID))
    except Exception as error:  # noqa: BLE001 - pydicom raises whatever the bytes provoke
        raise UnreadableImage(
            f"the file's header cannot be read ({type(error).__name__})"
        ) from None
    return dataset


def frames_of_image(image: Image, header: Dataset) -> Iterator[tuple[Frame, float | None]]:
    """Give an image's frames, each decoded when it is reached, with what `pixel_area` gives."""
    for frame in image.frames:
        yield frame, pixel_area(header, frame.index)
