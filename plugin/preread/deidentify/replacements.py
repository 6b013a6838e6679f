"""Emptied elements and dummies as they are written, made once for each encoding."""

from __future__ import annotations

from preread.deidentify.dummies import dummy_of
from preread.elements import IMPLICIT_LITTLE, Encoding, dictionary_vr, encode_element


class Replacements:
    """Emptied elements and dummies of one encoding, made when they are first needed.

    Parameters
    ----------
    encoding
        How they are written.
    dummy_text
        What stands in VRs that hold any text.

    Attributes
    ----------
    implicit
        The same for what lies in a sequence of VR UN.
    """

    def __init__(self, encoding: Encoding, dummy_text: str) -> None:
        self.encoding = encoding
        self.dummy_text = dummy_text
        is_implicit = encoding == IMPLICIT_LITTLE
        self.implicit: Replacements = (
            self if is_implicit else Replacements(IMPLICIT_LITTLE, dummy_text)
        )
        self._made: dict[int, bytes] = {}
        self._made_dummies: dict[int, bytes] = {}

    def empty(self, tag: int) -> bytes:
        """Return an attribute without a value."""
        made = self._made.get(tag)
        if made is None:
            made = encode_element(tag, dictionary_vr(tag), b"", self.encoding)
            self._made[tag] = made
        return made

    def dummy(self, tag: int) -> bytes:
        """Return an attribute with a value that tells nothing."""
        made = self._made_dummies.get(tag)
        if made is None:
            vr = dictionary_vr(tag)[:2]
            made = encode_element(tag, vr, dummy_of(tag, vr, self.dummy_text), self.encoding)
            self._made_dummies[tag] = made
        return made
