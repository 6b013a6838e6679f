"""Where the receive hook puts what Orthanc may not store, or not yet; and the audit trail."""

from __future__ import annotations

from dataclasses import dataclass

from preread.deidentify import Deidentified
from preread.deidentify.audit import AuditError
from preread.deidentify.quarantine import WHOLE, Held, Quarantine, QuarantineError
from preread.deidentify.trail import Trail
from preread.elements import OverBudget
from preread.errors import PrereadError
from preread.hooks import log
from preread.ledger.arrival import Arrival
from preread.ledger.choices import HeldChoices

_PREAMBLE_END = 132
_AGAIN = "again"


@dataclass(frozen=True, slots=True)
class Safekeeping:
    """Folders of encrypted files, and the file that tells what was done with which object.

    Attributes
    ----------
    held
        For objects whose pixels must be looked at; another process does that.
    quarantined
        For objects that cannot be made safe.
    choices
        What was decided for those that come back with clean pixels.
    takes_unsafe
        Whether those go there as they arrive, and are not refused.
    trail
        What writes audit lines; None where none are wanted.
    """

    held: Quarantine
    quarantined: Quarantine
    choices: HeldChoices
    takes_unsafe: bool = False
    trail: Trail | None = None

    def hold(self, done: Deidentified, arrival: Arrival, sender: str) -> None:
        """Keep an object until its pixels have been looked at, and what was decided for it.

        Raises
        ------
        QuarantineError
            If it cannot be kept; then it must be refused.
        """
        look = held_for(done)
        self.held.put(done.data, reason=look, origin=sender, look=look, arrival=arrival.to_json())

    def hold_whole(self, data: bytes, error: OverBudget, sender: str) -> None:
        """Keep an object as it came until somebody with more time has de-identified it.

        Raises
        ------
        QuarantineError
            If it cannot be kept; then it must be refused.
        """
        self.held.put(data, reason=str(error), origin=sender, look=WHOLE)

    def retry(self, entry: Held) -> str:
        """Let what is quarantined be tried once more; return its id among what is held.

        What waited for a look at its pixels waits for the same look again. An original takes the
        whole way of what arrives.

        Raises
        ------
        QuarantineError
            If it cannot be read or held; it stays where it is.
        """
        data = self.quarantined.read(entry.id)
        held = self.held.put(
            data,
            reason=entry.look or _AGAIN,
            origin=entry.origin,
            look=entry.look,
            arrival=entry.arrival,
        )
        self.quarantined.delete(entry.id)
        return held

    def quarantine(self, data: bytes, error: BaseException, sender: str) -> str:
        """Keep what cannot be made safe; return its id, empty if it must be refused.

        What is no DICOM file at all is nobody's image.
        """
        if not self.takes_unsafe or data[128:_PREAMBLE_END] != b"DICM":
            return ""
        try:
            return self.quarantined.put(data, reason=str(error), origin=sender, once=True)
        except QuarantineError as again:
            log.error(f"not quarantined, and so refused: {again}")
            return ""

    def take(self, data: bytes, error: BaseException, sender: str, *, again: bool) -> str:
        """Keep what would be refused, whatever it is; return its id, empty if it must be.

        With `again` the process that looks at pixels has it take the way of what arrives once more.
        The text of errors that are not ours is left out: it may hold a value.
        """
        reason = str(error) if isinstance(error, PrereadError) else type(error).__name__
        try:
            if again:
                return self.held.put(data, reason=reason, origin=sender)
            return self.quarantined.put(data, reason=reason, origin=sender, once=True)
        except QuarantineError as trouble:
            log.error(f"not kept, and so refused: {trouble}")
            return ""

    def note(self, data: bytes, done: Deidentified, sender: str, began: float) -> None:
        """Write down what was done with an object; a full disk is no reason to lose images."""
        if self.trail is None:
            return
        try:
            self.trail.deidentified(data, done, sender, began)
        except AuditError as error:
            log.error(f"the audit trail has a gap: {error}")

    def note_refusal(
        self, data: bytes, error: BaseException, sender: str, began: float, quarantine: str
    ) -> None:
        """Write down that an object was not taken, or taken into the quarantine."""
        if self.trail is None:
            return
        try:
            self.trail.refused(data, error, sender, began, quarantine)
        except AuditError as again:
            log.error(f"the audit trail has a gap: {again}")


def held_for(done: Deidentified) -> str:
    """Name what an object waits for, as the process that does it understands.

    >>> from types import SimpleNamespace
    >>> from preread.deidentify.pixels.policy import Look
    >>> held_for(SimpleNamespace(look=Look.TEXT | Look.FACE))
    'TEXT|FACE'
    """
    return done.look.name or "NONE"
