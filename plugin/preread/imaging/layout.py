"""What the Image Pixel module says about an image's pixels (PS3.3 C.7.6.3), checked."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from pydicom.dataset import Dataset

from preread.elements.cells import Cell
from preread.imaging.attributes import named, text_of, value_of, whole_of
from preread.imaging.errors import UnreadableImage

GREY = ("MONOCHROME1", "MONOCHROME2")
COLOUR = ("RGB", "YBR_FULL", "YBR_FULL_422", "YBR_ICT", "YBR_RCT")
PALETTE = "PALETTE COLOR"
_FLOAT_BITS = {"FloatPixelData": 32, "DoubleFloatPixelData": 64}


@dataclass(frozen=True, slots=True)
class Layout:
    """How pixels are laid out, as the header claims it.

    Attributes
    ----------
    Rows, Columns, NumberOfFrames
        Each at least 1.
    SamplesPerPixel
        1, or 3 for colour.
    PhotometricInterpretation
        One of `GREY`, `COLOUR` or `PALETTE`.
    BitsAllocated
        1, 8, 16, 32 or 64.
    BitsStored
        1 to `BitsAllocated`.
    HighBit
        `BitsStored` - 1 to `BitsAllocated` - 1.
    PixelRepresentation
        1 where values are signed.
    PlanarConfiguration
        1 where a frame holds one colour after the other.
    keyword
        The attribute that holds the pixels: PixelData, FloatPixelData or DoubleFloatPixelData.
    frames_at_bytes
        Whether each frame begins with a byte of its own, which the standard does not ask for.
    """

    Rows: int
    Columns: int
    NumberOfFrames: int
    SamplesPerPixel: int
    PhotometricInterpretation: str
    BitsAllocated: int
    BitsStored: int
    HighBit: int
    PixelRepresentation: int
    PlanarConfiguration: int
    keyword: str
    frames_at_bytes: bool = False

    @property
    def frame_bits(self) -> int:
        """Bits of one frame, uncompressed, as stored."""
        bits = self.Rows * self.Columns * self.SamplesPerPixel * self.BitsAllocated
        if self.frames_at_bytes:
            bits += -bits % 8
        # Two pixels share their chroma (PS3.3 C.7.6.3.1.2).
        return bits * 2 // 3 if self.PhotometricInterpretation == "YBR_FULL_422" else bits

    @property
    def claimed_bytes(self) -> int:
        """Bytes of all frames, uncompressed, as stored."""
        return (self.frame_bits * self.NumberOfFrames + 7) // 8

    @property
    def working_bytes(self) -> int:
        """Bytes of one frame as `Frame` keeps it, at most 4 for each sample."""
        return self.Rows * self.Columns * self.SamplesPerPixel * 4

    @property
    def cell(self) -> Cell | None:
        """How the bits of a cell are shared out; None where all of them are the pixel's."""
        if self.keyword != "PixelData" or self.BitsStored == self.BitsAllocated:
            return None
        signed = self.PixelRepresentation == 1
        return Cell(self.BitsAllocated, self.BitsStored, self.HighBit, signed)

    def with_full_chroma(self) -> Layout:
        """Give the same layout for YBR that is not subsampled."""
        return replace(self, PhotometricInterpretation="YBR_FULL")

    def with_frames_at_bytes(self) -> Layout:
        """Give the same layout for frames that begin with a byte each."""
        return replace(self, frames_at_bytes=True)

    def options(self) -> dict[str, Any]:
        """Give the layout in the words of pydicom's decoders."""
        return {
            "rows": self.Rows,
            "columns": self.Columns,
            "number_of_frames": self.NumberOfFrames,
            "samples_per_pixel": self.SamplesPerPixel,
            "photometric_interpretation": self.PhotometricInterpretation,
            "bits_allocated": self.BitsAllocated,
            "bits_stored": self.BitsStored,
            "pixel_representation": self.PixelRepresentation,
            "planar_configuration": self.PlanarConfiguration,
            "pixel_keyword": self.keyword,
        }


def layout_of(dataset: Dataset, keyword: str) -> Layout:
    """Read and check the Image Pixel module.

    Parameters
    ----------
    dataset
        The image's attributes; its pixels are not looked at.
    keyword
        The attribute that holds the pixels.

    Raises
    ------
    UnreadableImage
        With the attribute that is missing or impossible.
    """
    is_float = keyword in _FLOAT_BITS
    photometric = _photometric(dataset)
    samples = _required(dataset, "SamplesPerPixel", 1, 3)
    expected = 3 if photometric in COLOUR else 1
    if samples != expected:
        raise UnreadableImage(
            f"{named('SamplesPerPixel')} is {samples}, but {photometric} pixels have {expected}"
        )
    allocated = _required(dataset, "BitsAllocated", 1, 64)
    if allocated not in (1, 8, 16, 32, 64):
        raise UnreadableImage(
            f"{named('BitsAllocated')} is {allocated}; expected 1, 8, 16, 32 or 64"
        )
    if is_float and allocated != _FLOAT_BITS[keyword]:
        raise UnreadableImage(
            f"{named('BitsAllocated')} is {allocated}; {named(keyword)} has {_FLOAT_BITS[keyword]}"
        )
    stored = allocated if is_float else _required(dataset, "BitsStored", 1, allocated)
    high_bit = stored - 1
    if not is_float and whole_of(dataset, "HighBit") is not None:
        high_bit = _required(dataset, "HighBit", 0, allocated - 1)
        # Less than that cannot be; such files mean what Bits Stored says.
        high_bit = max(high_bit, stored - 1)
    return Layout(
        Rows=_required(dataset, "Rows", 1, 65535),
        Columns=_required(dataset, "Columns", 1, 65535),
        # 0 is read as 1; `preread.imaging.presence` holds it against the pixels.
        NumberOfFrames=_optional(dataset, "NumberOfFrames", 0, 2**31 - 1, absent=1) or 1,
        SamplesPerPixel=samples,
        PhotometricInterpretation=photometric,
        BitsAllocated=allocated,
        BitsStored=stored,
        HighBit=high_bit,
        PixelRepresentation=0 if is_float else _optional(dataset, "PixelRepresentation", 0, 1),
        PlanarConfiguration=_optional(dataset, "PlanarConfiguration", 0, 1),
        keyword=keyword,
    )


def _photometric(dataset: Dataset) -> str:
    photometric = text_of(dataset, "PhotometricInterpretation")
    if photometric in (*GREY, *COLOUR, PALETTE):
        return photometric
    where = named("PhotometricInterpretation")
    if value_of(dataset, "PhotometricInterpretation") is None:
        raise UnreadableImage(f"{where} is missing")
    raise UnreadableImage(
        f"{where} is none of {', '.join((*GREY, PALETTE, *COLOUR))}; convert the image to one"
    )


def _required(dataset: Dataset, keyword: str, low: int, high: int) -> int:
    number = whole_of(dataset, keyword)
    if number is None:
        raise UnreadableImage(f"{named(keyword)} is missing")
    if not low <= number <= high:
        raise UnreadableImage(f"{named(keyword)} is {number}; expected {low} to {high}")
    return number


def _optional(dataset: Dataset, keyword: str, low: int, high: int, absent: int = 0) -> int:
    return absent if value_of(dataset, keyword) is None else _required(dataset, keyword, low, high)
