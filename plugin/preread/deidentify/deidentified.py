"""What came of an object."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from preread.deidentify.options import Option
from preread.deidentify.pixels.policy import Look
from preread.deidentify.standing_in import Part
from preread.elements import Header


@dataclass(frozen=True, slots=True)
class Deidentified:
    """What came of an object.

    Attributes
    ----------
    parts
        The whole file, in pieces: what stays is a view of what came.
    header
        The header as it came, with all that identifies the patient.
    PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, SOPClassUID
        As they are now.
    counts
        How many elements there were for each action, in the table's codes: X, Z, D, U, C; ``set``
        for what is written anew.
    options
        Those whose work is done; others wait for a look at the pixels.
    look
        What must still be looked at before the object may be stored.
    lost
        Tags of elements that were removed because they could not be read, with the reason.
    sealed
        Whether there is a way back for recipients.
    looked
        Whether its pixels were looked at before it came, by somebody with this key.
    """

    parts: tuple[Part, ...]
    header: Header
    PatientID: str
    StudyInstanceUID: str
    SeriesInstanceUID: str
    SOPInstanceUID: str
    SOPClassUID: str
    counts: Mapping[str, int]
    options: frozenset[Option]
    look: Look
    lost: tuple[tuple[int, str], ...]
    sealed: bool
    looked: bool

    @property
    def data(self) -> bytes:
        """The whole file; joined anew each time."""
        return b"".join(self.parts)
