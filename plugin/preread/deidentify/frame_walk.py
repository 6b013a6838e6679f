"""What is found on the way through a compressed frame, of whatever kind."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from preread.elements import Budget, unlimited
from preread.errors import PrereadError

Frame = bytes | memoryview
"""One compressed picture, with or without padding behind it."""

_MOST_SEGMENTS: Final = 1_000_000
"""Of one frame: JPEG 2000 may have 65,535 tiles."""
_OF_A_SEGMENT: Final = 6  # what it costs, in units of a budget


class Edit(NamedTuple):
    """A range of a frame and what stands there afterwards, mostly nothing."""

    start: int
    end: int
    replacement: bytes = b""


@dataclass(slots=True)
class Walk:
    """What was found on the way through a frame.

    Attributes
    ----------
    edits
        Ranges that change, in order, without overlap, all before `end`.
    end
        Offset behind the picture's last byte; what follows is padding, or does not belong there.
    removed
        How many segments or boxes went or became shorter.
    size
        The bytes of the header that state bits, rows, columns and components; empty for JPEG XL.
    segments
        How many segments and tile-parts there are.
    budget
        What the walk may cost.
    """

    edits: list[Edit] = field(default_factory=list)
    end: int = 0
    removed: int = 0
    size: bytes = b""
    segments: int = 0
    budget: Budget = field(default_factory=unlimited)

    def step(self, at: int) -> None:
        """Count a segment.

        Raises
        ------
        BrokenFrame
            If there are more than any picture has.
        """
        self.segments += 1
        self.budget.spend(_OF_A_SEGMENT)
        if self.segments > _MOST_SEGMENTS:
            raise BrokenFrame(at, "more segments than any picture has")


class BrokenFrame(PrereadError):
    """A frame cannot be walked over.

    Attributes
    ----------
    offset
        Where in the frame.
    reason
        What was expected there.
    """

    def __init__(self, offset: int, reason: str) -> None:
        super().__init__(reason)
        self.offset = offset
        self.reason = reason


def segment_length(frame: Frame, at: int) -> int:
    """Read the length of a segment of JPEG or JPEG 2000, itself included.

    Raises
    ------
    BrokenFrame
        If the segment does not lie within the frame.
    """
    length = int.from_bytes(frame[at : at + 2], "big")
    if at + 2 > len(frame) or length < 2 or at + length > len(frame):
        raise BrokenFrame(at, "a segment is longer than its frame")
    return length


def is_padding(trailing: Frame) -> bool:
    r"""Tell whether nothing is said behind a picture's end: all 0 or all FF, or nothing at all.

    >>> is_padding(b"\0"), is_padding(b"\xff"), is_padding(b"JANE")
    (True, True, False)
    """
    return _PADDING.fullmatch(trailing) is not None


_PADDING: Final = re.compile(rb"\x00*|\xff*")
