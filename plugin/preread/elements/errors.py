"""What is wrong with a file's bytes."""

from __future__ import annotations

from preread.errors import PrereadError


class MalformedFile(PrereadError):
    """The bytes are not the DICOM file that they claim to be.

    Attributes
    ----------
    offset
        Where in the file.
    tag
        The element, 0xGGGGEEEE; None if it is not about one.
    """

    def __init__(self, offset: int, tag: int | None, reason: str) -> None:
        where = "" if tag is None else f" ({tag >> 16:04X},{tag & 0xFFFF:04X})"
        super().__init__(f"malformed DICOM at byte {offset}{where}: {reason}")
        self.offset = offset
        self.tag = tag
        self.reason = reason
