"""What is wrong with a file's bytes."""

from __future__ import annotations

from preread.elements.dictionary import tag_in_words
from preread.errors import PrereadError


class MalformedFile(PrereadError):
    """The bytes are not the DICOM file that they claim to be.

    Attributes
    ----------
    offset
        Where in the file.
    tag
        The element, 0xGGGGEEEE; None if it is not about one.
    reason
        What is wrong; no length or value that was read from the file.
    """

    def __init__(self, offset: int, tag: int | None, reason: str) -> None:
        named = "" if tag is None else tag_in_words(tag)
        where = f" {named}" if named else ""
        super().__init__(f"malformed DICOM at byte {offset}{where}: {reason}")
        self.offset = offset
        self.tag = tag
        self.reason = reason


class TooMuch(MalformedFile):
    """There is more of something than any image has: all of the file is refused."""


class NestedTooDeep(MalformedFile):
    """Sequences lie within each other so deep that a parser of the whole file may overflow."""
