"""What is left of a text, without signs left hanging (rule 11)."""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.descriptors.runs import Run

_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_BEHIND: Final = re.compile(r"[%°²³]*[)\]}]*[.,;:]?")
_BEFORE: Final = re.compile(r"[(\[{]*[+±]?$")
_BLANKS: Final = re.compile(r"[ \t\u00a0]{2,}")
_EMPTY: Final = re.compile(r"\([\W_]*\)|\[[\W_]*\]|\{[\W_]*\}|([\"'`])\s*\1|«\s*»|[“„]\s*[”“]")
_BLANK_BEFORE: Final = re.compile(r" (?=[,;:.)\]}](?:\s|$))|(?<=[(\[{]) ")
_SIGNS_IN_A_ROW: Final = re.compile(r"([,;:])(?:\s*[,;:])+")
_HANGING_FIRST: Final = " \t\r\n\f\u00a0_,;:/\\.^=&|~*#@<>)]}%·•…-"
_HANGING_LAST: Final = " \t\r\n\f\u00a0_,;:/\\^=&|~*#@<>([{+·•-"
_MOST_ROUNDS: Final = 8


def rebuilt(text: str, runs: list[Run], gaps: list[str]) -> str:
    """Return what stays of a text.

    Parameters
    ----------
    text
        The text.
    runs
        All runs of it; not all of them stay.
    gaps
        What stands before each run, and behind the last.
    """
    parts: list[str] = []
    previous = -1
    for place, run in enumerate(runs):
        if not run.stays:
            continue
        if place == previous + 1:
            parts.append(gaps[place])
        elif previous < 0:
            parts.append(_part(_BEFORE, gaps[place]))
        else:
            parts.append(_between(gaps[previous + 1 : place + 1]))
        parts.append(text[run.start : run.end])
        previous = place
    if not parts:
        return ""
    last = previous == len(runs) - 1
    parts.append(gaps[-1] if last else _part(_BEHIND, gaps[previous + 1]))
    return _tidy("".join(parts))


def _part(pattern: re.Pattern[str], gap: str) -> str:
    match = pattern.search(gap)
    return match[0] if match else ""


def _between(gaps: list[str]) -> str:
    """Return what parts two words between which others went."""
    behind, before = _part(_BEHIND, gaps[0]), _part(_BEFORE, gaps[-1])
    if any("\n" in gap for gap in gaps):
        return f"{behind}\n{before}"
    if any(sign.isspace() for gap in gaps for sign in gap):
        return f"{behind} {before}"
    return behind + before or next((gap[0] for gap in gaps if gap), "")


def _tidy(text: str) -> str:
    text = _balanced(text)
    for _ in range(_MOST_ROUNDS):
        before = text
        text = _EMPTY.sub(" ", text)
        text = _BLANKS.sub(" ", text)
        text = _SIGNS_IN_A_ROW.sub(r"\1", text)
        text = _BLANK_BEFORE.sub("", text)
        text = text.lstrip(_HANGING_FIRST).rstrip(_HANGING_LAST)
        if text == before:
            break
    return text


def _balanced(text: str) -> str:
    """Return a text without brackets that have no counterpart."""
    if not any(sign in "()[]{}" for sign in text):
        return text
    signs = list(text)
    opened: list[int] = []
    for place, sign in enumerate(text):
        if sign in "([{":
            opened.append(place)
        elif sign in _CLOSING:
            if opened and text[opened[-1]] == _CLOSING[sign]:
                opened.pop()
            else:
                signs[place] = " "
    for place in opened:
        signs[place] = " "
    return "".join(signs)
