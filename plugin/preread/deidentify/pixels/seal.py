"""What says that this key's holder has looked at a file's pixels, and for what."""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Iterable
from itertools import islice
from typing import Final

from preread.deidentify.pixels.policy import Look
from preread.elements import PIXEL_DATA, Header

_DEIDENTIFICATION_METHOD: Final = 0x00120063
_LONGEST: Final = 1024  # values of DeidentificationMethod are compared no further than this
_MOST_TRIED: Final = 2  # each costs a digest of all pixels, and a file of ours has one
_FORM: Final = re.compile(r"Preread pixels ([1-9]|1[0-5]) ([0-9a-f]{32})", flags=re.ASCII)
_ALL: Final = Look.TEXT | Look.OVERLAYS | Look.FACE | Look.REST


class PixelSeal:
    """Makes and checks seals: a keyed digest of a file's pixel data and overlays.

    A seal stands in DeidentificationMethod (0012,0063), so that pixels are looked at once; who
    has not the key can neither make one nor move it to other pixels.

    Parameters
    ----------
    key
        Secret bytes, used for nothing else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, values: Iterable[bytes | memoryview], look: Look) -> str:
        """Return the seal, 49 or 50 characters that are valid in LO.

        Parameters
        ----------
        values
            What `sealed_values` gives: the values of overlay and pixel data as they lie in the
            file.
        look
            What has been looked for.

        >>> PixelSeal(bytes(32)).text([b"pixels"], Look.TEXT)[:17]
        'Preread pixels 1 '
        """
        mac = hmac.new(self._key, bytes([look.value]), hashlib.sha256)
        for value in values:
            mac.update(len(value).to_bytes(8, "big"))
            mac.update(value)
        return f"Preread pixels {look.value} {mac.hexdigest()[:32]}"

    def found(self, header: Header, look: Look = Look.NONE) -> str | None:
        """Return the seal that a file bears, if it is right for its pixels.

        Parameters
        ----------
        header
            Of the file.
        look
            What must have been looked for; a seal for less does not count.

        Returns
        -------
        str or None
            None where there is no such seal.
        """
        if _DEIDENTIFICATION_METHOD not in header:
            return None
        texts = header.text(_DEIDENTIFICATION_METHOD)[:_LONGEST].split("\\")
        matches = filter(None, (_FORM.fullmatch(text.strip()) for text in texts))
        wanted = (match for match in matches if not look & ~Look(int(match[1])) & _ALL)
        for match in islice(wanted, _MOST_TRIED):
            right = self.text(sealed_values(header), Look(int(match[1])))
            if hmac.compare_digest(match[0], right):
                return right
        return None

    def holds(self, header: Header, look: Look = Look.NONE) -> bool:
        """Tell whether a file bears a seal that is right for its pixels; see `found`."""
        return self.found(header, look) is not None


def sealed_values(header: Header) -> Iterable[memoryview]:
    """Give the values that a seal covers: overlay data and pixel data, in the file's order."""
    view = memoryview(header.data)
    for element in header.all_elements:
        is_overlay = element.tag >> 24 == 0x60 and element.tag & 0xFFFF == 0x3000
        if is_overlay or element.tag in PIXEL_DATA:
            yield view[element.value : element.value_end]
