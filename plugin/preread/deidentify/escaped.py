"""Taking out of Orthanc what it has stored past de-identification.

Its sender was answered with success, so it is kept encrypted before it is deleted.
"""

from __future__ import annotations

from typing import Protocol

from preread.deidentify.quarantine import Quarantine
from preread.errors import PrereadError

REASON = "it was stored past de-identification; Orthanc had no memory for the de-identified file"


class NotKept(PrereadError):
    """An escaped instance could not be put into the quarantine."""


class Archive(Protocol):
    """Orthanc, as far as it is needed here."""

    def file(self, instance: str) -> bytes | None:
        """Return a stored file; None if it is not there."""
        ...

    def delete(self, instance: str) -> bool:
        """Delete an instance; False if it was not there."""
        ...


def take_out(
    archive: Archive,
    instance: str,
    quarantined: Quarantine,
    origin: str,
    *,
    must_keep: bool = False,
) -> str | None:
    """Move an escaped instance from Orthanc into the quarantine.

    Parameters
    ----------
    archive
        Orthanc.
    instance
        Orthanc's id.
    quarantined
        Takes it whether or not a site quarantines what it refuses.
    origin
        How it came.
    must_keep
        Whether it stays in Orthanc for another try if it cannot be kept.

    Returns
    -------
    str or None
        What was done, for a person and free of identifiers; None if it was gone already.

    Raises
    ------
    preread.errors.PrereadError
        If Orthanc did not delete it, or it could not be kept as it must. Try again.
    """
    try:
        data = archive.file(instance)
        if data is None:
            return None
        kept = quarantined.put(data, reason=REASON, origin=origin, once=True)
        told = f"its file is kept encrypted: POST /preread/quarantine/{kept}/retry stores it anew"
    except (PrereadError, MemoryError) as error:
        why = str(error) or type(error).__name__
        if must_keep:
            raise NotKept(f"it could not be kept ({why})") from None
        # It does not stay for that: whoever sees Orthanc sees the patient.
        told = f"its file could not be kept ({why}): have its sender send it again"
    archive.delete(instance)
    return f"{REASON}. It was deleted from Orthanc; {told}"
