"""One text, cleaned."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Final

from preread.deidentify.descriptors.known import composed
from preread.deidentify.descriptors.numbers import remove_numbers
from preread.deidentify.descriptors.runs import RUN, Run
from preread.deidentify.descriptors.spelled import remove_spelled
from preread.deidentify.descriptors.tidying import rebuilt
from preread.deidentify.descriptors.titles import remove_titles
from preread.deidentify.descriptors.vocabulary import vocabulary
from preread.deidentify.descriptors.words import stays

_LONGEST: Final = 65_536
_MOST_PASSES: Final = 16
_JOINING: Final = frozenset("-.'’‘^~@&\\–`´")
_APOSTROPHES: Final = ("'", "’", "‘", "`", "´")
_STRONG: Final = frozenset(";()[]{}|\n")
_ADDRESS: Final = re.compile(r"@|://|www\.|mailto:|:\\|\\\\", re.IGNORECASE)
_BETWEEN_BLANKS: Final = re.compile(r"\S+")


class TextCleaner:
    """Removes from free text what may identify; the rules are in the package's description.

    Thread safe.

    Parameters
    ----------
    more_words
        Words to be kept besides those of the vocabulary, such as names of protocols.

    >>> cleaner = TextCleaner()
    >>> cleaner.clean("t1_mprage_sag_p2_iso", frozenset())
    't1_mprage_sag_p2_iso'
    >>> cleaner.clean("CT Thorax Mrs Smith 12.01.2020", frozenset())
    'CT Thorax'
    """

    def __init__(self, more_words: Iterable[str] = ()) -> None:
        self._more = frozenset(
            run for word in more_words for run in RUN.findall(composed(word).casefold())
        )
        self._words: frozenset[str] | None = None

    def clean(self, text: str, known: frozenset[str]) -> str:
        """Return a text without what may identify.

        Parameters
        ----------
        text
            One decoded value of a text VR.
        known
            What identifies in the same header, see `known_words`.

        Returns
        -------
        str
            The very same object if the text is clean; never longer; empty if nothing is left
            or the text has more than 65,536 characters.
        """
        if len(text) > _LONGEST:
            return ""
        words = self._words
        if words is None:
            # Read at the first text, not where the hook is loaded.
            words = self._words = vocabulary().words | self._more
        cleaned = _cleaned(composed(text), words, known)
        if cleaned is None:
            return text
        for _ in range(_MOST_PASSES):
            again = _cleaned(cleaned, words, known)
            if again is None:
                return cleaned
            cleaned = again
        return ""


def _cleaned(text: str, words: frozenset[str], known: frozenset[str]) -> str | None:
    """Return a text with less in it, or None if nothing has to go."""
    also_names = vocabulary().also_names
    runs: list[Run] = []
    gaps: list[str] = []
    position = 0
    for match in RUN.finditer(text):
        start, end = match.span()
        written = match[0]
        folded = written.casefold()
        gaps.append(text[position:start])
        weak = folded in also_names or (len(folded) == 1 and not _is_in_pair(text, start))
        runs.append(Run(start, end, folded, stays(written, folded, words, known), weak))
        position = end
    gaps.append(text[position:])
    for run, gap in zip(runs, gaps[1:], strict=True):
        if run.folded == "o" and gap in _APOSTROPHES:
            run.stays = False
    remove_titles(text, runs, gaps)
    remove_numbers(text, runs, gaps, known)
    remove_spelled(runs, gaps, words, known)
    if _ADDRESS.search(text):
        _remove_addresses(text, runs)
    if all(run.stays for run in runs):
        return None
    _remove_with_neighbours(runs, gaps)
    return rebuilt(text, runs, gaps)


def _is_in_pair(text: str, place: int) -> bool:
    """Tell whether a letter is of an abbreviation such as w/o, s/p, r/o."""
    return "/" in (text[place - 1 : place], text[place + 1 : place + 2])


def _remove_addresses(text: str, runs: list[Run]) -> None:
    spans = (match.span() for match in _BETWEEN_BLANKS.finditer(text) if _ADDRESS.search(match[0]))
    start, end = next(spans, (len(text), len(text)))
    for run in runs:
        while run.start >= end and end < len(text):
            start, end = next(spans, (len(text), len(text)))
        if start <= run.start < end:
            run.stays = False


def _is_joined(gap: str) -> bool:
    return bool(gap) and all(sign in _JOINING for sign in gap)


def _remove_with_neighbours(runs: list[Run], gaps: list[str]) -> None:
    """Mark what is joined to something that goes, and what is weak beside it (rules 3 and 4)."""
    going = [place for place, run in enumerate(runs) if not run.stays]
    while going:
        place = going.pop()
        is_number = any(sign.isdecimal() for sign in runs[place].folded)
        for neighbour, gap in ((place - 1, gaps[place]), (place + 1, gaps[place + 1])):
            if not 0 <= neighbour < len(runs) or not runs[neighbour].stays:
                continue
            # A number is no part of a name; what stands beside it is.
            weak = runs[neighbour].weak and not (is_number and runs[neighbour].folded.isalpha())
            if (weak and _STRONG.isdisjoint(gap)) or _is_joined(gap):
                runs[neighbour].stays = False
                going.append(neighbour)
