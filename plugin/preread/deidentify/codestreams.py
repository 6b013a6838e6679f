"""What may go from a compressed frame without its pixels changing: metadata beside the picture.

A frame is told by what it begins with. Codestreams are walked over where they are known; the boxes
of a file around a codestream (ISO/IEC 15444-1 Annex I, 18181-2) by their lengths.
"""

from __future__ import annotations

from typing import Final

from preread.deidentify.frame_walk import BrokenFrame, Edit, Frame, Walk, is_padding
from preread.deidentify.jpeg2000_walk import walk_jpeg2000
from preread.deidentify.jpeg_walk import walk_jpeg
from preread.elements import Budget, unlimited

_MOST_BOXES: Final = 1000
_SOI: Final = b"\xff\xd8"
_SOC_SIZ: Final = b"\xff\x4f\xff\x51"
_JP2: Final = b"\0\0\0\x0cjP  "
_JXL: Final = b"\0\0\0\x0cJXL "
NAKED_JPEG_XL: Final = b"\xff\x0a"
BEGINNINGS: Final = (_SOI, _SOC_SIZ, _JP2, _JXL)
"""What a frame begins with that can be walked over."""


def walk(frame: Frame, budget: Budget | None = None) -> Walk:
    """Find what can be taken out of a frame.

    Parameters
    ----------
    frame
        One compressed picture, with or without padding behind it.
    budget
        What the walk may cost; None for no bound.

    Raises
    ------
    BrokenFrame
        If it is of no known kind, damaged or cut off.
    preread.elements.OverBudget
        If it takes longer than it may.
    """
    found = Walk(budget=budget or unlimited())
    beginning = bytes(frame[:8])
    if beginning.startswith(_SOI):
        return walk_jpeg(frame, found)
    if beginning.startswith(_SOC_SIZ):
        return walk_jpeg2000(frame, 0, found)
    if beginning == _JP2:
        return _walk_jp2(frame, found)
    if beginning == _JXL:
        return _walk_jxl(frame)
    if beginning.startswith(NAKED_JPEG_XL):
        return Walk(end=len(frame))
    raise BrokenFrame(0, "expected the beginning of a JPEG, JPEG-LS, JPEG 2000 or JPEG XL picture")


def is_followed_by_its_like(found: Walk, rest: Frame) -> bool:
    """Tell whether another picture of its size begins in what lies behind one.

    One of another size is a preview, which devices attach; one of the same is a frame.
    """
    start = len(rest) - len(bytes(rest).lstrip(b"\0"))
    beginning = bytes(rest[start : start + 8])
    if not found.size or not beginning.startswith(BEGINNINGS):
        return False
    try:
        return walk(rest[start:], found.budget).size == found.size
    except BrokenFrame:
        return False  # not a whole one


def _boxes(frame: Frame) -> list[tuple[bytes, int, int, int]]:
    """List the boxes of a file: type, start, start of the content, end (15444-1 I.4)."""
    boxes: list[tuple[bytes, int, int, int]] = []
    at, size = 0, len(frame)
    while at < size and not is_padding(frame[at:]):
        length, content = int.from_bytes(frame[at : at + 4], "big"), at + 8
        if length == 1:
            length, content = int.from_bytes(frame[at + 8 : at + 16], "big"), at + 16
        elif length == 0:
            length = size - at
        end = at + length
        if content > size or end < content or end > size:
            raise BrokenFrame(at, "a box is longer than its frame")
        if len(boxes) == _MOST_BOXES:
            raise BrokenFrame(at, "more boxes than any picture has")
        boxes.append((bytes(frame[at + 4 : at + 8]), at, content, end))
        at = end
    return boxes


def _walk_jp2(frame: Frame, found: Walk) -> Walk:
    """Leave only the codestream, which is all that DICOM allows (PS3.5 A.4.4)."""
    boxes = _boxes(frame)
    contents = [content for name, _, content, _ in boxes if name == b"jp2c"]
    if not contents or frame[contents[0] : contents[0] + 4] != _SOC_SIZ:
        raise BrokenFrame(0, "a JP2 file without a codestream")
    for name, _, content, end in boxes:
        # Their pixels are not those of the codestream alone.
        if name == b"jp2h" and b"pclr" in bytes(frame[content:end]):
            raise BrokenFrame(
                content, "a JP2 file with a palette; DICOM allows the codestream only"
            )
    inside = walk_jpeg2000(frame, contents[0], found)
    return Walk(
        edits=[Edit(0, contents[0]), *inside.edits],
        end=inside.end,
        removed=inside.removed + len(boxes) - 1,
        size=inside.size,
    )


_JXL_DECODING: Final = frozenset((b"JXL ", b"ftyp", b"jxll", b"jxli", b"jxlc", b"jxlp"))
"""Without what a JPEG is made from again (jbrd): it holds the JPEG's metadata."""


def _walk_jxl(frame: Frame) -> Walk:
    boxes = _boxes(frame)
    found = Walk(end=max(end for _, _, _, end in boxes))
    for name, start, _, end in boxes:
        if name not in _JXL_DECODING:
            found.edits.append(Edit(start, end))
            found.removed += 1
    return found
