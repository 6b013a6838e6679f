r"""What was done with each object, one JSON line each, in the terms of DICOM's audit messages.

PS3.15 section A.5 has no message of its own for de-identification. The nearest is DICOM Instances
Accessed (110103, section A.5.3.6) with the action C, an object was created; that it was
de-identified is told where the schema has a place for it: ParticipantObjectDataLifeCycle 7 and
Anonymized. Names and nesting are those of the schema in section A.5.1, as JSON in place of XML:

- ``EventIdentification``: EventID, EventActionCode, EventDateTime (UTC), EventOutcomeIndicator
  (see `Outcome`), and EventOutcomeDescription with the reason of what did not succeed.
- ``ActiveParticipant``: who sent it, by kind (C-STORE, REST), never by name; and this program.
- ``AuditSourceIdentification``: the source that the log was opened with.
- ``ParticipantObjectIdentification``: the study and the patient, as they are called afterwards.
  ParticipantObjectDetail has digest of the original, profile, options, counts, and duration. Of an
  object that was refused there is nothing but the digest, which then is its identifier.

There is no identity in it, as long as the caller's words hold none; UIDs are the original's own
only where the option to retain them is on. A blank line, which a torn write may leave, means
nothing.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import os
import stat
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from typing import Any, Final

from preread.errors import PrereadError

_LONGEST_TEXT: Final = 500
_MOST: Final = 100  # options and counts
_GLANCES: Final = 3
_GLANCE: Final = 0.001  # seconds


class AuditError(PrereadError):
    """The audit log cannot be opened or written; whether the object may pass the caller decides."""


class Outcome(IntEnum):
    """EventOutcomeIndicator."""

    SUCCESS = 0
    MINOR_FAILURE = 4
    """Something of it was left out, or it is held until somebody looks at it."""
    SERIOUS_FAILURE = 8
    """It was refused."""


def _code(value: str, scheme: str, meaning: str) -> dict[str, str]:
    return {"csd-code": value, "codeSystemName": scheme, "originalText": meaning}


_EVENT: Final = _code("110103", "DCM", "DICOM Instances Accessed")
_SOURCE_ROLE: Final = _code("110153", "DCM", "Source Role ID")
_APPLICATION_ROLE: Final = _code("110150", "DCM", "Application")
_STUDY: Final = _code("110180", "DCM", "Study Instance UID")
_PATIENT: Final = _code("2", "RFC-3881", "Patient Number")
_URI: Final = _code("12", "RFC-3881", "URI")
_APPLICATION_SERVER: Final = _code("4", "DCM", "Application Server")
_DEIDENTIFICATION: Final = "7"


def digest_of(data: bytes | memoryview) -> str:
    """Return the digest by which an original is named: SHA-256, 64 hexadecimal digits."""
    return hashlib.sha256(data).hexdigest()


class AuditLog:
    """Appends lines to a file, which is rotated.

    Thread safe; several processes may write the same file on a local file system. What is written
    is handed to the operating system before a call returns, not forced to the disk.

    Parameters
    ----------
    path
        The file; made with mode 0600, or brought to it. Older ones are ``path.1``, ``path.2``, ...
    source
        AuditSourceID: what this site calls the program, such as the name of the Orthanc.
    max_bytes
        The size that a file does not grow beyond, but for a single longer line and lines of other
        processes at the same moment; at least 1024. A line is about as long.
    files
        How many there are, the one that is written included; at least 2.

    Raises
    ------
    AuditError
        If the file cannot be opened for writing, or a number is too small.
    """

    def __init__(
        self, path: Path, *, source: str, max_bytes: int = 50 * 2**20, files: int = 10
    ) -> None:
        if max_bytes < 1024 or files < 2:
            raise AuditError("audit log: expected 1024 bytes or more and 2 files or more")
        self._path = path
        self._source = _short(source)
        self._max_bytes = max_bytes
        self._files = files
        self._mutex = threading.Lock()
        self._descriptor = -1
        try:
            path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
            self._open()
        except OSError as error:
            raise AuditError(f"{path}: cannot be opened ({error.strerror})") from None

    def close(self) -> None:
        """Close the file; a later line opens it again."""
        with self._mutex:
            self._close()

    def deidentified(
        self,
        *,
        sender: str,
        digest: str,
        PatientID: str,  # noqa: N803 - the standard's own keywords
        StudyInstanceUID: str,  # noqa: N803
        SeriesInstanceUID: str,  # noqa: N803
        SOPInstanceUID: str,  # noqa: N803
        SOPClassUID: str,  # noqa: N803
        profile: str,
        options: Sequence[str],
        counts: Mapping[str, int],
        duration_ms: float,
        encrypted: bool = False,
        outcome: Outcome = Outcome.SUCCESS,
        reason: str = "",
    ) -> None:
        """Write that an object was de-identified.

        Parameters
        ----------
        sender
            The kind, such as C-STORE.
        digest
            Of the original: `digest_of`.
        PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID, SOPClassUID
            As they are afterwards.
        profile
            Name and edition.
        options
            Codes of CID 7050, such as 113100.
        counts
            Elements for each action.
        duration_ms
            Milliseconds.
        encrypted
            Whether the original's attributes were sealed into it.
        outcome
            SUCCESS, or MINOR_FAILURE where something was left out.
        reason
            What was; nothing that identifies.

        Raises
        ------
        AuditError
            If the line cannot be written.
        """
        instance = {
            "UID": _short(SOPClassUID),
            "NumberOfInstances": 1,
            "Instance": [{"UID": _short(SOPInstanceUID)}],
        }
        study = {
            **_system_object(_STUDY, StudyInstanceUID),
            "ParticipantObjectDetail": [
                *_details(digest, duration_ms),
                {"type": "SeriesInstanceUID", "value": _short(SeriesInstanceUID)},
                {"type": "Profile", "value": _short(profile)},
                {"type": "Options", "value": [_short(code) for code in options[:_MOST]]},
                {
                    "type": "Counts",
                    "value": {_short(key): counts[key] for key in list(counts)[:_MOST]},
                },
            ],
            "SOPClass": [instance],
            "Encrypted": encrypted,
            "Anonymized": True,
        }
        patient = {
            "ParticipantObjectTypeCode": "1",
            "ParticipantObjectTypeCodeRole": "1",
            "ParticipantObjectIDTypeCode": _PATIENT,
            "ParticipantObjectID": _short(PatientID),
        }
        self._write(sender, outcome, reason, [study, patient])

    def refused(
        self,
        *,
        sender: str,
        digest: str,
        reason: str,
        duration_ms: float,
        outcome: Outcome = Outcome.SERIOUS_FAILURE,
        quarantine: str = "",
    ) -> None:
        """Write that an object was not let through.

        Parameters
        ----------
        sender
            The kind, such as C-STORE.
        digest
            Of the object: `digest_of`.
        reason
            Why; nothing that identifies.
        duration_ms
            Milliseconds.
        outcome
            SERIOUS_FAILURE, or MINOR_FAILURE where it is held.
        quarantine
            The entry's id, where it is held.

        Raises
        ------
        AuditError
            If the line cannot be written.
        """
        details = _details(digest, duration_ms)
        if quarantine:
            details.append({"type": "Quarantine", "value": _short(quarantine)})
        subject = {
            **_system_object(_URI, f"urn:sha256:{_short(digest)}"),
            "ParticipantObjectDetail": details,
        }
        self._write(sender, outcome, reason, [subject])

    def _write(
        self, sender: str, outcome: Outcome, reason: str, objects: list[dict[str, Any]]
    ) -> None:
        event: dict[str, Any] = {
            "EventID": _EVENT,
            "EventActionCode": "C",
            "EventDateTime": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "EventOutcomeIndicator": int(outcome),
        }
        if reason:
            event["EventOutcomeDescription"] = _short(reason)
        message = {
            "EventIdentification": event,
            "ActiveParticipant": [
                {"UserID": _short(sender), "UserIsRequestor": True, "RoleIDCode": [_SOURCE_ROLE]},
                {
                    "UserID": "Preread",
                    "AlternativeUserID": str(os.getpid()),
                    "UserIsRequestor": False,
                    "RoleIDCode": [_APPLICATION_ROLE],
                },
            ],
            "AuditSourceIdentification": {
                "AuditSourceID": self._source,
                "AuditSourceTypeCode": [_APPLICATION_SERVER],
            },
            "ParticipantObjectIdentification": objects,
        }
        # JSON escapes line ends, in whatever alphabet, so that no text can forge a line.
        line = json.dumps(message, separators=(",", ":")).encode("ascii") + b"\n"
        with self._mutex:
            try:
                self._append(line)
            except OSError as error:
                raise AuditError(
                    f"{self._path}: cannot be written ({error.strerror}); make sure that there is "
                    "room and that the folder can be written"
                ) from None

    def _append(self, line: bytes) -> None:
        if not self._is_current():
            self._open()
        status = os.fstat(self._descriptor)
        if status.st_size and status.st_size + len(line) > self._max_bytes:
            self._rotate()
        if self._is_torn():
            line = b"\n" + line
        # At once, so that lines of several processes do not mix.
        if os.write(self._descriptor, line) != len(line):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    def _open(self) -> None:
        self._close()
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
        self._descriptor = os.open(self._path, flags, 0o600)
        mode = os.fstat(self._descriptor).st_mode
        if not stat.S_ISREG(mode):
            self._close()
            raise OSError(errno.EINVAL, "expected an ordinary file")
        if mode & 0o077:
            os.fchmod(self._descriptor, 0o600)

    def _close(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _is_current(self) -> bool:
        """Tell whether the open file still has its name; another process may have rotated it.

        One that is rotated between this question and the line gets the line all the same.
        """
        if self._descriptor < 0:
            return False
        try:
            named = os.stat(self._path)  # noqa: PTH116 - a third of the time, for every line
        except FileNotFoundError:
            return False
        mine = os.fstat(self._descriptor)
        return (named.st_ino, named.st_dev) == (mine.st_ino, mine.st_dev)

    def _is_torn(self) -> bool:
        """Tell whether a crash or a full disk cut the last line off."""
        for _ in range(_GLANCES):
            size = os.fstat(self._descriptor).st_size
            if not size or os.pread(self._descriptor, 1, size - 1) == b"\n":
                return False
            time.sleep(_GLANCE)  # a line that another process is writing right now looks the same
        return True

    def _rotate(self) -> None:
        flags = os.O_RDWR | os.O_CREAT | os.O_CLOEXEC
        lock = os.open(self._path.with_name(f"{self._path.name}.lock"), flags, 0o600)
        try:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if self._is_current():  # else another process has done it meanwhile
                names = [self._path.with_name(f"{self._path.name}.{n}") for n in self._numbers()]
                for older, newer in zip(names, [*names[1:], self._path], strict=True):
                    if newer.exists():
                        newer.rename(older)
            self._open()
        finally:
            os.close(lock)

    def _numbers(self) -> range:
        return range(self._files - 1, 0, -1)


def _short(text: str) -> str:
    return text[:_LONGEST_TEXT]


def _system_object(kind: dict[str, str], identifier: str) -> dict[str, Any]:
    return {
        "ParticipantObjectTypeCode": "2",
        "ParticipantObjectTypeCodeRole": "3",
        "ParticipantObjectDataLifeCycle": _DEIDENTIFICATION,
        "ParticipantObjectIDTypeCode": kind,
        "ParticipantObjectID": _short(identifier),
        "ParticipantObjectName": _short(identifier),
    }


def _details(digest: str, duration_ms: float) -> list[dict[str, Any]]:
    return [
        {"type": "OriginalSHA256", "value": _short(digest)},
        {"type": "DurationMilliseconds", "value": round(duration_ms, 3)},
    ]
