"""Open a DICOM image: everything that cannot be shown is refused in one way."""

from __future__ import annotations

from collections.abc import Iterator

from pydicom.uid import UID

from preread.imaging.attributes import text_of
from preread.imaging.colour import colour_frame, palette_frame
from preread.imaging.decode import Decoded, Frames
from preread.imaging.errors import UnreadableImage
from preread.imaging.frame import Frame, Units
from preread.imaging.geometry import (
    check_geometry,
    check_geometry_of_frame,
    check_nothing_lost,
)
from preread.imaging.grey import grey_frame
from preread.imaging.layout import COLOUR, PALETTE, Layout, layout_of
from preread.imaging.meaning import units_of_image
from preread.imaging.source import Source, read_source
from preread.imaging.tables import palette_table

_SEGMENTATIONS = ("1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.66.7")


class Image:
    """A DICOM image whose frames are decoded one at a time, when asked for.

    It keeps the file's bytes and never more than one frame; made by `open_image`.

    Attributes
    ----------
    layout
        The checked Image Pixel module.
    """

    def __init__(self, source: Source, layout: Layout) -> None:
        self.layout = layout
        self._source = source
        self._frames = Frames(source, layout)
        self._palette = None
        if layout.PhotometricInterpretation == PALETTE:
            self._palette = palette_table(
                source.dataset, signed=layout.PixelRepresentation == 1, little=source.little
            )

    @property
    def number_of_frames(self) -> int:
        """How many frames there are, 1 or more."""
        return self.layout.NumberOfFrames

    @property
    def units(self) -> Units:
        """What the values of all frames mean; unknown where frames differ.

        Raises
        ------
        UnreadableImage
            If an attribute that this depends on cannot be read.
        """
        return units_of_image(self._source, self.layout)

    @property
    def frames(self) -> Iterator[Frame]:
        """The frames from the first on, each decoded when it is reached.

        Raises
        ------
        UnreadableImage
            If one of them cannot be decoded.
        """
        return (self._frame(index, decoded) for index, decoded in enumerate(self._frames))

    def frame(self, index: int) -> Frame:
        """Decode one frame.

        Parameters
        ----------
        index
            From 0 to `number_of_frames`, exclusive.

        Raises
        ------
        IndexError
            If there is no such frame.
        UnreadableImage
            If it cannot be decoded.
        """
        if not 0 <= index < self.number_of_frames:
            raise IndexError(f"frame {index} of {self.number_of_frames}")
        return self._frame(index, self._frames.frame(index))

    def _frame(self, index: int, decoded: Decoded) -> Frame:
        try:
            check_geometry_of_frame(self._source.dataset, index)
            if self._palette is not None:
                return palette_frame(index, decoded.values, self._palette)
            if self.layout.PhotometricInterpretation in COLOUR:
                return colour_frame(index, decoded, self.layout)
            return grey_frame(index, decoded.values, self._source, self.layout)
        except RecursionError:
            raise UnreadableImage("the file nests sequences too deep to be read") from None


def open_image(data: bytes, *, max_bytes: int) -> Image:
    """Open the image in a DICOM file, without decoding any of it.

    Parameters
    ----------
    data
        The whole file, with or without preamble and file meta.
    max_bytes
        The largest uncompressed size of all frames together, and of one frame in work.

    Raises
    ------
    UnreadableImage
        If the file holds no image, or its header claims what cannot be or what is not there. Each
        frame may raise it too, when decoded.
    """
    source = read_source(data, max_bytes=max_bytes)
    _refuse_other_objects(source)
    check_nothing_lost(source.dataset)
    check_geometry(source.dataset)
    layout = layout_of(source.dataset, source.keyword)
    size = max(layout.claimed_bytes, layout.working_bytes)
    if size > max_bytes:
        raise UnreadableImage(
            f"{layout.NumberOfFrames} frames of {layout.Columns} x {layout.Rows} pixels take "
            f"{size} bytes, more than {max_bytes}; raise Preread.Runner.MaxImageMegabytes if the "
            "header is right"
        )
    return Image(source, layout)


def _refuse_other_objects(source: Source) -> None:
    if source.sop_class in _SEGMENTATIONS or text_of(source.dataset, "Modality") == "SEG":
        raise UnreadableImage(
            "a segmentation, which marks regions of other images and is not read itself"
        )
    sop_class = UID(source.sop_class)
    # A class that the standard does not know is whatever the file says, and is not repeated.
    name = sop_class.name if sop_class.type == "SOP Class" else "object of an unknown class"
    if not source.keyword and not source.sop_class:
        raise UnreadableImage(
            "no DICOM image: neither SOPClassUID (0008,0016) nor pixel data were found; the file "
            "is broken or no DICOM"
        )
    if not source.keyword:
        raise UnreadableImage(f"no image to read: {name}, without pixel data")
    if source.pixel_start == source.pixel_end:
        raise UnreadableImage(f"no image to read: {name}, whose {source.keyword} is empty")
