"""What a writer is: it turns findings and the headers of their sources into one DICOM object."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from pydicom.dataset import Dataset

    from preread.findings.findings import Findings


@dataclass(frozen=True, slots=True)
class NewIdentity:
    """What a new object is called, and when it was made.

    Attributes
    ----------
    SOPInstanceUID, SeriesInstanceUID
        The same for the same sources, reader and writer each time.
    moment
        With its time zone.
    """

    SOPInstanceUID: str
    SeriesInstanceUID: str
    moment: datetime


class Writer(Protocol):
    """Makes one object; has a name that stands in the settings."""

    @property
    def name(self) -> str:
        """Such as ``rtstruct``; lower case."""
        ...

    def write(
        self, findings: Findings, sources: Sequence[Dataset], identity: NewIdentity, /
    ) -> Dataset | None:
        """Make the object.

        Parameters
        ----------
        findings
            What was found; frames are counted over all sources, one after the other.
        sources
            Headers of the images that were looked at, without pixels, in their order; the object
            will lie in their study.
        identity
            Of the object.

        Returns
        -------
        pydicom.Dataset or None
            With file meta information; None where there is nothing to write.

        Raises
        ------
        preread.errors.PrereadError
            If the sources do not allow it.
        """
        ...
