"""The secret from which pseudonyms, UIDs and announcements are made."""

from __future__ import annotations

import hashlib
import hmac
import os
import secrets
import stat
from pathlib import Path
from typing import Final, Self

from preread.deidentify.errors import SecretError

_LENGTH: Final = 32
_MARK: Final = "preread-secret-1"
_LARGEST_FILE: Final = 256


def _checksum(key: bytes) -> str:
    return hashlib.sha256(b"preread key file\0" + key).hexdigest()[:16]


class Secret:
    """A key of 256 bits that nothing is used of but what is derived from it.

    Parameters
    ----------
    key
        The 32 bytes.

    Raises
    ------
    SecretError
        If it is shorter or longer.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        if len(key) != _LENGTH:
            raise SecretError(f"expected a key of {_LENGTH} bytes, not {len(key)}")
        self._key = key

    def __repr__(self) -> str:
        return f"Secret(fingerprint={self.fingerprint!r})"

    @property
    def fingerprint(self) -> str:
        """What tells this key from others: 32 hexadecimal digits that do not lead back to it."""
        return self.derive("fingerprint").hex()[:32]

    def derive(self, purpose: str) -> bytes:
        """Return a key of 32 bytes for one purpose; keys of other purposes tell nothing of it.

        >>> Secret(bytes(32)).derive("uid") == Secret(bytes(32)).derive("patient")
        False
        """
        return hmac.digest(self._key, b"preread\0" + purpose.encode(), "sha256")

    @classmethod
    def load_or_create(cls, path: Path, expected_fingerprint: str | None = None) -> Self:
        """Read the key file, or make it at the first start.

        Parameters
        ----------
        path
            The file; its mode is 0600.
        expected_fingerprint
            Of the key that was used before. When it is given no new key is made: the same patient
            would become somebody else without anybody noticing.

        Raises
        ------
        SecretError
            If the file is missing where a key was used before, belongs to another key, is damaged,
            can be read by others, or cannot be written.
        """
        if expected_fingerprint is None and not path.exists():
            _create(path)
        secret = cls(_read(path))
        if expected_fingerprint and not hmac.compare_digest(
            secret.fingerprint, expected_fingerprint
        ):
            raise SecretError(
                f"{path}: this is not the key that was used so far; put the file back from its "
                "copy, since with another key the same patient becomes somebody else"
            )
        return secret


def _create(path: Path) -> None:
    key = secrets.token_bytes(_LENGTH)
    # Written beside and linked: of two processes that start at once one wins, and nobody ever
    # reads half a key.
    beside = path.with_name(f".{path.name}.{os.getpid()}.{secrets.token_hex(4)}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        descriptor = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            with os.fdopen(descriptor, "w", encoding="ascii") as file:
                file.write(f"{_MARK} {key.hex()} {_checksum(key)}\n")
                file.flush()
                os.fsync(file.fileno())
            try:
                os.link(beside, path)
            except FileExistsError:
                return
        finally:
            beside.unlink(missing_ok=True)
        folder = os.open(path.parent, os.O_RDONLY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except OSError as error:
        raise SecretError(f"{path}: the key file cannot be made ({error.strerror})") from None


def _read(path: Path) -> bytes:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                raise SecretError(f"{path}: expected an ordinary file with the key")
            if status.st_mode & 0o077:
                raise SecretError(f"{path}: others can read the key; run chmod 600 on it")
            content = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        raise SecretError(
            f"{path}: the key file is missing; put it back from its copy, since with a new key the "
            "same patient becomes somebody else"
        ) from None
    except OSError as error:
        raise SecretError(f"{path}: the key file cannot be read ({error.strerror})") from None
    words = content.decode("ascii", "replace").split()
    damaged = f"{path}: the key file is damaged; put it back from its copy"
    if len(content) > _LARGEST_FILE or len(words) != 3 or words[0] != _MARK:
        raise SecretError(damaged)
    try:
        key = bytes.fromhex(words[1])
    except ValueError:
        raise SecretError(damaged) from None
    if len(key) != _LENGTH or not hmac.compare_digest(
        _checksum(key).encode(), words[2].encode("ascii", "replace")
    ):
        raise SecretError(damaged)
    return key
