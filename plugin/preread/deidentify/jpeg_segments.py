"""Encapsulated JPEG without what is attached to it: APPn, COM, boxes, data behind the end.

A JPEG can carry Exif, XMP, IPTC, thumbnails, comments and whatever a device wrote there. All of it
goes, but for what decoding needs; entropy-coded data are neither decoded nor copied (PS3.5 A.4).

Looked into: JPEG (baseline, extended, lossless, progressive), JPEG-LS, JPEG 2000 with Part 2,
HTJ2K, JPEG XL, and whatever begins like one of them under another transfer syntax. Not looked
into: RLE and deflated frames, which have no place for metadata, and the user data and SEI messages
of MPEG-2, H.264 and HEVC, for which `is_video` is there to be asked; of those what lies between
the fragments goes. JPIP has no pixel data.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Final

from preread.deidentify.codestreams import (
    BEGINNINGS,
    NAKED_JPEG_XL,
    is_followed_by_its_like,
    walk,
)
from preread.deidentify.fragments import Encapsulated, Fragment, Stripped, beginning_of
from preread.deidentify.frame_walk import BrokenFrame, Edit, Walk, is_padding
from preread.elements import Budget, Element, MalformedFile

MORE_FRAMES: Final = "the pixel data hold more frames than NumberOfFrames (0028,0008) says"

_PIXEL_DATA: Final = 0x7FE00010
_NUMBER_OF_FRAMES: Final = 0x00280008
_LONGEST_FRAGMENT: Final = 0xFFFFFFFE
# What they cost, in units of a budget.
_OF_A_FRAGMENT: Final = 3
_OF_A_FRAME: Final = 20

_JPEG: Final = "1.2.840.10008.1.2.4."
_VIDEO: Final = frozenset(_JPEG + str(number) for number in range(100, 109))
_OF_PICTURES: Final = frozenset(
    _JPEG + str(number)
    for number in (*range(50, 67), 70, 80, 81, 90, 91, 92, 93, 110, 111, 112, 201, 202, 203)
)
_JPEG_XL: Final = frozenset(_JPEG + str(number) for number in (110, 111, 112))


@dataclass(frozen=True, slots=True)
class _Frame:
    """One frame: the offsets of its fragments' tags, contents and ends, and what was found."""

    fragments: list[Fragment]
    walk: Walk
    has_rest: bool  # behind its end, and not padding
    has_another: bool  # behind its end, of the same size

    @property
    def changes(self) -> bool:
        return bool(self.walk.edits) or self.has_rest


def is_video(transfer_syntax: str) -> bool:
    """Tell whether pixel data are MPEG-2, H.264 or HEVC, which `strip_segments` leaves alone.

    >>> is_video("1.2.840.10008.1.2.4.102.1"), is_video("1.2.840.10008.1.2.4.50")
    (True, False)
    """
    return transfer_syntax in _VIDEO or transfer_syntax.removesuffix(".1") in _VIDEO


def ends_by_itself(transfer_syntax: str) -> bool:
    """Tell whether the end of a frame is found without decoding it; that of JPEG XL is not.

    >>> ends_by_itself("1.2.840.10008.1.2.4.50"), ends_by_itself("1.2.840.10008.1.2.4.110")
    (True, False)
    """
    return transfer_syntax in _OF_PICTURES - _JPEG_XL


def strip_segments(
    pixels: Encapsulated,
    transfer_syntax: str,
    *,
    extended_offsets: Sequence[int] | None = None,
    extended_lengths: Sequence[int] | None = None,
    number_of_frames: int = 1,
) -> Stripped | None:
    """Take out of encapsulated pixel data what pixels do not need.

    Kept are JFIF's APP0 (14 bytes, no thumbnail), Adobe's APP14 (12 bytes) and the colour transform
    of JPEG-LS in APP8 ('mrfx', 5 bytes), all before the first scan only; of a JP2 file only the
    codestream. A frame that changes becomes a single fragment; the others keep theirs. A Basic
    Offset Table that does not point to frames is emptied, which the standard allows. Of what is
    not looked into the tables and the delimiter are held to the fragments all the same.

    Parameters
    ----------
    pixels
        The pixel data of a file.
    transfer_syntax
        The UID.
    extended_offsets, extended_lengths
        Values of ExtendedOffsetTable and ExtendedOffsetTableLengths, if the file has them.
    number_of_frames
        What NumberOfFrames says.

    Returns
    -------
    Stripped or None
        None if there is nothing to take out: the element stays as it is.

    Raises
    ------
    preread.elements.MalformedFile
        If a frame cannot be walked over, so that nobody can say what is in it, or there are more
        frames than `number_of_frames`.
    preread.elements.OverBudget
        If it takes longer than it may.
    """
    view, budget = pixels.view, pixels.budget
    if not _has_pictures(pixels, transfer_syntax):
        extended = None if extended_offsets is None else (extended_offsets, extended_lengths)
        return pixels.tidied(transfer_syntax, number_of_frames, extended)
    _, _, behind_table = pixels.items[0]
    grouped = _grouped(view, budget.over(pixels.fragments, _OF_A_FRAGMENT))
    frames = [_walked(view, group, budget) for group in grouped]
    _check_naked(view, frames, transfer_syntax)
    _check_count(frames, number_of_frames, extended_offsets, pixels.element)
    starts = [frame.fragments[0][0] - behind_table for frame in frames]
    basic = pixels.pointed_at(starts)
    is_sound = basic is not None and pixels.is_enclosed
    if extended_offsets is not None and (
        list(extended_offsets) != starts or not _are_lengths(extended_lengths, frames)
    ):
        is_sound = False
    if is_sound and not any(frame.changes for frame in frames):
        return None
    return _written(pixels, frames, basic or [], has_extended=extended_offsets is not None)


def _has_pictures(pixels: Encapsulated, transfer_syntax: str) -> bool:
    if not pixels.fragments or is_video(transfer_syntax):
        return False
    return transfer_syntax in _OF_PICTURES or any(
        bytes(pixels.view[start:end][:8]).startswith(BEGINNINGS) for _, start, end in pixels.items
    )


def _are_lengths(lengths: Sequence[int] | None, frames: list[_Frame]) -> bool:
    """Tell whether ExtendedOffsetTableLengths has those of the frames, with padding or without."""
    if lengths is None or len(lengths) != len(frames):
        return False
    return all(
        frame.walk.end <= length <= sum(end - start for _, start, end in frame.fragments)
        for length, frame in zip(lengths, frames, strict=True)
    )


def _grouped(view: memoryview, fragments: Iterable[Fragment]) -> list[list[Fragment]]:
    """Give each frame its fragments: a frame begins where a fragment begins with a picture.

    Offset tables are not asked, because many are wrong. A marker for the beginning cannot stand
    within entropy-coded data; where metadata imitate one, the walk over the frame before fails.
    """
    groups: list[list[Fragment]] = []
    for fragment in fragments:
        beginning = bytes(view[fragment[1] : fragment[2]][:8])
        if beginning.startswith(BEGINNINGS) or not groups:
            groups.append([])
        groups[-1].append(fragment)
    return groups


def _walked(view: memoryview, fragments: list[Fragment], budget: Budget) -> _Frame:
    _, start, end = fragments[0]
    frame: bytes | memoryview = view[start:end]
    if len(fragments) > 1:
        frame = b"".join(view[start:end] for _, start, end in fragments)
    try:
        found = walk(frame, budget)
    except BrokenFrame as error:
        raise MalformedFile(start + error.offset, _PIXEL_DATA, error.reason) from None
    budget.spend(_OF_A_FRAME)
    rest = frame[found.end :]
    has_rest = not is_padding(rest)
    has_another = has_rest and is_followed_by_its_like(found, rest)
    return _Frame(fragments, found, has_rest=has_rest, has_another=has_another)


def _check_naked(view: memoryview, frames: list[_Frame], transfer_syntax: str) -> None:
    """Refuse a codestream of JPEG XL, which may end anywhere, where there should be another one."""
    for frame in frames:
        item, start, _ = frame.fragments[0]
        if transfer_syntax not in _JPEG_XL and bytes(view[start : start + 2]) == NAKED_JPEG_XL:
            raise MalformedFile(item, _PIXEL_DATA, "a frame of JPEG XL in another transfer syntax")


def _check_count(
    frames: list[_Frame], expected: int, offsets: Sequence[int] | None, element: Element
) -> None:
    """Refuse to drop what may be another frame, and tables whose place nobody can tell."""
    if len(frames) < expected and any(frame.has_rest for frame in frames):
        reason = "fewer frames than NumberOfFrames says, and data behind the end of one"
        raise MalformedFile(element.start, element.tag, reason)
    if len(frames) > expected or any(frame.has_another for frame in frames):
        raise MalformedFile(element.start, _NUMBER_OF_FRAMES, MORE_FRAMES)
    if offsets is not None and len(offsets) != len(frames):
        reason = "not as many frames as ExtendedOffsetTable has values"
        raise MalformedFile(element.start, element.tag, reason)


def _written(
    pixels: Encapsulated, frames: list[_Frame], basic: list[int], *, has_extended: bool
) -> Stripped:
    bodies, offsets, lengths = [], [], []
    position = 0
    for frame in frames:
        # An Extended Offset Table wants one fragment for each frame (PS3.3 C.7.6.3.1.8).
        if frame.changes or (has_extended and len(frame.fragments) > 1):
            body, length = _rewritten(pixels.view, frame)
        else:
            body = [pixels.view[frame.fragments[0][0] : frame.fragments[-1][2]]]
            length = frame.walk.end
        bodies.append(body)
        offsets.append(position)
        lengths.append(length)
        position += sum(map(len, body))
    pointers = [offsets[index] for index in basic]
    return Stripped(
        parts=pixels.enclosed(pointers, [part for body in bodies for part in body]),
        offsets=offsets if has_extended else None,
        lengths=lengths if has_extended else None,
        removed=sum(frame.walk.removed + frame.has_rest for frame in frames),
    )


def _rewritten(view: memoryview, frame: _Frame) -> tuple[list[bytes | memoryview], int]:
    """Return a frame as one fragment, and its length without padding."""
    borders = list(accumulate((end - start for _, start, end in frame.fragments), initial=0))
    kept: list[bytes | memoryview] = []
    position = 0
    for edit in (*frame.walk.edits, Edit(frame.walk.end, frame.walk.end)):
        # A range of the frame lies in one fragment or goes on in the next ones.
        index = bisect_right(borders, position) - 1
        while position < edit.start:
            start, until = frame.fragments[index][1], min(edit.start, borders[index + 1])
            if position < until:
                kept.append(
                    view[start + position - borders[index] : start + until - borders[index]]
                )
            position, index = until, index + 1
        kept.append(edit.replacement)
        position = edit.end
    length = sum(map(len, kept))
    padding = b"\0" * (length % 2)
    if length > _LONGEST_FRAGMENT:
        raise MalformedFile(frame.fragments[0][0], _PIXEL_DATA, "a frame longer than a fragment")
    item = beginning_of(length + len(padding))
    return [item, *(piece for piece in kept if len(piece)), *([padding] if padding else [])], length
