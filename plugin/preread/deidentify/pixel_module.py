"""What a header says of the size of its pixel data, read once (PS3.3 C.7.6.3, C.7.6.6)."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from preread.elements import Header

SAMPLES_PER_PIXEL: Final = 0x00280002
_PHOTOMETRIC_INTERPRETATION: Final = 0x00280004
NUMBER_OF_FRAMES: Final = 0x00280008
ROWS: Final = 0x00280010
COLUMNS: Final = 0x00280011
BITS_ALLOCATED: Final = 0x00280100
_WHOLE_BITS: Final = (1, 8, 16, 32, 64)
_NUMBERS: Final = frozenset((b"DS", b"IS", b"SL", b"SS", b"UL", b"US"))


class PixelModule(NamedTuple):
    """The size of a frame, and how many there are.

    Attributes
    ----------
    rows, columns, samples, bits
        Rows, Columns, SamplesPerPixel and BitsAllocated; 0 where no number says it.
    frames
        How many frames there are said to be; 1 where no number says it (C.7.6.6).
    """

    rows: int
    columns: int
    samples: int
    bits: int
    frames: int

    @property
    def is_sized(self) -> bool:
        """Whether it is known how many bits a frame has."""
        return min(self.rows, self.columns, self.samples) > 0 and self.bits in _WHOLE_BITS

    @property
    def pixels(self) -> int:
        """How many pixels a frame has."""
        return self.rows * self.columns

    def has_half_colours(self, header: Header) -> bool:
        """Tell whether every other colour is left out (C.7.6.3.1.2), as its header has it.

        Some say so of what has all its colours.
        """
        return self.samples == 3 and header.text(_PHOTOMETRIC_INTERPRETATION).endswith("_422")


def pixel_module(header: Header) -> PixelModule:
    """Read the size of the pixel data of a file."""
    return PixelModule(
        number_of(header, ROWS) or 0,
        number_of(header, COLUMNS) or 0,
        number_of(header, SAMPLES_PER_PIXEL) or 0,
        number_of(header, BITS_ALLOCATED) or 0,
        max(1, header.number(NUMBER_OF_FRAMES) or 1),
    )


def number_of(header: Header, tag: int) -> int | None:
    """Return a number of VR US or SS, though its writer may not have known the VR."""
    vr = header.vr(tag)
    if not vr or vr in _NUMBERS:
        return header.number(tag)
    raw = header.raw(tag)
    # UN of a defined length is in the byte order of the data set (PS3.5 section 6.2.2).
    return int(struct.unpack_from(header.encoding.order + "H", raw)[0]) if len(raw) > 1 else None
