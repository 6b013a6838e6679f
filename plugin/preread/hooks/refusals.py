"""What becomes of an object that Orthanc may not store."""

from __future__ import annotations

from typing import Final

import orthanc

from preread.deidentify import DeidentificationError
from preread.elements import MalformedFile, OverBudget, is_shallow
from preread.hooks.as_sent import Unanswerable, is_answerable
from preread.hooks.cost import ordinary_budget
from preread.hooks.dicomweb import DicomWeb
from preread.hooks.failures import Failures
from preread.hooks.own_results import UnannouncedResultError
from preread.hooks.safekeeping import Safekeeping

Verdict = tuple[orthanc.ReceivedInstanceAction, bytes | None]

DISCARD: Final[Verdict] = (orthanc.ReceivedInstanceAction.DISCARD, None)
# Made before it is needed: a refusal must work when there is no memory left.
REFUSE: Final[Verdict] = (
    orthanc.ReceivedInstanceAction.MODIFY,
    b"Preread refused this object; see /preread/failures and Orthanc's log.",
)

# What cannot be made safe. It is the file's own fault, and will be at the next try.
_UNSAFE: Final = (DeidentificationError, MalformedFile)
_HOPELESS: Final = (*_UNSAFE, Unanswerable, UnannouncedResultError, OverBudget)


class Refusals:
    """Decides whether an object is kept somewhere else, or refused so that its sender keeps it.

    Parameters
    ----------
    failures
        Where it is told.
    safekeeping
        Where it is kept, and where the audit trail is written.
    dicomweb
        What a refusal costs in a STOW-RS request.
    """

    def __init__(self, failures: Failures, safekeeping: Safekeeping, dicomweb: DicomWeb) -> None:
        self._failures = failures
        self._safekeeping = safekeeping
        self._dicomweb = dicomweb

    def verdict(
        self,
        error: BaseException,
        data: bytes,
        origin: orthanc.InstanceOrigin,
        sender: str,
        began: float,
    ) -> Verdict:
        """Tell of what cannot be stored; what is kept is answered success. This never raises.

        Parameters
        ----------
        error
            Why.
        data
            The object as it came.
        origin, sender
            How it came, for us and in words.
        began
            When, in seconds of the performance counter.
        """
        kept = ""
        try:
            again = not isinstance(error, _HOPELESS)
            kept = self._kept(error, data, origin, sender, again=again)
            done = "will try again" if again else "quarantined"
            self._failures.add(sender, error, done if kept else "refused")
            self._safekeeping.note_refusal(data, error, sender, began, kept)
        except BaseException:  # noqa: BLE001 - not even telling of it may store the original
            return DISCARD if kept else REFUSE
        return DISCARD if kept else REFUSE

    def _kept(
        self,
        error: BaseException,
        data: bytes,
        origin: orthanc.InstanceOrigin,
        sender: str,
        *,
        again: bool,
    ) -> str:
        """Keep an object where that is right; return the entry's id, empty if it is refused.

        Orthanc parses what it discards, and overflows where it is nested deep: of such an object
        nothing but a refusal is safe, and nobody asks Orthanc to parse it.
        """
        keeping = self._safekeeping
        if origin == orthanc.InstanceOrigin.PLUGIN and not self._dicomweb.goes_on:
            # Refused, it would take with it all that follows it in its request.
            is_safe = is_shallow(data, ordinary_budget(), refused=error)
            return keeping.take(data, error, sender, again=again) if is_safe else ""
        is_wanted = isinstance(error, _UNSAFE) and keeping.takes_unsafe
        if not (is_wanted and is_shallow(data, ordinary_budget()) and is_answerable(data, origin)):
            return ""
        return keeping.quarantine(data, error, sender)
