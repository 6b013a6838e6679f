"""Which files a folder holds, and which of them are DICOM."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from preread.deidentify.folders.errors import FolderError
from preread.elements import MalformedFile, read_file_meta

MEDIA_STORAGE_DIRECTORY: Final = "1.2.840.10008.1.3.10"
_FIRST_GROUPS: Final = frozenset((0x0002, 0x0004, 0x0008, 0x0800))
"""Of a file without a preamble; the last one is group 8 in big endian."""
_FILE_META: Final = 4096  # bytes; real ones have some hundred
LINK: Final = "a link, not followed; what it leads to is not de-identified"


@dataclass(frozen=True, slots=True)
class Found:
    """A file of the source.

    Attributes
    ----------
    path
        Where it lies.
    name
        Its path relative to the source. It may hold a patient's name.
    size
        In bytes.
    modified
        When its content last changed, in nanoseconds since 1970.
    """

    path: Path
    name: str
    size: int
    modified: int


@dataclass(slots=True)
class Listing:
    """What a source holds.

    Attributes
    ----------
    files
        Ordinary files by name.
    unusable
        What is passed over though it may hold images, and why.
    """

    files: list[Found] = field(default_factory=list)
    unusable: list[tuple[str, str]] = field(default_factory=list)


def list_source(source: Path) -> Listing:
    """List a folder at every depth, hidden files too, or a single file.

    Links that lead to something in the folder are passed over, since that is listed itself; those
    that lead elsewhere are unusable.

    Parameters
    ----------
    source
        A folder or a file; a link is followed here.

    Raises
    ------
    FolderError
        If there is none.
    """
    listing = Listing()
    if source.is_file():
        status = source.stat()
        listing.files.append(Found(source, source.name, status.st_size, status.st_mtime_ns))
        return listing
    if not source.is_dir():
        raise FolderError(f"{source}: expected a folder or a DICOM file")
    for path in _walk(source, source, listing):
        name = str(path.relative_to(source))
        try:
            status = path.lstat()
        except OSError as error:
            listing.unusable.append((name, f"it cannot be read ({error.strerror})"))
            continue
        if stat.S_ISREG(status.st_mode):
            listing.files.append(Found(path, name, status.st_size, status.st_mtime_ns))
    listing.files.sort(key=lambda found: os.fsencode(found.name))
    listing.unusable.sort()
    return listing


def _walk(root: Path, folder: Path, listing: Listing) -> Iterator[Path]:
    def unreadable(error: OSError) -> None:
        name = os.path.relpath(error.filename, root)
        listing.unusable.append((name, f"the folder cannot be read ({error.strerror})"))

    real_root = root.resolve()
    for here, folders, files in os.walk(folder, onerror=unreadable):
        for name in (*folders, *files):
            path = Path(here, name)
            if not path.is_symlink():
                continue
            if not Path(os.path.realpath(path)).is_relative_to(real_root):
                listing.unusable.append((str(path.relative_to(root)), LINK))
        yield from (Path(here, name) for name in files)


def is_dicom(data: bytes | memoryview) -> bool:
    """Tell whether a file is DICOM, be it broken further on.

    One without the mark DICM must begin with a plausible first element.

    >>> is_dicom(b"")
    False
    >>> is_dicom(bytes(128) + b"DICM")
    True
    """
    if bytes(data[128:132]) == b"DICM":
        return True
    if len(data) < 8 or struct.unpack_from("<H", data)[0] not in _FIRST_GROUPS:
        return False
    try:
        read_file_meta(data)
    except MalformedFile:
        return False
    return True


def is_directory(data: bytes | memoryview) -> bool:
    """Tell whether a file is a DICOMDIR (PS3.10 section 8.6)."""
    try:
        return read_file_meta(data).MediaStorageSOPClassUID == MEDIA_STORAGE_DIRECTORY
    except MalformedFile:
        return False


def holds_directory(listing: Listing) -> bool:
    """Tell whether there is a DICOMDIR, which by PS3.10 has that word as its name.

    Copies keep it in their names, so that any name with it is looked at.
    """
    named = (found for found in listing.files if "dicomdir" in found.path.name.casefold())
    return any(_begins_as_directory(found.path) for found in named)


def _begins_as_directory(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return is_directory(file.read(_FILE_META))
    except OSError:
        return False
