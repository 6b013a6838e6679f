"""Whether the pixel data that are there are as many as the header claims: no more and no fewer.

A frame that NumberOfFrames (0028,0008) does not count would not be read, and nobody would know.
"""

from __future__ import annotations

from collections.abc import Sequence

from pydicom.uid import RLELossless

from preread.imaging.attributes import named
from preread.imaging.codestream import begins_a_picture
from preread.imaging.errors import UnreadableImage
from preread.imaging.layout import Layout

DEFLATED_IMAGE_FRAME = "1.2.840.10008.1.2.8.1"
_ENCAPSULATED_UNCOMPRESSED = "1.2.840.10008.1.2.1.98"
_ONE_FRAGMENT_EACH = (RLELossless, _ENCAPSULATED_UNCOMPRESSED, DEFLATED_IMAGE_FRAME)
"""Transfer syntaxes in which a frame is one fragment (PS3.5 A.4.2, A.4.11, A.4.13)."""


def as_present(layout: Layout, there: int) -> Layout:
    """Check the claim against the bytes of uncompressed pixel data.

    Parameters
    ----------
    layout
        What the header claims.
    there
        How many bytes there are.

    Returns
    -------
    Layout
        The same, but with full chroma where the data are as long as that, since writers claim
        YBR_FULL_422 for it, and with frames of single bits that begin with a byte each where the
        data are as long as that.

    Raises
    ------
    UnreadableImage
        If there are too few bytes, or enough for another frame.
    """
    claimed = layout.claimed_bytes
    if there < claimed:
        raise UnreadableImage(
            f"{layout.keyword} holds {there} bytes, but Rows, Columns, NumberOfFrames, "
            f"SamplesPerPixel and BitsAllocated claim {claimed}: the file is truncated or its "
            "header wrong"
        )
    if layout.PhotometricInterpretation == "YBR_FULL_422" and there >= claimed // 2 * 3:
        layout = layout.with_full_chroma()
    elif layout.BitsAllocated == 1 and not _is_padded(layout.claimed_bytes, there):
        aligned = layout.with_frames_at_bytes()
        layout = aligned if _is_padded(aligned.claimed_bytes, there) else layout
    more = (there - layout.claimed_bytes) * 8
    if more >= layout.frame_bits and not _is_padded(layout.claimed_bytes, there):
        raise _uncounted(layout, there * 8 // layout.frame_bits)
    return layout


def check_fragments(layout: Layout, syntax: str, beginnings: Sequence[bytes], size: int) -> None:
    """Check the claim against the fragments of encapsulated pixel data.

    Parameters
    ----------
    layout
        What the header claims.
    syntax
        The transfer syntax.
    beginnings
        The first 8 bytes of each fragment.
    size
        The bytes of all fragments together.

    Raises
    ------
    UnreadableImage
        If there are fewer fragments than frames, or more frames than are claimed.
    """
    frames, fragments = layout.NumberOfFrames, len(beginnings)
    if fragments == 0 or size == 0:
        raise UnreadableImage("PixelData (7FE0,0010) is empty")
    if fragments < frames:
        raise UnreadableImage(
            f"{named('NumberOfFrames')} claims {frames} frames, but PixelData (7FE0,0010) "
            f"holds only {fragments} fragments: the file is truncated or the number wrong"
        )
    found = fragments if syntax in _ONE_FRAGMENT_EACH else sum(map(begins_a_picture, beginnings))
    if found > frames:
        raise _uncounted(layout, found)


def _is_padded(claimed: int, there: int) -> bool:
    return there in (claimed, claimed + claimed % 2)


def _uncounted(layout: Layout, found: int) -> UnreadableImage:
    return UnreadableImage(
        f"{layout.keyword} holds {found} frames, but {named('NumberOfFrames')} counts "
        f"{layout.NumberOfFrames} or is missing: correct the number"
    )
