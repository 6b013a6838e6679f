"""A whole folder: what is not done yet is done, filed and remembered."""

from __future__ import annotations

import ctypes
import filecmp
import hashlib
import os
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preread.deidentify import DeidentificationError, Pseudonyms, Secret
from preread.deidentify.folders.dicomdir import NAME, write_directory
from preread.deidentify.folders.errors import FolderError, StorageError
from preread.deidentify.folders.layout import ByIdentifiers, ByNumbers, Layout, LayoutKind
from preread.deidentify.folders.listing import Found, Listing, holds_directory, list_source
from preread.deidentify.folders.one_file import EngineDescription, Kind, Outcome
from preread.deidentify.folders.pool import Task, WorkerPool
from preread.deidentify.folders.state import FolderState, Result

Progress = Callable[[int, int], None]
"""Told how many files are done, and of how many."""
_NOBODY: Final = "a file that is no longer in the source"


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for.

    Attributes
    ----------
    source
        A folder or a file; never changed.
    destination
        A new or empty folder, or one that an earlier run of the same request made.
    engine
        What de-identifies.
    jobs
        How many processes.
    """

    source: Path
    destination: Path
    engine: EngineDescription
    jobs: int


@dataclass(slots=True)
class Summary:
    """What came of it.

    Attributes
    ----------
    deidentified
        Files that have a result, those of earlier runs included.
    earlier
        How many of them had it before.
    duplicates
        How many of them have the same content as another one, and share its result.
    not_dicom
        Files that are something else.
    directories
        DICOMDIRs, which are not copied.
    failures
        The path relative to the source and the reason, for what has no result.
    losses
        The same for what has one that lacks an element, since that could not be read.
    """

    deidentified: int = 0
    earlier: int = 0
    duplicates: int = 0
    not_dicom: int = 0
    directories: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    losses: list[tuple[str, str]] = field(default_factory=list)

    @property
    def is_empty(self) -> bool:
        """Whether there was nothing that could be de-identified, nor anything that failed."""
        return not (self.deidentified or self.failures)


def deidentify_folder(request: Request, progress: Progress | None = None) -> Summary:
    """De-identify a folder; what an earlier run has done is left as it is.

    Parameters
    ----------
    request
        What and how.
    progress
        Told after each file.

    Raises
    ------
    FolderError
        If source and destination cannot be used so.
    preread.deidentify.SecretError
        If the key cannot be read.
    WorkersError
        If processes die that work on nothing.
    StorageError
        If the destination cannot be written.
    """
    check_apart(request.source, request.destination)
    secret = Secret.load_or_create(request.engine.key_file, request.engine.key_fingerprint)
    listing = list_source(request.source)
    try:
        with FolderState(request.destination, secret, request.engine.options) as state:
            run = _Run(request, state, listing)
            run.do(progress or (lambda _done, _total: None))
            if run.kind is LayoutKind.FILE_SET:
                run.write_directory(Pseudonyms(secret))
            _sync(request.destination)
    except (OSError, sqlite3.Error) as error:
        reason = error.strerror if isinstance(error, OSError) else "its record cannot be kept"
        raise StorageError(
            f"{request.destination}: cannot be written ({reason}); when there is room again, the "
            "same command goes on"
        ) from None
    run.summary.failures.sort()
    return run.summary


def check_apart(source: Path, destination: Path) -> None:
    """Refuse a destination in the source, and the other way round.

    Raises
    ------
    FolderError
        If one lies in the other.
    """
    origin, goal = source.resolve(), destination.resolve()
    if goal.is_relative_to(origin) or origin.is_relative_to(goal):
        raise FolderError(
            "source and destination lie in one another; choose a destination elsewhere"
        )


class _Run:
    def __init__(self, request: Request, state: FolderState, listing: Listing) -> None:
        self._request = request
        self._state = state
        self._destination = request.destination
        self._files = listing.files
        self._identities = {found.name: state.identify(found) for found in listing.files}
        self._by_source = {self._identities[found.name][0]: found for found in listing.files}
        self.summary = Summary(failures=list(listing.unusable))
        self.kind = _layout_kind(request, state, listing)
        self._layout: Layout = (
            ByNumbers(state.all_results()) if self.kind is LayoutKind.FILE_SET else ByIdentifiers()
        )

    def do(self, progress: Progress) -> None:
        """Do what is not done yet."""
        left: dict[Task, Found] = {}
        for found in self._files:
            source, version = self._identities[found.name]
            known = self._state.result_of(source)
            if known and known.version == version and self._state.is_there(known):
                self.summary.deidentified += 1
                self.summary.earlier += 1
                self.summary.duplicates += self._is_shared(known)
            else:
                left[Task(found.path, self._state.unfinished / source.hex())] = found
        done, total = len(self._files) - len(left), len(self._files)
        progress(done, total)
        if not left:
            return
        with WorkerPool(self._request.engine, min(self._request.jobs, len(left))) as pool:
            for task, outcome in pool.outcomes(list(left)):
                self._take(left[task], task.target, outcome)
                done += 1
                progress(done, total)

    def _is_shared(self, result: Result) -> bool:
        """Tell whether another source stands for the content that this one shares with it."""
        return min(one.source for one in self._state.results_at(result.location)) != result.source

    def _take(self, found: Found, part: Path, outcome: Outcome) -> None:
        summary = self.summary
        if outcome.kind is Kind.NOT_DICOM:
            summary.not_dicom += 1
        elif outcome.kind is Kind.DIRECTORY:
            summary.directories += 1
        elif outcome.kind is Kind.FAILED:
            summary.failures.append((found.name, outcome.reason))
        else:
            try:
                self._file(found, part, outcome)
            except (DeidentificationError, OSError) as error:
                reason = (
                    f"its result cannot be stored ({error.strerror})"
                    if isinstance(error, OSError)
                    else str(error)
                )
                summary.failures.append((found.name, reason))
                part.unlink(missing_ok=True)

    def _file(self, found: Found, part: Path, outcome: Outcome) -> None:
        """Put a result where it belongs, unless another source has that place."""
        source, _ = self._identities[found.name]
        holder = next(
            (
                result
                for result in self._state.results_with(outcome.SOPInstanceUID)
                if result.source != source and self._state.is_there(result)
            ),
            None,
        )
        if holder is None:
            location = self._layout.location(outcome)
            target = self._destination / location
            target.parent.mkdir(parents=True, exist_ok=True)
            part.replace(target)
            size = outcome.size
        elif self._is_same(found, part, holder):
            part.unlink()
            location, size = holder.location, holder.size
            self.summary.duplicates += 1
        else:
            other = self._path_of(holder)
            name = _NOBODY if other is None else other.name
            raise DeidentificationError(
                0x00080018, f"it has the SOPInstanceUID of {name}, and another content"
            )
        self._remember(found, outcome, location, size)
        self.summary.deidentified += 1
        for tag, why in outcome.lost:
            where = f"({tag >> 16:04X},{tag & 0xFFFF:04X})"
            self.summary.losses.append((found.name, f"{where} was removed: {why}"))

    def _remember(self, found: Found, outcome: Outcome, location: str, size: int) -> None:
        source, version = self._identities[found.name]
        before = self._state.result_of(source)
        self._state.put(
            Result(
                source=source,
                version=version,
                location=location,
                size=size,
                patient=outcome.PatientID,
                study=outcome.StudyInstanceUID,
                series=outcome.SeriesInstanceUID,
                instance=outcome.SOPInstanceUID,
            )
        )
        if before and before.location != location and not self._state.results_at(before.location):
            (self._destination / before.location).unlink(missing_ok=True)

    def _is_same(self, found: Found, part: Path, holder: Result) -> bool:
        """Compare two results, and where encryption makes them differ, what they came from."""
        if filecmp.cmp(part, self._destination / holder.location, shallow=False):
            return True
        other = self._path_of(holder)
        return other is not None and filecmp.cmp(found.path, other.path, shallow=False)

    def _path_of(self, result: Result) -> Found | None:
        return self._by_source.get(result.source)

    def write_directory(self, pseudonyms: Pseudonyms) -> None:
        """Write the DICOMDIR of all results that are there."""
        results = [one for one in self._state.all_results() if self._state.is_there(one)]
        instances = "\0".join(sorted({result.instance for result in results}))
        uid = pseudonyms.uid(f"file-set {hashlib.sha256(instances.encode()).hexdigest()}")
        locations = dict(write_directory(self._destination, results, uid))
        for result in results:
            if result.location in locations:
                found = self._path_of(result)
                name = _NOBODY if found is None else found.name
                self.summary.failures.append((name, locations[result.location]))


def _layout_kind(request: Request, state: FolderState, listing: Listing) -> LayoutKind:
    is_medium = holds_directory(listing)
    wanted = LayoutKind.FILE_SET if is_medium else LayoutKind.IDENTIFIERS
    chosen = LayoutKind(state.layout(wanted))
    if is_medium and chosen is not LayoutKind.FILE_SET:
        raise FolderError(
            f"{request.destination}: begun when the source had no {NAME}, which it has now; "
            "choose another destination"
        )
    return chosen


def _sync(folder: Path) -> None:
    """Have the disk hold what was written, once for all files."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_CLOEXEC)
    try:
        library = ctypes.CDLL(None, use_errno=True)
        if not hasattr(library, "syncfs") or library.syncfs(descriptor):
            os.sync()
    finally:
        os.close(descriptor)
