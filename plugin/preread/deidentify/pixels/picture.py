"""An image under work: its stored frames, how they look, what is black in them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.uid import UID

from preread.imaging.colour import colour_frame, palette_frame
from preread.imaging.decode import Decoded, Frames
from preread.imaging.errors import UnreadableImage
from preread.imaging.layout import COLOUR, PALETTE, Layout, layout_of
from preread.imaging.source import Source, read_source
from preread.imaging.tables import palette_table


class Picture:
    """The image in a file.

    Parameters
    ----------
    data
        The file.
    max_bytes
        The largest uncompressed size of all frames together.

    Attributes
    ----------
    source, layout
        The file taken apart, and its checked Image Pixel module.
    had_more
        Whether the cells of a frame that was shown held more than its pixels.

    Raises
    ------
    UnreadableImage
        If there is no image that can be decoded; each frame may raise it too.
    """

    def __init__(self, data: bytes, max_bytes: int) -> None:
        self.source: Source = read_source(data, max_bytes=max_bytes)
        if not self.source.keyword:
            raise UnreadableImage("there is no pixel data")
        self.layout: Layout = layout_of(self.source.dataset, self.source.keyword)
        size = max(self.layout.claimed_bytes, self.layout.working_bytes)
        if size > max_bytes:
            raise UnreadableImage(f"its frames take {size} bytes, more than {max_bytes}")
        self._frames = Frames(self.source, self.layout)
        self.layout = self._frames.layout
        self.had_more = False
        self._palette = None
        if self.layout.PhotometricInterpretation == PALETTE:
            self._palette = palette_table(
                self.source.dataset,
                signed=self.layout.PixelRepresentation == 1,
                little=self.source.little,
            )

    @property
    def syntax(self) -> UID:
        """The transfer syntax; an inflated file's is Explicit VR Little Endian."""
        return UID(self.source.transfer_syntax)

    def encoded(self) -> Iterator[bytes]:
        """Give each frame as it lies in the file if it is encapsulated."""
        return self._frames.encoded() if self.source.is_encapsulated else iter(())

    def stored(self) -> Iterator[Decoded]:
        """Give the stored values of each frame, which may be written to."""
        for decoded in self._frames:
            values = decoded.values
            yield decoded if values.flags.writeable else replace(decoded, values=values.copy())

    def shown(self, index: int) -> NDArray[Any]:
        """Give a frame as it looks: (H, W) rising with brightness, or (H, W, 3) RGB.

        Parameters
        ----------
        index
            From 0.
        """
        decoded = self._frames.frame(index)
        self.had_more = self.had_more or decoded.had_more
        if self._palette is not None:
            return palette_frame(index, decoded.values, self._palette).pixels
        if self.layout.PhotometricInterpretation in COLOUR:
            return colour_frame(index, decoded, self.layout).pixels
        values = decoded.values
        if values.dtype.kind == "f":
            values = np.nan_to_num(values, nan=0.0, posinf=0.0, neginf=0.0)
        elif values.dtype.kind == "b":
            values = values.astype(np.uint8)
        if self.layout.PhotometricInterpretation != "MONOCHROME1":
            return values
        return -values if values.dtype.kind == "f" else np.invert(values)

    def black(self, decoded: Decoded) -> tuple[int | float, ...]:
        """Return the stored value of each sample that is shown darkest.

        Parameters
        ----------
        decoded
            The frame that it is for: of grey ones its darkest value, so that no window changes.
        """
        colours = decoded.photometric
        if not self.source.is_encapsulated:
            colours = self.layout.PhotometricInterpretation
        if colours.startswith("YBR"):
            middle = 1 << (self.layout.BitsStored - 1)
            return 0, middle, middle
        if self.layout.SamplesPerPixel > 1:
            return (0,) * self.layout.SamplesPerPixel
        values = decoded.values
        if self._palette is not None:
            # Of those that the frame has: an index beyond the table may be shown as anything.
            present = np.unique(values)
            shown = self._palette.apply(present[None])[0].sum(axis=-1)
            return (int(present[int(np.argmin(shown))]),)
        end = values.max() if colours == "MONOCHROME1" else values.min()
        return (end.item(),)
