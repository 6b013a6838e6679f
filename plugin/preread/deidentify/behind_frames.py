"""Encapsulated pixel data that are no codestream to walk over, without what lies beside the frames.

Encapsulated Uncompressed (PS3.5 A.4.11): a fragment is a frame, whose length the header tells. MP4
around a video: boxes. What only decoding tells stays here: the end of an RLE, a deflated or a JPEG
XL frame, and what the streams of a video carry.
"""

from __future__ import annotations

from typing import Final

from preread.deidentify.codestreams import BrokenFrame
from preread.deidentify.fragments import Stripped, cut, fragments_of, patched
from preread.deidentify.jpeg_segments import is_video
from preread.deidentify.mp4 import blanked, is_mp4
from preread.elements import Element, MalformedFile

UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"


def without_rest(
    data: bytes | memoryview, element: Element, transfer_syntax: str, frame_length: int
) -> Stripped | None:
    """Return encapsulated pixel data without what no decoder needs.

    Parameters
    ----------
    data
        The file (or the data set).
    element
        PixelData of undefined length in it.
    transfer_syntax
        The UID.
    frame_length
        Bytes of a frame that is not compressed; 0 if nobody can tell.

    Returns
    -------
    Stripped or None
        None if there is nothing of the kind.

    Raises
    ------
    MalformedFile
        If the boxes of a video cannot be walked over, or a fragment holds more than its frame.
    """
    if transfer_syntax == UNCOMPRESSED:
        if not frame_length:
            return None
        view = memoryview(data)
        return cut(view, element, fragments_of(data, element), frame_length)
    return _video(data, element) if is_video(transfer_syntax) else None


def _video(data: bytes | memoryview, element: Element) -> Stripped | None:
    view, found = memoryview(data), fragments_of(data, element)
    if len(found) < 2 or not is_mp4(view[found[1][1] : found[1][2]]):
        return None
    contents = [view[start:end] for _, start, end in found[1:]]
    file: bytes | memoryview = contents[0] if len(contents) == 1 else b"".join(contents)
    try:
        edits = blanked(file)
    except BrokenFrame as error:
        raise MalformedFile(found[1][1] + error.offset, element.tag, error.reason) from None
    return patched(view, element, found, edits) if edits else None
