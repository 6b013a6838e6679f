"""Words and numbers spelled out, such as ``S M I T H`` (rule 12)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from preread.deidentify.descriptors.known import is_known
from preread.deidentify.descriptors.runs import Run

_LONGEST: Final = 32
_LEAST_LETTERS: Final = 4
_LEAST_DIGITS: Final = 4
"""Of a known number: with fewer, sizes such as 1.5 would go for the number of a house."""


def remove_spelled(
    runs: list[Run], gaps: list[str], words: frozenset[str], known: frozenset[str]
) -> None:
    """Mark lone letters and digits in a row that together are a name or a known number.

    Parameters
    ----------
    runs
        All runs of a text; changed.
    gaps
        What stands before each run, and behind the last.
    words
        The vocabulary.
    known
        What identifies in the same header.
    """
    for first, last in _rows(runs):
        row = runs[first:last]
        if len(row) > _LONGEST:
            _remove(row)
            continue
        _remove_known(row, known)
        for start, end in _letters(row, gaps[first:last]):
            letters = row[start:end]
            joined = "".join(run.folded for run in letters)
            is_name = len(letters) >= _LEAST_LETTERS and joined not in words
            if is_name or not all(run.stays for run in letters):
                _remove(letters)


def _rows(runs: list[Run]) -> Iterator[tuple[int, int]]:
    """Yield the range of two or more lone letters or digits in a row."""
    first = 0
    for place, run in enumerate(runs):
        if run.end - run.start > 1 or not run.folded.isalnum():
            if place - first > 1:
                yield first, place
            first = place + 1
    if len(runs) - first > 1:
        yield first, len(runs)


def _remove_known(row: list[Run], known: frozenset[str]) -> None:
    for start in range(len(row)):
        joined = ""
        for end in range(start, len(row)):
            joined += row[end].folded
            if end == start or (joined.isdecimal() and len(joined) < _LEAST_DIGITS):
                continue
            if is_known(joined, known):
                _remove(row[start : end + 1])


def _letters(row: list[Run], gaps: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the range of two or more letters without digit or slash between (A/P, R/L)."""
    first = 0
    for place, run in enumerate(row):
        is_letter = run.folded.isalpha()
        if not is_letter or "/" in gaps[place]:
            if place - first > 1:
                yield first, place
            first = place if is_letter else place + 1
    if len(row) - first > 1:
        yield first, len(row)


def _remove(runs: list[Run]) -> None:
    for run in runs:
        run.stays = False
