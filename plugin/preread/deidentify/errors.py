"""What keeps an object from being made safe."""

from __future__ import annotations

from preread.elements import tag_in_words
from preread.errors import PrereadError


class DeidentificationError(PrereadError):
    """An object cannot be de-identified and must not be stored.

    Attributes
    ----------
    tag
        The element, 0xGGGGEEEE; None if it is not about one.
    reason
        What is wrong; never a value of the data set.
    """

    def __init__(self, tag: int | None, reason: str) -> None:
        named = "" if tag is None else tag_in_words(tag)
        where = f" {named}" if named else ""
        super().__init__(f"cannot be de-identified{where}: {reason}")
        self.tag = tag
        self.reason = reason


class SecretError(PrereadError):
    """The key file cannot be used; the message names it."""


class StudyPatientsError(PrereadError):
    """Whose a study is cannot be kept or found out; the message names the file."""


class EnvelopeError(PrereadError):
    """A certificate or key cannot be used, or an envelope cannot be opened."""


class NotForThisKeyError(EnvelopeError):
    """An envelope is for other recipients."""
