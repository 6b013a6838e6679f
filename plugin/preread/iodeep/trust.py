"""Whose networks are run: by who sends them, by their hash, or by their signature."""

from __future__ import annotations

import base64
import hashlib
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from preread.iodeep.recognising import digest_of
from preread.iodeep.signature import load_signer, signature_in, signer_of

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from preread.iodeep.recognising import Recognised
    from preread.iodeep.signature import Signer
    from preread.iodeep_sections import IODeepSettings

STRANGER: Final = (
    "a network (IODeep) of a sender who is not trusted (Preread.IODeep); it is never run"
)


def _utc_now() -> datetime:
    return datetime.now(UTC)


class Trust:
    """What a site trusts.

    Parameters
    ----------
    settings
        The section ``Preread.IODeep``.
    root
        Where relative paths start.
    clock
        The time, with a time zone.

    Raises
    ------
    preread.errors.SettingsError
        If a certificate cannot be used.
    """

    def __init__(
        self, settings: IODeepSettings, root: Path, clock: Callable[[], datetime] = _utc_now
    ) -> None:
        self._titles = frozenset(settings.trusted_aets)
        self._users = frozenset(settings.trusted_users)
        self._hashes = frozenset(settings.allowed_sha256)
        self._signers: Sequence[Signer] = [
            load_signer(root / path) for path in settings.certificates
        ]
        self._clock = clock

    @property
    def asks_for_titles(self) -> bool:
        """Whether it matters which AE title sends a network."""
        return bool(self._titles)

    @property
    def asks_for_users(self) -> bool:
        """Whether it matters which user sends a network."""
        return bool(self._users)

    def of_title(self, title: str) -> str:
        """Say that an AE title is trusted; empty if it is not."""
        return "sent by a trusted AE title" if title.strip() in self._titles else ""

    def of_user(self, user: str) -> str:
        """Say that a user of Orthanc is trusted; empty if it is not."""
        return "sent by a trusted user" if user in self._users else ""

    def of_contents(self, found: Recognised) -> str:
        """Say why a network is trusted whoever sends it; empty if it is not.

        It is hashed only where something can come of it: the time grows with its size.
        """
        if self._hashes:
            if hashlib.sha256(found.header.data).hexdigest() in self._hashes:
                return "its file is on the list of those allowed"
            if digest_of(found) in self._hashes:
                return "its digest is on the list of those allowed"
        signer = signer_of(found, self._signers, self._clock()) if self._signers else None
        return "" if signer is None else f"signed with the key of {signer.name}"

    def signature_of(self, found: Recognised) -> bytes:
        """Return the value of a network's signature if one of the certificates vouches for it.

        Empty if none does: what nobody can check could be anything.
        """
        if not self._signers or signer_of(found, self._signers, self._clock()) is None:
            return b""
        return base64.b64encode(signature_in(found))
