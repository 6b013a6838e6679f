"""What is left of a text, without signs left hanging (rule 11)."""

from __future__ import annotations

import re
from typing import Final

from preread.deidentify.descriptors.runs import Run

_CLOSING: Final = {")": "(", "]": "[", "}": "{"}
_BEHIND: Final = re.compile(r"[%°²³]*[)\]}]*[.,;:]?")
_BLANKS: Final = re.compile(r"[ \t\u00a0]{2,}")
_BRACKETS_AND_WORDS: Final = re.compile(r"[()\[\]{}]|[^\W_]+")
_EMPTY: Final = re.compile(r"([\"'`])\s*\1|«\s*»|[“„]\s*[”“]")
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
            parts.append(_before(gaps[place]))
        else:
            parts.append(_between(gaps[previous + 1 : place + 1]))
        parts.append(text[run.start : run.end])
        previous = place
    if not parts:
        return ""
    last = previous == len(runs) - 1
    parts.append(gaps[-1] if last else _behind(gaps[previous + 1]))
    return _tidy("".join(parts))


def _behind(gap: str) -> str:
    """Return the signs at the start of a gap that belong to the word before it."""
    match = _BEHIND.match(gap)
    return match[0] if match else ""


def _before(gap: str) -> str:
    """Return the signs at the end of a gap that belong to the word behind it."""
    # No pattern: one that is searched for up to the end takes quadratic time.
    rest = gap[:-1] if gap.endswith(("+", "±")) else gap
    return gap[len(rest.rstrip("([{")) :]


def _between(gaps: list[str]) -> str:
    """Return what parts two words between which others went."""
    behind, before = _behind(gaps[0]), _before(gaps[-1])
    if any("\n" in gap for gap in gaps):
        return f"{behind}\n{before}"
    if any(sign.isspace() for gap in gaps for sign in gap):
        return f"{behind} {before}"
    return behind + before or next((gap[0] for gap in gaps if gap), "")


def _tidy(text: str) -> str:
    text = _balanced(text)
    for _ in range(_MOST_ROUNDS):
        before = text
        text = _EMPTY.sub(" ", _without_empty_brackets(text))
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


def _without_empty_brackets(text: str) -> str:
    """Return a text with a blank for each pair of brackets that holds no word."""
    opened: list[tuple[int, int]] = []
    empty: list[tuple[int, int]] = []
    words = 0
    for match in _BRACKETS_AND_WORDS.finditer(text):
        sign = match[0]
        if sign in "([{":
            opened.append((match.start(), words))
        elif sign not in _CLOSING:
            words += 1
        elif opened and text[opened[-1][0]] == _CLOSING[sign]:
            start, words_before = opened.pop()
            if words == words_before:
                while empty and empty[-1][0] > start:
                    empty.pop()
                empty.append((start, match.end()))
        else:
            opened.clear()
    parts: list[str] = []
    position = 0
    for start, end in empty:
        parts += (text[position:start], " ")
        position = end
    return "".join((*parts, text[position:]))
