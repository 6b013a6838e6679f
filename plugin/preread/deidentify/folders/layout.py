"""Where results lie: by their new identifiers, or as a file-set for media (PS3.10 section 8)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from enum import StrEnum
from typing import Final

from preread.deidentify.errors import DeidentificationError
from preread.deidentify.folders.one_file import Outcome
from preread.deidentify.folders.state import Result

_COMPONENT: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
_DIGITS: Final = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_PREFIXES: Final = ("PT", "ST", "SE", "IM")
_PLACES: Final = 6  # of a number, so that a component has the eight characters that PS3.10 allows


class LayoutKind(StrEnum):
    """How the destination is laid out."""

    IDENTIFIERS = "identifiers"
    FILE_SET = "file-set"


class ByIdentifiers:
    """PatientID, StudyInstanceUID and SeriesInstanceUID as folders, SOPInstanceUID as name."""

    def location(self, outcome: Outcome) -> str:
        """Return where a result belongs, relative to the destination.

        Raises
        ------
        DeidentificationError
            If an identifier cannot be part of a path.
        """
        *folders, name = _identifiers(outcome)
        for part in (*folders, name):
            if not _COMPONENT.fullmatch(part):
                raise DeidentificationError(
                    None, "an identifier that is kept holds what no UID may (PS3.5 section 9)"
                )
        return "/".join((*folders, f"{name}.dcm"))


class ByNumbers:
    """Numbered folders and files with names of eight capital letters and digits.

    Numbers are given in the order in which objects come, and stay.

    Parameters
    ----------
    results
        What has its place already.

    Examples
    --------
    >>> ByNumbers([]).location(Outcome("de-identified", "", "P", "1.2", "1.2.3", "1.2.3.4"))
    'PT000000/ST000000/SE000000/IM000000'
    """

    def __init__(self, results: Iterable[Result]) -> None:
        self._names: dict[tuple[str, ...], str] = {}
        self._next: dict[tuple[str, ...], int] = {}
        for result in results:
            identifiers = (result.patient, result.study, result.series, result.instance)
            for depth, name in enumerate(result.location.split("/"), 1):
                above = identifiers[: depth - 1]
                self._names[identifiers[:depth]] = name
                number = int(name[2:], 36) + 1
                self._next[above] = max(self._next.get(above, 0), number)

    def location(self, outcome: Outcome) -> str:
        """Return where a result belongs, relative to the destination.

        Raises
        ------
        DeidentificationError
            If there are more objects in one folder than numbers.
        """
        identifiers = _identifiers(outcome)
        return "/".join(self._name(identifiers[:depth]) for depth in range(1, 5))

    def _name(self, identifiers: tuple[str, ...]) -> str:
        known = self._names.get(identifiers)
        if known is None:
            above = identifiers[:-1]
            number = self._next.get(above, 0)
            if number >= len(_DIGITS) ** _PLACES:
                raise DeidentificationError(None, "more objects in one folder than a medium holds")
            self._next[above] = number + 1
            known = _PREFIXES[len(above)] + _numeral(number)
            self._names[identifiers] = known
        return known


Layout = ByIdentifiers | ByNumbers


def _identifiers(outcome: Outcome) -> tuple[str, str, str, str]:
    return (
        outcome.PatientID,
        outcome.StudyInstanceUID,
        outcome.SeriesInstanceUID,
        outcome.SOPInstanceUID,
    )


def _numeral(number: int) -> str:
    """Write a number in base 36 with leading zeros."""
    text = ""
    for _ in range(_PLACES):
        number, digit = divmod(number, len(_DIGITS))
        text = _DIGITS[digit] + text
    return text
