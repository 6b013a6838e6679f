"""The audit line of each object, written from what de-identification tells of it."""

from __future__ import annotations

import time
from pathlib import Path

from preread.deidentify.audit import AuditLog, Outcome, digest_of
from preread.deidentify.deidentified import Deidentified
from preread.deidentify.options import BASIC_PROFILE
from preread.deidentify.profile import profile_of
from preread.errors import PrereadError


class Trail:
    """Writes audit lines.

    Parameters
    ----------
    log
        The file.
    profile
        Name and edition of what is applied.
    """

    def __init__(self, log: AuditLog, profile: str) -> None:
        self._log = log
        self._profile = profile

    def deidentified(
        self, data: bytes | memoryview, done: Deidentified, sender: str, began: float
    ) -> None:
        """Write what was done with an object.

        Parameters
        ----------
        data
            The file as it came.
        done
            What came of it.
        sender
            The kind of the sender.
        began
            When its treatment began, by `time.perf_counter`.

        Raises
        ------
        preread.deidentify.audit.AuditError
            If the line cannot be written.
        """
        waits = f"waits for a look at its pixels ({done.look.name})" if done.look else ""
        lost = [f"({tag >> 16:04X},{tag & 0xFFFF:04X}) {reason}" for tag, reason in done.lost]
        left = "; ".join(["removed as unreadable: " + ", ".join(lost)] if lost else [])
        self._log.deidentified(
            sender=sender,
            digest=digest_of(data),
            PatientID=done.PatientID,
            StudyInstanceUID=done.StudyInstanceUID,
            SeriesInstanceUID=done.SeriesInstanceUID,
            SOPInstanceUID=done.SOPInstanceUID,
            SOPClassUID=done.SOPClassUID,
            profile=self._profile,
            options=[BASIC_PROFILE[0], *sorted(option.code for option in done.options)],
            counts={code: count for code, count in done.counts.items() if count},
            duration_ms=1000 * (time.perf_counter() - began),
            encrypted=done.sealed,
            outcome=Outcome.MINOR_FAILURE if waits or left else Outcome.SUCCESS,
            reason="; ".join(filter(None, (waits, left))),
        )

    def refused(
        self,
        data: bytes | memoryview,
        error: BaseException,
        sender: str,
        began: float,
        quarantine: str = "",
    ) -> None:
        """Write that an object was not let through.

        Parameters
        ----------
        error
            Why. The text of errors that are not ours is left out: it may hold a value.
        quarantine
            The entry's id, where it was taken there.

        Raises
        ------
        preread.deidentify.audit.AuditError
            If the line cannot be written.
        """
        self._log.refused(
            sender=sender,
            digest=digest_of(data),
            reason=str(error) if isinstance(error, PrereadError) else type(error).__name__,
            duration_ms=1000 * (time.perf_counter() - began),
            outcome=Outcome.MINOR_FAILURE if quarantine else Outcome.SERIOUS_FAILURE,
            quarantine=quarantine,
        )


def trail_at(path: Path) -> Trail:
    """Return what writes audit lines into a file of one's own.

    Raises
    ------
    preread.deidentify.audit.AuditError
        If the file cannot be opened.
    """
    return trail_with(AuditLog(path, source="preread deidentify"))


def trail_with(log: AuditLog) -> Trail:
    """Return what writes lines into a log; they name the edition of the profile."""
    profile = f"Basic Application Level Confidentiality Profile, PS3.15 {profile_of().edition}"
    return Trail(log, profile)
