"""Sending files from a disk to Orthanc: DICOM as it is, PNG and JPEG to be made into DICOM."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from preread.archive.pacs import (
    Kept,
    OrthancPacs,
    PacsFailedError,
    PacsRefusedError,
    Refused,
    Stored,
)
from preread.errors import PrereadError

_SNIFFED = 132


class Kind(StrEnum):
    """What a file is, by its first bytes."""

    DICOM = "application/dicom"
    PNG = "image/png"
    JPEG = "image/jpeg"
    OTHER = "application/octet-stream"


@dataclass(frozen=True, slots=True)
class Source:
    """A file that may be imported.

    Attributes
    ----------
    path
        Where it lies.
    named
        Whether it was named itself, and not found in a folder: then whatever it is, it is sent.
    """

    path: Path
    named: bool


class NotImportedError(PrereadError):
    """A file was not taken."""


def sources(paths: Iterable[Path]) -> Iterator[Source]:
    """List files, and the files in folders at every depth, in the order of their names.

    Hidden ones in folders are passed over, links to folders are not followed.
    """
    for path in paths:
        if path.is_dir():
            yield from _in_folder(path)
        else:
            yield Source(path, named=True)


def _in_folder(folder: Path) -> Iterator[Source]:
    for here, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(files):
            if not name.startswith("."):
                yield Source(Path(here) / name, named=False)


def kind_of(path: Path) -> Kind:
    """Tell by its first bytes what a file is.

    Raises
    ------
    NotImportedError
        If it cannot be read.
    """
    try:
        with path.open("rb") as file:
            start = file.read(_SNIFFED)
    except OSError as error:
        raise NotImportedError(f"{path}: cannot be read ({error.strerror})") from None
    if start[128:132] == b"DICM":
        return Kind.DICOM
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return Kind.PNG
    if start.startswith(b"\xff\xd8\xff"):
        return Kind.JPEG
    return Kind.OTHER


def is_wanted(source: Source) -> bool:
    """Tell whether a file is to be sent: an image, or what somebody named or calls DICOM.

    Raises
    ------
    NotImportedError
        If it cannot be read.
    """
    kind = kind_of(source.path)
    if source.named or source.path.suffix.lower() in (".dcm", ".dicom"):
        return True
    return kind is not Kind.OTHER and source.path.name != "DICOMDIR"


def send(pacs: OrthancPacs, path: Path, tags: Mapping[str, str]) -> str:
    """Send one file.

    Parameters
    ----------
    pacs
        Orthanc.
    path
        The file.
    tags
        For pictures: attributes of the DICOM object that is made of it, by keyword.

    Returns
    -------
    str
        Orthanc's id of the instance; empty if Preread keeps it for now (GET /preread/quarantine).

    Raises
    ------
    NotImportedError
        If the file was not taken.
    preread.archive.pacs.PacsUnreachableError
        If there is nobody to take it.
    """
    kind = kind_of(path)
    try:
        data = path.read_bytes()
        if kind in (Kind.PNG, Kind.JPEG):
            content = f"data:{kind.value};base64,{base64.b64encode(data).decode('ascii')}"
            body = json.dumps({"Content": content, "Tags": dict(tags)}).encode()
            outcome = pacs.upload("/preread/images", body, "application/json")
        else:
            outcome = pacs.store(data)
    except OSError as error:
        raise NotImportedError(f"{path}: cannot be read ({error.strerror})") from None
    except (PacsFailedError, PacsRefusedError) as error:
        raise NotImportedError(f"{path}: {error}") from None
    if isinstance(outcome, Stored | Kept):
        return outcome.instance
    if isinstance(outcome, Refused):
        raise NotImportedError(f"{path}: {outcome.reason}")
    return ""  # taken, and kept until its pixels have been looked at, or in the quarantine
