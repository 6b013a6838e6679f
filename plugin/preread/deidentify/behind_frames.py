"""Encapsulated pixel data that are no codestream to walk over, without what lies beside the frames.

Encapsulated Uncompressed (PS3.5 A.4.11): a fragment is a frame, whose length the header tells. MP4
around a video: boxes. What only decoding tells stays here: the end of an RLE, a deflated or a JPEG
XL frame, and what the streams of a video carry.
"""

from __future__ import annotations

from typing import Final

from preread.deidentify.fragments import Encapsulated, Stripped
from preread.deidentify.frame_walk import BrokenFrame
from preread.deidentify.jpeg_segments import ends_by_itself, is_video
from preread.deidentify.mp4 import blanked, is_mp4
from preread.deidentify.pixel_module import pixel_module
from preread.elements import PIXEL_DATA, Header, MalformedFile

UNCOMPRESSED: Final = "1.2.840.10008.1.2.1.98"


def without_rest(pixels: Encapsulated, transfer_syntax: str, frame_length: int) -> Stripped | None:
    """Return encapsulated pixel data without what no decoder needs.

    Parameters
    ----------
    pixels
        The pixel data of a file.
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
        return pixels.cut(frame_length) if frame_length else None
    return _video(pixels) if is_video(transfer_syntax) else None


def only_decoding_tells(header: Header) -> bool:
    """Tell whether nobody knows where the pixels of a file end before they are decoded.

    So it is with RLE, deflated frames, JPEG XL, video and private transfer syntaxes; with pixel
    data of which the header does not say how large a frame is; and with pixel data of two kinds, of
    which one alone is shown.
    """
    kinds = [tag for tag in PIXEL_DATA if tag in header]
    if not kinds or not header.pixel_data_length:
        return False
    if len(kinds) > 1:
        return True
    element, syntax = header.all_elements[-1], header.TransferSyntaxUID
    if element.tag == kinds[0] and element.undefined:
        if syntax == UNCOMPRESSED:
            return not pixel_module(header).is_sized
        return not ends_by_itself(syntax)
    return not pixel_module(header).is_sized


def _video(pixels: Encapsulated) -> Stripped | None:
    contents = [pixels.view[start:end] for _, start, end in pixels.fragments]
    if not contents or not is_mp4(contents[0]):
        return None
    file: bytes | memoryview = contents[0] if len(contents) == 1 else b"".join(contents)
    try:
        edits = blanked(file)
    except BrokenFrame as error:
        at = pixels.fragments[0][1] + error.offset
        raise MalformedFile(at, pixels.element.tag, error.reason) from None
    return pixels.patched(edits) if edits else None
