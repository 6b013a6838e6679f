"""Which numbers may stay, looked at with their neighbours (rules 6 and 7)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from preread.deidentify.descriptors.known import is_known
from preread.deidentify.descriptors.runs import Run
from preread.deidentify.descriptors.vocabulary import vocabulary

_D: Final = r"[0-9]{1,3}(?:[.,][0-9]{1,3})?"
_FORMS: Final = re.compile(
    rf"[^\W\d_]*(?:{_D}(?:[-–][+-]?{_D})?|{_D}/{_D}|[0-9]{{1,3}}:1|1:[0-9]{{1,3}}"
    rf"|{_D}(?:[x×*]{_D})+|{_D}(?:_{_D})+|[0-9]{{1,3}}(?:,[0-9]{{1,3}})+)[^\W\d_]*"
)
_B_VALUES: Final = re.compile(r"b[0-9]{1,4}(?:[_,/-]b?[0-9]{1,4})*")
_NUMBER: Final = re.compile(r"[0-9]+")
_DAY_AND_MONTH: Final = re.compile(r"(?:0?[1-9]|[12][0-9]|3[01])[.,](?:0[1-9]|1[0-2])")
_DAY_MONTH: Final = re.compile(r"[0-9]{1,2}\.[0-9]{1,2}")
_FRACTION: Final = re.compile(r"[0-9]/[0-9]|[^\W\d_]+[0-9]{1,2}/[0-9]")
_PADDED: Final = re.compile(r"(?:^|[-–/:])0[0-9]")
_UNIT_SIGNS: Final = ("%", "°", "²", "³")
_MOST_DIGITS: Final = 6
"""Of numbers in a row. The shortest telephone numbers with an area code have seven."""


def remove_numbers(text: str, runs: list[Run], gaps: list[str], known: frozenset[str]) -> None:
    """Mark numbers that may tell a date, a time, an age, or are a number of somebody.

    Parameters
    ----------
    text
        The text.
    runs
        All runs of it; changed.
    gaps
        What stands before each run, and behind the last.
    known
        What identifies in the same header.
    """
    _remove_months_and_ages(runs, gaps)
    free: set[int] = set()
    for first, last in _chains(runs, gaps):
        chain = runs[first : last + 1]
        written = text[chain[0].start : chain[-1].end].casefold()
        announced = gaps[first] == "=" and first > 0 and runs[first - 1].folded == "b"
        if _are_b_values(f"b{written}" if announced else written):
            free.update(range(first, last + 1))
            for run in chain if announced else chain[1:]:
                run.stays = not is_known(run.folded, known)
            continue
        unit = _has_unit(runs, gaps, last)
        if not _may_stay(written, gaps[first], gaps[last + 1], unit=unit):
            for run in chain:
                run.stays = False
        for run in chain:
            run.weak = not unit and run.folded.isdecimal()
    _remove_rows(runs, gaps, free)


def _remove_months_and_ages(runs: list[Run], gaps: list[str]) -> None:
    months, ages = vocabulary().months, vocabulary().ages
    for place, run in enumerate(runs):
        if run.folded not in months and run.folded not in ages:
            continue
        behind = place > 0 and _is_near(runs[place - 1], gaps[place])
        before = place + 1 < len(runs) and _is_near(runs[place + 1], gaps[place + 1])
        if behind or (before and run.folded in months):
            run.stays = False


def _is_near(run: Run, gap: str) -> bool:
    """Tell whether a run is a plain number, and no bracket between."""
    return run.folded.isdecimal() and not any(sign in "()[]{};|" for sign in gap)


def _chains(runs: list[Run], gaps: list[str]) -> Iterator[tuple[int, int]]:
    """Yield the first and last run of what is written as one number, such as a decimal."""
    first = 0
    while first < len(runs):
        last = first
        while (
            last + 1 < len(runs)
            and runs[last].folded[-1].isdecimal()
            and runs[last + 1].folded[0].isdecimal()
            and not any(sign.isspace() for sign in gaps[last + 1])
        ):
            last += 1
        if last > first or runs[first].folded[0].isdecimal() or runs[first].folded[-1].isdecimal():
            yield first, last
        first = last + 1


def _are_b_values(written: str) -> bool:
    return bool(_B_VALUES.fullmatch(written)) and all(
        int(number) % 50 == 0 for number in _NUMBER.findall(written)
    )


def _has_unit(runs: list[Run], gaps: list[str], last: int) -> bool:
    letters = _NUMBER.split(runs[last].folded)[-1]
    if letters:
        return letters in vocabulary().units
    gap = gaps[last + 1]
    if gap.startswith(_UNIT_SIGNS):
        return True
    return last + 1 < len(runs) and not gap.strip() and runs[last + 1].folded in vocabulary().units


def _may_stay(written: str, before: str, behind: str, *, unit: bool) -> bool:
    single = not any(not sign.isalnum() for sign in written)
    if single:
        return unit or not before.endswith(("'", "’"))  # a year: '61
    if not _FORMS.fullmatch(written):
        return False
    if unit:
        return ":" not in written
    return not (
        _DAY_AND_MONTH.fullmatch(written)
        or (behind.startswith(".") and _DAY_MONTH.fullmatch(written))
        or ("/" in written and not _FRACTION.fullmatch(written))
        or ("_" not in written and _PADDED.search(written))
    )


def _remove_rows(runs: list[Run], gaps: list[str], free: set[int]) -> None:
    """Mark numbers with nothing but signs between them that together may be a number or a date."""
    row: list[tuple[int, int]] = []
    for place, run in enumerate(runs):
        numbers = _NUMBER.findall(run.folded)
        head = len(numbers[0]) if numbers and run.folded[0].isdecimal() else 0
        gap = gaps[place]
        if not head or place in free or (gap[:1] in (",", ";") and gap[1:2].isspace()):
            _judge_row(row, runs, gaps)
            row = []
        if head:
            row.append((place, head))
        if place in free or not run.folded.isdecimal():
            if head and place not in free:
                _judge_row(row, runs, gaps)
            tail = len(numbers[-1]) if numbers and run.folded[-1].isdecimal() else 0
            row = [(place, tail)] if tail and place not in free else []
    _judge_row(row, runs, gaps)


def _judge_row(row: list[tuple[int, int]], runs: list[Run], gaps: list[str]) -> None:
    if len(row) < 2:
        return
    if sum(digits for _, digits in row) > _MOST_DIGITS:
        for place, _ in row:
            runs[place].stays = False
        return
    for (first, one), (second, two), (third, three) in zip(row, row[1:], row[2:], strict=False):
        like_date = one <= 2 and two <= 2 and three <= 2 and 2 in (one, three)
        same = gaps[second].strip() == gaps[third].strip()
        if like_date and same and not _has_unit(runs, gaps, third):
            for place in (first, second, third):
                runs[place].stays = False
