"""What says that this key's holder has sealed the Encrypted Attributes of a file."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable
from typing import Final

from preread.deidentify.encrypted_attributes import ENCRYPTED_ATTRIBUTES_SEQUENCE, envelopes
from preread.elements import Header

_DEIDENTIFICATION_METHOD: Final = 0x00120063


class EnvelopeSeal:
    """Makes and checks seals: a keyed digest of envelopes.

    A seal stands in DeidentificationMethod (0012,0063). Without it anybody who knows one of our
    pseudonyms could send what poses as an envelope, and have it stored unread.

    Parameters
    ----------
    key
        Secret bytes, used for nothing else.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def text(self, contents: Iterable[bytes]) -> str:
        """Return the seal of Encrypted Contents (0400,0520), padded as they lie in the file.

        >>> EnvelopeSeal(bytes(32)).text([b"1"])[:15]
        'Preread sealed '
        """
        mac = hmac.new(self._key, digestmod=hashlib.sha256)
        for content in contents:
            mac.update(len(content).to_bytes(8, "big"))
            mac.update(content)
        return f"Preread sealed {mac.hexdigest()[:32]}"

    def found(self, header: Header) -> str | None:
        """Return the seal that a file bears, if it is right for its envelopes."""
        element = header.whole(ENCRYPTED_ATTRIBUTES_SEQUENCE)
        contents = envelopes(element, header.encoding) if element else None
        if not contents:
            return None
        right = self.text(contents)
        methods = header.text(_DEIDENTIFICATION_METHOD).split("\\")
        return right if right in (method.strip() for method in methods) else None
