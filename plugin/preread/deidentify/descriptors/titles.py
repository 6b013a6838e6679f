"""Titles and announcements of somebody, and what follows them (rule 5)."""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.descriptors.runs import Run
from preread.deidentify.descriptors.vocabulary import vocabulary

_PARTING: Final = re.compile(r"[,;()\[\]{}/|\n<>_]")
_MOST_NAMES: Final = 4


def remove_titles(text: str, runs: list[Run], gaps: list[str]) -> None:
    """Mark titles with what follows.

    Parameters
    ----------
    text
        The text.
    runs
        All runs of it; changed.
    gaps
        What stands before each run, and behind the last.
    """
    for place, run in enumerate(runs):
        if not _is_title(text, run, gaps[place + 1]):
            continue
        run.stays = False
        for follower in range(place + 1, min(place + 1 + _MOST_NAMES, len(runs))):
            if follower > place + 1 and _PARTING.search(gaps[follower]):
                break
            runs[follower].stays = False


def _is_title(text: str, run: Run, gap: str) -> bool:
    if run.folded in vocabulary().titles:
        return True
    if run.folded not in vocabulary().titles_if_capitalized:
        return False
    return gap.startswith(".") or text[run.start : run.end].istitle()
