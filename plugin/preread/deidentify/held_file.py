"""The form of a file in quarantine: sealed in chunks, so that memory does not double.

::

    16 bytes  mark
     8 bytes  which key
    32 bytes  salt; the file's own key is made of it
     4 bytes  length of the next part, big endian
       ...    sealed description (JSON)
       ...    sealed content, in chunks of 1 MiB

Every part is sealed with AES-256-GCM (NIST SP 800-38D), its place in the file as the nonce and the
entry's id as further data, so that parts cannot be changed, swapped, left out or taken from another
file, nor a file pass under another name.
"""

from __future__ import annotations

import hmac
import io
import json
import secrets
import struct
from typing import TYPE_CHECKING, Any, BinaryIO, Final

from preread.errors import PrereadError

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

_MARK: Final = b"preread held 2\r\n"
_KEY_LENGTH: Final = 32
_FINGERPRINT: Final = 8
_IDENTITY: Final = 16
_SALT: Final = 32
_TAG: Final = 16
_CHUNK: Final = 2**20
_START: Final = struct.Struct(f">{len(_MARK)}s{_FINGERPRINT}s{_SALT}sI")
_LONGEST_DESCRIPTION: Final = 2**18

# What a part is, in the last byte of its nonce; the bytes before count the chunks.
_DESCRIPTION: Final = 0
_MORE: Final = 1
_LAST: Final = 2
_NOTE: Final = 3


class QuarantineError(PrereadError):
    """A file cannot be held, or what is held cannot be read; the message says why."""


class DamagedError(QuarantineError):
    """What is held can never be read as it is: damaged, or sealed with another key."""


class HeldFileKey:
    """What files in quarantine are sealed with and opened.

    Thread safe.

    Parameters
    ----------
    key
        32 bytes.

    Raises
    ------
    QuarantineError
        If it is shorter or longer.
    """

    def __init__(self, key: bytes) -> None:
        if len(key) != _KEY_LENGTH:
            raise QuarantineError(f"expected a key of {_KEY_LENGTH} bytes, not {len(key)}")
        self._key = key
        self._fingerprint = self._derived(b"fingerprint")[:_FINGERPRINT]

    def identity_of(self, data: memoryview) -> str:
        """Return the id of an entry that is named after its content, which only the key tells.

        Parameters
        ----------
        data
            The content, bytes.
        """
        return hmac.digest(self._derived(b"content"), data, "sha256")[:_IDENTITY].hex()

    def write(
        self, file: BinaryIO, identity: str, data: memoryview, description: dict[str, str]
    ) -> None:
        """Write a file chunk by chunk.

        Parameters
        ----------
        file
            Open for writing.
        identity
            The entry's id.
        data
            The content, bytes.
        description
            What `describe` returns; 256 KiB at most once it is JSON.

        Raises
        ------
        OSError
            As the file does.
        QuarantineError
            If the description is longer.
        """
        salt = secrets.token_bytes(_SALT)
        cipher = self._cipher(salt)
        text = json.dumps(description | {"size": data.nbytes}).encode()
        sealed = _sealed(cipher, text, identity, 0, _DESCRIPTION)
        if len(sealed) > _LONGEST_DESCRIPTION:
            raise QuarantineError(
                f"a file cannot be held: its description exceeds {_LONGEST_DESCRIPTION} bytes"
            )
        file.write(_START.pack(_MARK, self._fingerprint, salt, len(sealed)) + sealed)
        count = _chunks(data.nbytes)
        for number in range(count):
            chunk = data[number * _CHUNK : (number + 1) * _CHUNK]
            kind = _LAST if number == count - 1 else _MORE
            file.write(_sealed(cipher, chunk, identity, number, kind))

    def describe(self, file: BinaryIO, identity: str, length: int) -> dict[str, Any]:
        """Return the description without opening the content.

        Parameters
        ----------
        file
            Open for reading, at its start.
        identity
            The entry's id.
        length
            Bytes of the file.

        Returns
        -------
        dict
            What was given to `write`, and ``size``, the bytes of the content.

        Raises
        ------
        DamagedError
            If it is damaged, of another length than it should be, or sealed with another key.
        """
        _, described = self._described(file, identity)
        size = described["size"]
        if length != file.tell() + size + _TAG * _chunks(size):
            raise _damaged(identity)
        return described

    def read(self, file: BinaryIO, identity: str) -> bytes:
        """Return the content.

        Raises
        ------
        DamagedError
            If anything in it is not as it was written, or it is sealed with another key.
        """
        cipher, described = self._described(file, identity)
        content = io.BytesIO()  # gives its bytes away without copying them
        count = _chunks(described["size"])
        for number in range(count):
            kind = _LAST if number == count - 1 else _MORE
            content.write(_unsealed(cipher, file.read(_CHUNK + _TAG), identity, number, kind))
        if content.tell() != described["size"] or file.read(1):
            raise _damaged(identity)
        return content.getvalue()

    def seal_note(self, identity: str, note: dict[str, Any]) -> bytes:
        """Return a short note about an entry, sealed."""
        salt = secrets.token_bytes(_SALT)
        return salt + _sealed(self._cipher(salt), json.dumps(note).encode(), identity, 0, _NOTE)

    def open_note(self, identity: str, sealed: bytes) -> dict[str, Any]:
        """Return what `seal_note` was given.

        Raises
        ------
        DamagedError
            If it is damaged or sealed with another key.
        """
        cipher = self._cipher(sealed[:_SALT])
        found = json.loads(_unsealed(cipher, sealed[_SALT:], identity, 0, _NOTE))
        return dict(found)

    def _described(self, file: BinaryIO, identity: str) -> tuple[AESGCM, dict[str, Any]]:
        """Read up to the content; return what opens that, and the description."""
        start = file.read(_START.size)
        if len(start) != _START.size:
            raise _damaged(identity)
        mark, fingerprint, salt, length = _START.unpack(start)
        if mark != _MARK or length > _LONGEST_DESCRIPTION:
            raise _damaged(identity)
        if not hmac.compare_digest(fingerprint, self._fingerprint):
            raise DamagedError(f"{identity}: held under another key; configure that again")
        cipher = self._cipher(salt)
        # Authentic, and so of the form in which it was written.
        found = json.loads(_unsealed(cipher, file.read(length), identity, 0, _DESCRIPTION))
        return cipher, dict(found)

    def _derived(self, purpose: bytes) -> bytes:
        return hmac.digest(self._key, b"preread quarantine\0" + purpose, "sha256")

    def _cipher(self, salt: bytes) -> AESGCM:
        from cryptography.hazmat.primitives.ciphers.aead import (  # noqa: PLC0415 - when used
            AESGCM,
        )

        return AESGCM(self._derived(b"file\0" + salt))


def _damaged(identity: str) -> DamagedError:
    return DamagedError(f"{identity}: damaged; put it back from its copy, or delete it")


def _chunks(size: int) -> int:
    """Return in how many chunks so many bytes lie; nothing lies in one."""
    return max(1, -(-size // _CHUNK))


def _nonce(number: int, kind: int) -> bytes:
    return number.to_bytes(11, "big") + bytes((kind,))


def _sealed(
    cipher: AESGCM, content: bytes | memoryview, identity: str, number: int, kind: int
) -> bytes:
    return cipher.encrypt(_nonce(number, kind), content, identity.encode("ascii"))


def _unsealed(cipher: AESGCM, sealed: bytes, identity: str, number: int, kind: int) -> bytes:
    from cryptography.exceptions import InvalidTag  # noqa: PLC0415 - when used

    try:
        return cipher.decrypt(_nonce(number, kind), sealed, identity.encode("ascii"))
    except (InvalidTag, ValueError):
        raise _damaged(identity) from None
