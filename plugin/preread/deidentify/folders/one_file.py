"""One file of a folder: read through a mapping, written beside, so that memory does not grow."""

from __future__ import annotations

import mmap
import os
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, Self

import structlog

from preread.deidentify import (
    DeidentificationError,
    Deidentified,
    DeidentifyOptions,
    Secret,
)
from preread.deidentify.folders.listing import is_dicom, is_directory
from preread.deidentify.pixels.complete import CompleteDeidentifier
from preread.deidentify.study_patients import StudyPatients
from preread.deidentify.trail import trail_at
from preread.errors import PrereadError

_CHUNK: Final = 8 * 2**20  # bytes
_MOST_PIECES: Final = 512  # of one write; POSIX promises 16, Linux takes 1024

_SENDER: Final = "folder"

_logger = structlog.get_logger(__name__)


class Kind(StrEnum):
    """What came of a file."""

    DEIDENTIFIED = "de-identified"
    NOT_DICOM = "not DICOM"
    DIRECTORY = "DICOMDIR"
    FAILED = "failed"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a file, without anything of what it held.

    Attributes
    ----------
    kind
        Whether there is a result.
    reason
        Why it failed.
    PatientID, StudyInstanceUID, SeriesInstanceUID, SOPInstanceUID
        As they are now; empty where there is no result.
    size
        Of the result, in bytes.
    counts
        How many elements there were for each action.
    lost
        Tags of elements that were removed because they could not be read, with the reason.
    """

    kind: Kind
    reason: str = ""
    PatientID: str = ""
    StudyInstanceUID: str = ""
    SeriesInstanceUID: str = ""
    SOPInstanceUID: str = ""
    size: int = 0
    counts: Mapping[str, int] = field(default_factory=dict)
    lost: tuple[tuple[int, str], ...] = ()


@dataclass(frozen=True, slots=True)
class EngineDescription:
    """What a process needs to build its engine.

    Attributes
    ----------
    key_file
        The secret's file.
    key_fingerprint
        Of the secret that the run began with.
    options
        What is chosen.
    audit
        The file for the audit trail; None where none is wanted.
    patients
        The file that tells whose a study is; None where each object is taken for itself.
    """

    key_file: Path
    key_fingerprint: str
    options: DeidentifyOptions
    audit: Path | None = None
    patients: Path | None = None


class Deidentifies(Protocol):
    """What de-identifies a file; `CompleteDeidentifier` does."""

    def deidentify(self, data: bytes | memoryview, /) -> Deidentified:
        """Return a file without its identity."""
        ...


@dataclass(frozen=True, slots=True)
class Engine:
    """What de-identifies, built once in each process.

    Attributes
    ----------
    deidentifier
        For header and pixels.
    """

    deidentifier: Deidentifies

    @classmethod
    def build(cls, description: EngineDescription) -> Self:
        """Make an engine.

        Raises
        ------
        preread.deidentify.SecretError
            If the key cannot be read or is not the one that the run began with.
        preread.deidentify.audit.AuditError
            If the audit trail cannot be opened.
        """
        secret = Secret.load_or_create(description.key_file, description.key_fingerprint)
        trail = None
        if description.audit is not None:
            trail = trail_at(description.audit)
        file = description.patients
        patients = None if file is None else StudyPatients(file, secret)
        return cls(CompleteDeidentifier(secret, description.options, trail, _SENDER, patients))


def deidentify_file(source: Path, target: Path, engine: Engine) -> Outcome:
    """De-identify one file into another.

    Parameters
    ----------
    source
        Any file; it is only read.
    target
        The new file, replaced if it is there. Without a result there is none afterwards.
    engine
        What does it.

    Returns
    -------
    Outcome
        Of whatever came of it; nothing is raised.
    """
    outcome = Outcome(Kind.FAILED)
    try:
        outcome = _deidentified(source, target, engine)
    except PrereadError as error:
        outcome = Outcome(Kind.FAILED, str(error))
    except OSError as error:
        outcome = Outcome(Kind.FAILED, f"cannot be read or written ({error.strerror})")
    except Exception as error:  # a defect costs the file, not the run
        _logger.exception("file not de-identified")
        outcome = Outcome(Kind.FAILED, f"a defect of Preread ({type(error).__name__})")
    finally:
        if outcome.kind is not Kind.DEIDENTIFIED:
            target.unlink(missing_ok=True)
    return outcome


def _deidentified(source: Path, target: Path, engine: Engine) -> Outcome:
    target.unlink(missing_ok=True)
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC
    # Made before anything is read: should this process die, it tells on which file.
    with (
        os.fdopen(os.open(target, flags, 0o666), "wb") as output,
        _mapped(source) as mapping,
        memoryview(b"" if mapping is None else mapping) as data,
    ):
        if not is_dicom(data):
            return Outcome(Kind.NOT_DICOM)
        if is_directory(data):
            return Outcome(Kind.DIRECTORY)
        done = engine.deidentifier.deidentify(data)
        if done.look:
            raise DeidentificationError(None, "its pixels must be looked at, and were not")
        size = _write(output.fileno(), done.parts, _forgetting(mapping))
        return Outcome(
            Kind.DEIDENTIFIED,
            PatientID=done.PatientID,
            StudyInstanceUID=done.StudyInstanceUID,
            SeriesInstanceUID=done.SeriesInstanceUID,
            SOPInstanceUID=done.SOPInstanceUID,
            size=size,
            counts=dict(done.counts),
            lost=done.lost,
        )


@contextmanager
def _mapped(source: Path) -> Iterator[mmap.mmap | None]:
    """Map a file into memory; None stands for an empty one.

    Raises
    ------
    OSError
        If it cannot be read.
    DeidentificationError
        If it is no ordinary file, or changed meanwhile.
    """
    descriptor = os.open(source, os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_CLOEXEC)
    with os.fdopen(descriptor, "rb") as file:
        before = os.fstat(file.fileno())
        if not stat.S_ISREG(before.st_mode):
            raise DeidentificationError(None, "expected an ordinary file")
        if not before.st_size:
            yield None
            return
        mapping = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        try:
            yield mapping
        finally:
            with suppress(BufferError):  # parts still point into it; it goes with the last one
                mapping.close()
        after = os.fstat(file.fileno())
        if (before.st_size, before.st_mtime_ns) != (after.st_size, after.st_mtime_ns):
            raise DeidentificationError(None, "it changed while it was read; try again")


def _forgetting(mapping: mmap.mmap | None) -> Callable[[], None]:
    """Return what gives read pages back, since the kernel counts them as this process's."""
    if mapping is None or not hasattr(mmap, "MADV_DONTNEED"):
        return lambda: None
    return lambda: mapping.madvise(mmap.MADV_DONTNEED)


def _write(
    descriptor: int, parts: Iterable[bytes | memoryview], after_each: Callable[[], None]
) -> int:
    """Write parts one behind the other, many small ones or a slice of a large one at a time."""
    total = waiting = 0
    pieces: list[memoryview] = []
    for part in parts:
        view = memoryview(part)
        for start in range(0, len(view), _CHUNK):
            pieces.append(view[start : start + _CHUNK])
            waiting += len(pieces[-1])
            if waiting >= _CHUNK or len(pieces) == _MOST_PIECES:
                _write_all(descriptor, pieces)
                after_each()
                total, waiting = total + waiting, 0
    _write_all(descriptor, pieces)
    return total + waiting


def _write_all(descriptor: int, pieces: list[memoryview]) -> None:
    """Write all pieces and empty the list."""
    while pieces:
        written = os.writev(descriptor, pieces)
        while pieces and written >= len(pieces[0]):
            written -= len(pieces.pop(0))
        if pieces and written:
            pieces[0] = pieces[0][written:]
