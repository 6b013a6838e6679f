"""C-STORE by DCMTK's ``dcmsend``, as a modality would."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from preread.demo.errors import DemoError
from preread.demo.node import Node, program

_RESPONSE: Final = re.compile(r"I: Received C-STORE Response \((.*)\)")
_SKIPPED: Final = "W: bad DICOM file"
_FATAL: Final = re.compile(r"F: (.*)")


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of the files that were sent.

    Attributes
    ----------
    stored, refused, skipped
        Answered with success, answered with another status, and not DICOM files at all.
    """

    stored: int
    refused: int
    skipped: int


def send(node: Node, folder: Path, answered: Callable[[], None] = lambda: None) -> Sent:
    """Send a folder's DICOM files, those of its subfolders included, over one association.

    Parameters
    ----------
    node
        Who takes them.
    folder
        What else lies in it is skipped.
    answered
        Called after each answer.

    Raises
    ------
    DemoError
        If nothing could be sent.
    """
    command = [
        program("dcmsend", "dcmtk"),
        *("--verbose", "--no-halt", "--scan-directories", "--recurse"),
        *("--call", node.aet, "127.0.0.1", str(node.dicom_port), str(folder)),
    ]
    stored = refused = skipped = 0
    fatal = ""
    with subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
    ) as process:
        for line in process.stdout or ():
            if response := _RESPONSE.match(line):
                stored, refused = (
                    (stored + 1, refused) if response[1] == "Success" else (stored, refused + 1)
                )
                answered()
            elif line.startswith(_SKIPPED):
                skipped += 1
            elif found := _FATAL.match(line):
                fatal = found[1]
    if stored + refused == 0:
        raise DemoError(f"dcmsend sent nothing: {fatal or 'no DICOM files in the folder'}")
    return Sent(stored, refused, skipped)
