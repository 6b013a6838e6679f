"""De-identification of what takes the receive hook too long, by somebody who has the time.

The hook cannot look at such an object once more when it comes back: it lets the announced bytes
pass, and takes what was decided here for it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from preread.arriving import arrival_of, ids_of
from preread.deidentify import DeidentificationError
from preread.elements import Budget
from preread.settings import Mode

if TYPE_CHECKING:
    from collections.abc import Callable

    from preread.archive.announcing import Announcer
    from preread.archive.pacs import Pacs
    from preread.deidentify.pixels.complete import CompleteDeidentifier
    from preread.models.catalogue import Catalogue

_SOP_INSTANCE_UID: Final = 0x00080018
_SERIES_INSTANCE_UID: Final = 0x0020000E
_SECONDS: Final = 300.0
"""CPU time for one object. An enhanced image of 65,535 frames takes some ten; what takes more than
this is made to."""


class WholeObjects:
    """De-identifies originals, headers and pixels, and announces them.

    Parameters
    ----------
    deidentifier
        Does the work, and writes it down.
    catalogue
        The models that are chosen from.
    pacs
        Orthanc.
    announcer
        Signs what is stored next.
    is_result
        Tells whether this site's key issued a UID for a result; those come from the runner alone.
    seconds
        CPU time for one object.
    """

    def __init__(
        self,
        deidentifier: CompleteDeidentifier,
        catalogue: Catalogue,
        pacs: Pacs,
        announcer: Announcer,
        is_result: Callable[[str], bool],
        seconds: float = _SECONDS,
    ) -> None:
        self._deidentifier = deidentifier
        self._catalogue = catalogue
        self._pacs = pacs
        self._announcer = announcer
        self._is_result = is_result
        self._seconds = seconds

    def made(self, data: bytes) -> bytes:
        """Return what is to be stored of an original; the hook has been told.

        Raises
        ------
        preread.deidentify.DeidentificationError
            If it cannot be made safe.
        preread.elements.OverBudget
            If it takes too long here too.
        preread.archive.pacs.PacsError
            If Orthanc cannot be told.
        """
        done = self._deidentifier.deidentify(data, Budget(self._seconds))
        for tag, uid in (
            (_SOP_INSTANCE_UID, done.header.SOPInstanceUID),
            (_SERIES_INSTANCE_UID, done.header.SeriesInstanceUID),
        ):
            if self._is_result(uid):
                reason = "the UID of a result of this node, which nobody else may store"
                raise DeidentificationError(tag, reason)
        arrival = arrival_of(ids_of(done), done, done.header, self._catalogue, Mode.INCOMING)
        made = done.data
        self._pacs.announce(self._announcer.arrival(arrival, made))
        return made
