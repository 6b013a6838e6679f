"""Whom images are of, told by tokens: no identifier of a patient is kept or written anywhere.

A token is the beginning of a SHA-256. It keeps a name out of files that are passed on with weights;
short identifiers could still be guessed from it, one after the other.
"""

from __future__ import annotations

import csv
import hashlib
import re
from io import StringIO
from typing import Final

from preread.elements import MalformedFile, read_header

COLUMN: Final = "patient"
"""Of a CSV."""

_TOKEN: Final = re.compile(r"sha256:[0-9a-f]{16}")


def token_of(identifier: bytes) -> str:
    """Give the token of an identifier.

    Examples
    --------
    >>> token_of(b"P1")
    'sha256:fbeae7c18667b698'
    """
    return f"sha256:{hashlib.sha256(identifier).hexdigest()[:16]}"


def tokens_in(cell: str) -> tuple[str, ...]:
    """Give the tokens of a CSV's cell: those that it holds, or that of the patient it names.

    Parameters
    ----------
    cell
        Empty, an identifier of any form, or tokens with a blank between two.

    Examples
    --------
    >>> tokens_in("P1") == tokens_in("sha256:fbeae7c18667b698") == (token_of(b"P1"),)
    True
    """
    there = cell.split()
    if all(map(_TOKEN.fullmatch, there)):
        return tuple(dict.fromkeys(there))
    return (token_of(cell.strip().encode()),)


def tokens_of_header(data: bytes) -> tuple[str, ...]:
    """Give the token of a DICOM file's patient.

    Returns
    -------
    tuple of str
        Of PatientID, without one of StudyInstanceUID; empty without either, or where the header is
        too broken to be read.
    """
    try:
        header = read_header(data)
        known = header.PatientID or header.StudyInstanceUID
    except MalformedFile:
        return ()
    return tokens_in(known)


def without_identifiers(listing: bytes) -> bytes:
    """Give a CSV with tokens where it named patients, and otherwise as it is.

    Parameters
    ----------
    listing
        In UTF-8, and one that `preread.training.listing.read_listing` has read.

    Returns
    -------
    bytes
        The very bytes where no patient is named in any other way than by a token.
    """
    rows = [row for row in csv.reader(StringIO(listing.decode("utf-8-sig"), newline="")) if row]
    if COLUMN not in rows[0]:
        return listing
    place = rows[0].index(COLUMN)
    hidden = [
        [*row[:place], " ".join(tokens_in(row[place])), *row[place + 1 :]] for row in rows[1:]
    ]
    if all(row[place].strip() == own[place] for row, own in zip(rows[1:], hidden, strict=True)):
        return listing
    text = StringIO()
    csv.writer(text, lineterminator="\n").writerows([rows[0], *hidden])
    return text.getvalue().encode()
