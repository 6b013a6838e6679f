"""Which key a store of images was de-identified with, kept where the images are.

Preread's own folder holds the key and the journal that knows its fingerprint. When that folder is
lost and the images are not, a new key would make somebody else of each patient without a word.
"""

from __future__ import annotations

import os
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from preread.deidentify.errors import SecretError

ACCEPT: Final = "PREREAD_ACCEPT_NEW_KEY"
_SHOWN: Final = 8
_FORM: Final = re.compile(r"[0-9a-f]{32}")
_TEXT: Final = (
    "Preread: the fingerprint of the key that the images here were de-identified with. Without\n"
    "this file a lost key would be replaced without a word, and patients would become others.\n"
)


class KeyMarker:
    """The file with a key's fingerprint, beside Orthanc's images.

    Parameters
    ----------
    path
        The file; its folder is there or can be made.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    @property
    def fingerprint(self) -> str | None:
        """The fingerprint; None if there never was a key.

        Raises
        ------
        SecretError
            If the file cannot be read.
        """
        try:
            text = self._path.read_text(encoding="ascii")
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            raise SecretError(f"{self._path}: cannot be read ({type(error).__name__})") from None
        lines = text.splitlines()
        if not lines or not _FORM.fullmatch(lines[0]):
            raise SecretError(f"{self._path}: expected the fingerprint of a key; restore the file")
        return lines[0]

    def write(self, fingerprint: str) -> None:
        """Write the file, in one step.

        Raises
        ------
        SecretError
            If it cannot be written.
        """
        beside = self._path.with_name(f".{self._path.name}.{os.getpid()}.{secrets.token_hex(4)}")
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            beside.write_text(f"{fingerprint}\n{_TEXT}", encoding="ascii")
            beside.replace(self._path)
        except OSError as error:
            raise SecretError(f"{self._path}: cannot be written ({error.strerror})") from None

    def remove(self) -> None:
        """Remove the file, if it is there."""
        self._path.unlink(missing_ok=True)


def is_given_up(fingerprint: str, environment: Mapping[str, str]) -> bool:
    """Tell whether an administrator has said that a key is lost for good.

    >>> is_given_up("0a1b2c3d" * 4, {ACCEPT: "0a1b2c3d"})
    True
    >>> is_given_up("0a1b2c3d" * 4, {ACCEPT: "yes"})
    False
    """
    return environment.get(ACCEPT, "") == fingerprint[:_SHOWN]


def loss_of(fingerprint: str, key_file: Path) -> str:
    """Say what to do about a key that is not there."""
    return (
        f"the images that Orthanc holds were de-identified with another key than the one in "
        f"{key_file}, or with one that is missing there. Put Preread's folder back from its copy. "
        "With a new key the same patient becomes somebody else: if the old one is lost for good, "
        f"start Orthanc once with {ACCEPT}={fingerprint[:_SHOWN]} in its environment"
    )
