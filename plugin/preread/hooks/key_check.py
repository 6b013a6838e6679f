"""Refuses to work under a new key while Orthanc holds what was made with another one.

The key's fingerprint is in the journal, in a file beside Orthanc's images, and in Orthanc's own
database, which may be elsewhere. The database can be asked only once Orthanc has started. Until
then nothing is taken under a key that has just been made.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import orthanc

from preread.deidentify import Secret
from preread.deidentify.errors import SecretError
from preread.deidentify.key_marker import KeyMarker, is_given_up, loss_of
from preread.hooks import log
from preread.hooks.refusals import Verdict
from preread.ledger.journal import Journal
from preread.settings import Mode, Site

_PROPERTY = 5510
"""The number of a global property of Orthanc's database; plugins may use those from 1024 on."""

Receives = Callable[[bytes, orthanc.InstanceOrigin], Verdict]

_NOT_YET: Verdict = (
    orthanc.ReceivedInstanceAction.MODIFY,
    b"Preread does not know yet whether its key is the right one; send this again.",
)


class KeyCheck:
    """The key of this start, and whether it may be used.

    Parameters
    ----------
    site
        The settings.
    journal
        Knows the key that was used before.

    Raises
    ------
    preread.deidentify.errors.SecretError
        If the key that was used is not there.
    """

    def __init__(self, site: Site, journal: Journal) -> None:
        self._site = site
        self._journal = journal
        self._marker = KeyMarker(site.key_marker_file)
        known = self._known()
        is_there = site.key_file.exists()
        if known is not None and not is_there:
            raise SecretError(loss_of(known, site.key_file))
        self.secret = Secret.load_or_create(site.key_file, known)
        self._is_new = not is_there
        self._is_open = not self._is_new
        if journal.key_fingerprint != self.secret.fingerprint:
            journal.key_fingerprint = self.secret.fingerprint
        if self._marker.fingerprint != self.secret.fingerprint:
            self._marker.write(self.secret.fingerprint)

    def _known(self) -> str | None:
        """Return the fingerprint of the key that must be there; None at the very first start."""
        found: list[str] = []
        for told in (self._journal.key_fingerprint, self._marker.fingerprint):
            if told is not None and is_given_up(told, os.environ):
                log.warning("the former key is given up: the same patient becomes somebody else")
            elif told is not None:
                found.append(told)
        if len(set(found)) > 1:
            raise SecretError(loss_of(found[-1], self._site.key_file))
        return found[0] if found else None

    def guarded(self, receive: Receives) -> Receives:
        """Return a receive hook that takes nothing under a new key before `confirm`."""
        if self._is_open or self._site.settings.deidentify.mode is not Mode.INCOMING:
            return receive

        def call(data: bytes, origin: orthanc.InstanceOrigin) -> Verdict:
            return receive(data, origin) if self._is_open else _NOT_YET

        return call

    def confirm(self) -> bool:
        """Compare with Orthanc's database, which can be read now; False if Orthanc is to end."""
        mine = self.secret.fingerprint
        told = orthanc.GetGlobalProperty(_PROPERTY, "")
        if told and told != mine and not is_given_up(told, os.environ):
            log.error(f"this node cannot work: {loss_of(told, self._site.key_file)}")
            if self._is_new:
                self._withdraw()
            os.kill(os.getpid(), signal.SIGTERM)
            return False
        if told != mine:
            orthanc.SetGlobalProperty(_PROPERTY, mine)
        self._is_open = True
        return True

    def _withdraw(self) -> None:
        """Remove the key that was made in vain, so that the old one can be put back."""
        self._site.key_file.unlink(missing_ok=True)
        self._marker.remove()
        self._journal.key_fingerprint = None
